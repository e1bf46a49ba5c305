#include "common/fd.h"

#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "tests/unit/expect.h"

namespace userns {
namespace {

bool is_open(int raw) { return ::fcntl(raw, F_GETFD) >= 0; }

Fd memory(std::string_view text) {
  Fd fd(::memfd_create("test", MFD_CLOEXEC));
  EXPECT_TRUE(write_all(fd, text));
  ::lseek(fd.get(), 0, SEEK_SET);
  return fd;
}

TEST(Fd, ClosesWhatItOwnsAndNothingElse) {
  int raw = -1;
  {
    const Fd fd(::open("/dev/null", O_RDONLY));
    raw = fd.get();
    EXPECT_TRUE(fd.valid());
  }
  EXPECT_FALSE(is_open(raw));
  EXPECT_FALSE(Fd{}.valid());
}

TEST(Fd, MovesOwnership) {
  Fd first(::open("/dev/null", O_RDONLY));
  const int raw = first.get();
  Fd second(std::move(first));
  EXPECT_EQ(second.get(), raw);
  EXPECT_FALSE(first.valid());  // NOLINT: that it is empty is what is tested
  Fd third(::open("/dev/null", O_RDONLY));
  const int closed = third.get();
  third = std::move(second);
  EXPECT_EQ(third.get(), raw);
  EXPECT_FALSE(is_open(closed));
  const int released = third.release();
  EXPECT_EQ(released, raw);
  EXPECT_TRUE(is_open(raw));
  ::close(raw);
}

TEST(Fd, OpensCloseOnExec) {
  const auto file = open_at(AT_FDCWD, "/dev/null", O_RDONLY);
  ASSERT_TRUE(file);
  EXPECT_EQ(::fcntl(file->get(), F_GETFD), FD_CLOEXEC);
  const auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  EXPECT_EQ(::fcntl(pipe->read.get(), F_GETFD) | ::fcntl(pipe->write.get(), F_GETFD), FD_CLOEXEC);
}

TEST(OpenAt, SaysWhatCouldNotBeOpenedAndWhy) {
  const auto none = open_at(AT_FDCWD, "/nowhere/at/all", O_RDONLY);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ENOENT);
  EXPECT_EQ(none.error().text, "cannot open /nowhere/at/all");
}

TEST(OpenAt, StaysWhereItIsToldToStay) {
  const auto proc = open_at(AT_FDCWD, "/proc/self", O_PATH | O_DIRECTORY);
  ASSERT_TRUE(proc);
  EXPECT_FALSE(open_at(proc->get(), "../self/status", O_RDONLY, RESOLVE_BENEATH));
  EXPECT_FALSE(open_at(proc->get(), "root/etc/passwd", O_RDONLY, RESOLVE_NO_SYMLINKS));
  EXPECT_FALSE(open_at(proc->get(), "cwd", O_RDONLY, RESOLVE_NO_MAGICLINKS));
  EXPECT_TRUE(open_at(proc->get(), "status", O_RDONLY,
                      RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV));
}

TEST(ReadAll, TakesAFileUpToItsLimit) {
  EXPECT_EQ(read_all(memory(""), 0).value(), "");
  EXPECT_EQ(read_all(memory("12345"), 5).value(), "12345");
  EXPECT_EQ(read_all(memory("12345"), 100).value(), "12345");
  const auto long_one = read_all(memory("123456"), 5);
  ASSERT_FALSE(long_one);
  EXPECT_EQ(long_one.error().code, EFBIG);
  EXPECT_EQ(read_all(Fd(::open("/", O_RDONLY)), 5).error().code, EISDIR);
}

TEST(ReadSome, GoesOnUntilTheBufferIsFullOrTheFileEnds) {
  auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  const auto child = ::fork();
  if (child == 0) {
    for (const char* piece : {"ab", "c", "defg"}) {
      (void)write_all(pipe->write, piece);
      ::usleep(2000);
    }
    ::_exit(0);
  }
  pipe->write.reset();
  std::array<char, 5> buffer{};
  EXPECT_EQ(read_some(pipe->read, buffer).value(), 5U);
  EXPECT_EQ(std::string_view(buffer.data(), 5), "abcde");
  EXPECT_EQ(read_some(pipe->read, buffer).value(), 2U);
  EXPECT_EQ(read_some(pipe->read, buffer).value(), 0U);
  ::waitpid(child, nullptr, 0);
}

TEST(WriteAll, IsAllOrAnError) {
  const Fd full(::open("/dev/full", O_WRONLY));
  const auto refused = write_all(full, "x");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ENOSPC);
  EXPECT_TRUE(write_all(full, ""));
  ::signal(SIGPIPE, SIG_IGN);
  auto pipe = make_pipe();
  pipe->read.reset();
  EXPECT_EQ(write_all(pipe->write, "x").error().code, EPIPE);
}

TEST(WriteOnce, RewindsAndWritesTheWhole) {
  const Fd fd = memory("xxxxxx");
  ASSERT_TRUE(write_once(fd, "abc"));
  ASSERT_TRUE(write_once(fd, "de"));
  ::lseek(fd.get(), 0, SEEK_SET);
  EXPECT_EQ(read_all(fd, 100).value(), "decxxx");
  auto pipe = make_pipe();
  EXPECT_EQ(write_once(pipe->write, "x").error().code, ESPIPE);
}

TEST(WriteOnce, TakesNoPartForTheWhole) {
  const Fd fd = memory("");
  test::in_child([&] {
    const rlimit two{2, 2};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &two), 0);
    EXPECT_EQ(test::text_of(write_once(fd, "abcd")), "only 2 of 4 bytes were taken");
  });
}

}  // namespace
}  // namespace userns
