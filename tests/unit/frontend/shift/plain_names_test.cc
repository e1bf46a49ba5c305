#include "frontend/shift/plain_names.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <thread>
#include <vector>

namespace userns::shift {
namespace {

constexpr Owner kRoot{.uid = 100000, .gid = 100000};
constexpr Owner kUser{.uid = 101000, .gid = 101000};

Seen directory(std::uint64_t number) { return {.key = {.dev = 1, .ino = number}, .modified = 5}; }

void add(PlainNames& names, std::uint64_t in, const std::string& path, const Owner& owner,
         std::uint64_t inode, const std::string& name) {
  names.add(directory(in), [&] { return path; }, {.owner = owner, .inode = inode, .name = name});
}

std::vector<std::string> all(const PlainNames& names) {
  std::vector<std::string> found;
  for (std::size_t i = 0; i < names.runs(); ++i)
    names.each(i, [&](const PlainNames::Plain& plain, std::size_t mark) {
      found.push_back(names.run(i).path + "/" + std::string(plain.name) + " " +
                      std::to_string(plain.owner.uid) + " " + std::to_string(plain.inode) + " #" +
                      std::to_string(mark));
      return true;
    });
  return found;
}

TEST(PlainNames, SaysWhatWasWrittenDownDirectoryByDirectory) {
  PlainNames names;
  add(names, 1, ".", kRoot, 1, "");
  add(names, 1, ".", kUser, 7, "a");
  add(names, 1, ".", kRoot, UINT64_MAX, std::string(255, 'x'));
  add(names, 2, "b", kRoot, 2, "");
  add(names, 2, "b", kRoot, 9, "\n");
  add(names, 1, ".", kRoot, 8, "late");
  ASSERT_TRUE(names.share());
  EXPECT_EQ(names.runs(), 3U);
  EXPECT_EQ(names.count(), 6U);
  EXPECT_EQ(names.owners().at(kRoot), 5U);
  EXPECT_EQ(names.owners().at(kUser), 1U);
  EXPECT_EQ(names.run(1).directory, directory(2));
  EXPECT_EQ(all(names), (std::vector<std::string>{
                            "./ 100000 1 #0", "./a 101000 7 #1",
                            "./" + std::string(255, 'x') + " 100000 18446744073709551615 #2",
                            "b/ 100000 2 #3", "b/\n 100000 9 #4", "./late 100000 8 #5"}));
}

TEST(PlainNames, ADirectoryThatHasChangedBeginsAnew) {
  PlainNames names;
  add(names, 1, ".", kRoot, 7, "a");
  auto later = directory(1);
  later.modified = 6;
  names.add(later, [] { return "."; }, {.owner = kRoot, .inode = 8, .name = "b"});
  EXPECT_EQ(names.runs(), 2U);
}

TEST(PlainNames, APathThatIsTooLongOrAnOwnerTooManyIsNotWrittenDown) {
  PlainNames names;
  add(names, 1, std::string(4001, 'x'), kRoot, 7, "a");
  EXPECT_EQ(names.count(), 0U);
  for (std::uint32_t i = 1; i < 300; ++i) add(names, 2, "b", {.uid = i, .gid = i}, i, "f");
  EXPECT_EQ(names.count(), 255U);
  EXPECT_FALSE(names.owners().contains({.uid = 256, .gid = 256}));
}

TEST(PlainNames, ThreadsDoNotTearRunsApart) {
  PlainNames names;
  const auto work = [&](std::uint64_t number) {
    for (std::uint64_t i = 0; i < 1000; ++i)
      add(names, number, std::to_string(number), kRoot, number * 1000 + i, "f");
  };
  std::thread one(work, 1);
  std::thread other(work, 2);
  one.join();
  other.join();
  ASSERT_TRUE(names.share());
  EXPECT_EQ(names.runs(), 2U);
  EXPECT_EQ(names.count(), 2000U);
  EXPECT_NE(names.run(0).first_mark, names.run(1).first_mark);
}

TEST(PlainNames, AForkThatChangesThemIsSeen) {
  PlainNames names;
  for (const std::uint64_t inode : {9U, 8U, 7U}) add(names, 1, ".", kRoot, inode, "f");
  ASSERT_TRUE(names.share());
  const auto child = ::fork();
  if (child == 0) {
    names.set_changed(0);
    names.set_changed(2);
    names.news().left = true;
    ::_exit(0);
  }
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_EQ(names.changed(), (std::vector<std::uint64_t>{7, 9}));
  EXPECT_TRUE(names.news().left);
}

TEST(PlainNames, NoneIsNoFault) {
  PlainNames names;
  ASSERT_TRUE(names.share());
  EXPECT_EQ(names.runs(), 0U);
  EXPECT_TRUE(names.changed().empty());
}

}  // namespace
}  // namespace userns::shift
