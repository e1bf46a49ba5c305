#include "frontend/start/ids/in_map.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <stdexcept>

#include "tests/unit/expect.h"

namespace userns::frontend {
namespace {

using test::contains;
using test::text_of;

// As root, who may write any map: what is tested here is the worker, not the helpers.
ChosenIds block_at(std::uint32_t first) {
  ChosenIds ids;
  ids.uids = {.extents = {*Extent::make(0, first, 65536)}, .writer = MapWriter::kSelf};
  ids.gids = ids.uids;
  return ids;
}

TEST(InMap, WorkIsRootOfTheIdsAndItsTextComesBack) {
  SKIP_WITHOUT_ROOT();
  const std::string long_text(3 * kLongestText + 7, 'x');
  const auto done = in_map(block_at(100000), [&](const Outside&) -> Result<std::string> {
    return ::getuid() == 0 && ::getgid() == 0 && ::getgroups(0, nullptr) == 0 ? long_text
                                                                              : "who am I";
  });
  EXPECT_EQ(text_of(done), "");
  EXPECT_EQ(*done, long_text);
}

TEST(InMap, WhatItMakesBelongsToTheOutsideId) {
  SKIP_WITHOUT_ROOT();
  char path[] = "/tmp/in-map-XXXXXX";
  ASSERT_NE(::mkdtemp(path), nullptr);
  const Fd directory(::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_EQ(text_of(give_away(block_at(100000), directory)), "");
  struct stat facts{};
  ASSERT_EQ(::fstat(directory.get(), &facts), 0);
  EXPECT_EQ(facts.st_uid, 100000U);
  EXPECT_EQ(facts.st_gid, 100000U);
  ::rmdir(path);
}

TEST(InMap, ErrorsComeBackWithTheirErrno) {
  SKIP_WITHOUT_ROOT();
  const auto done = in_map(block_at(100000), [](const Outside&) -> Result<std::string> {
    return fail({}, "no such thing", ENOENT);
  });
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().text, "no such thing");
  EXPECT_EQ(done.error().code, ENOENT);
}

TEST(InMap, AnExceptionIsAnError) {
  SKIP_WITHOUT_ROOT();
  const auto done = in_map(block_at(100000), [](const Outside&) -> Result<std::string> {
    throw std::runtime_error("a library's fault");
  });
  EXPECT_TRUE(contains(text_of(done), "a library's fault"));
}

TEST(InMap, ADeathByASignalSaysSo) {
  SKIP_WITHOUT_ROOT();
  const auto done = in_map(block_at(100000), [](const Outside&) -> Result<std::string> {
    ::raise(SIGKILL);
    return "";
  });
  EXPECT_TRUE(contains(text_of(done), "ended by signal 9"));
}

TEST(InMap, ProgressIsHeardInOrder) {
  SKIP_WITHOUT_ROOT();
  std::string heard;
  const auto done = in_map(block_at(100000),
                           [](const Outside& outside) -> Result<std::string> {
                             for (const char* word : {"a", "b", "c"}) outside.progress(word);
                             return "end";
                           },
                           {.on_progress = [&](std::string_view text) { heard += text; }});
  EXPECT_EQ(text_of(done), "");
  EXPECT_EQ(heard, "abc");
}

TEST(InMap, ASignalEndsTheWorkAndTheMaskIsTheCallersAgain) {
  SKIP_WITHOUT_ROOT();
  ::signal(SIGINT, SIG_DFL);  // a shell's background job has it ignored
  const pid_t self = ::getpid();
  const auto done = in_map(block_at(0), [&](const Outside&) -> Result<std::string> {
    ::kill(self, SIGINT);
    ::pause();
    return "";
  });
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, EINTR);
  EXPECT_TRUE(contains(done.error().text, "SIGINT"));
  sigset_t mask;
  ::sigprocmask(SIG_BLOCK, nullptr, &mask);
  EXPECT_EQ(::sigismember(&mask, SIGINT), 0);
}

TEST(InMap, WithoutRootInsideThereIsNothingToDo) {
  ChosenIds ids;
  ids.uids = {.extents = {*Extent::make(5, 100000, 10)}, .writer = MapWriter::kSelf};
  ids.gids = ids.uids;
  EXPECT_TRUE(contains(
      text_of(in_map(ids, [](const Outside&) -> Result<std::string> { return ""; })), "uid 0"));
}

TEST(IdsWithSelf, TheCallerComesAfterTheLastId) {
  const auto all = ids_with_self(block_at(100000), 1000, 1001);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->uid, 65536U);
  EXPECT_EQ(all->gid, 65536U);
  EXPECT_EQ(all->ids.uids.extents.back(), *Extent::make(65536, 1000, 1));
  EXPECT_EQ(all->ids.gids.extents.back(), *Extent::make(65536, 1001, 1));
}

TEST(IdsWithSelf, ACallerWhoIsMappedAlreadyStaysWhereHeIs) {
  ChosenIds ids;
  ids.uids = {.extents = {*Extent::make(0, 1000, 1)}, .writer = MapWriter::kSelf};
  ids.gids = ids.uids;
  const auto all = ids_with_self(ids, 1000, 1000);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->uid, 0U);
  EXPECT_EQ(all->ids.uids.extents.size(), 1U);
}

TEST(IdsWithSelf, AMapUpToTheLastIdHasAGapOrNoPlace) {
  ChosenIds ids;
  ids.uids = {.extents = {*Extent::make(0, 100000, 10), *Extent::make(kLargestId, 200000, 1)},
              .writer = MapWriter::kHelper};
  ids.gids = ids.uids;
  const auto all = ids_with_self(ids, 1000, 1000);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->uid, 10U);
}

}  // namespace
}  // namespace userns::frontend
