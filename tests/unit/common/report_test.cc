#include "common/report.h"

#include <sys/resource.h>

#include <cerrno>
#include <new>

#include "common/fd.h"
#include "tests/unit/expect.h"

#if defined(__SANITIZE_ADDRESS__)
#define HAS_OWN_ALLOCATOR 1
#elif defined(__has_feature)
#define HAS_OWN_ALLOCATOR __has_feature(address_sanitizer)
#else
#define HAS_OWN_ALLOCATOR 0
#endif

namespace userns {
namespace {

// What `act` writes to stderr, in a child; its exit status goes to `status`.
template <class Act>
std::string stderr_of(Act act, int& status) {
  auto pipe = make_pipe();
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(pipe->write.get(), STDERR_FILENO);
    act();
    ::_exit(0);
  }
  pipe->write.reset();
  auto text = read_all(pipe->read, 1 << 20);
  ::waitpid(child, &status, 0);
  return text ? *text : "";
}

TEST(ToText, PutsTextReasonAndRuleTogether) {
  EXPECT_EQ(to_text(Error{"", 0, "what"}), "what");
  EXPECT_EQ(to_text(Error{"", ENOENT, "what"}), "what: No such file or directory");
  EXPECT_EQ(to_text(Error{"IM-X", 0, "what"}), "what [IM-X]");
  EXPECT_EQ(to_text(Error{"IM-X", EPERM, "what"}), "what: Operation not permitted [IM-X]");
}

TEST(Report, IsOneLineWithTheProgramsName) {
  int status = -1;
  EXPECT_EQ(stderr_of([] { report("newuidmap", Error{"IM-X", 0, "what"}); }, status),
            "newuidmap: what [IM-X]\n");
  EXPECT_EQ(status, 0);
}

TEST(OutOfMemory, SaysSoAndExits) {
#if HAS_OWN_ALLOCATOR
  GTEST_SKIP() << "the sanitizer has its own allocator";
#else
  int status = -1;
  const auto said = stderr_of(
      [] {
        exit_when_out_of_memory("newuidmap");
        const rlimit little{32UL << 20U, 32UL << 20U};
        ::setrlimit(RLIMIT_AS, &little);
        for (std::size_t size = 1 << 20;; size *= 2) {
          void* volatile const kept = ::operator new(size);
          (void)kept;
        }
      },
      status);
  EXPECT_EQ(said, "newuidmap: out of memory; nothing was done\n");
  EXPECT_EQ(WEXITSTATUS(status), 1);
#endif
}

}  // namespace
}  // namespace userns
