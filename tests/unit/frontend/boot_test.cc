#include "frontend/start/boot/boot.h"
#include "frontend/run/boot_news.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <string_view>

#include "frontend/start/plan/environment.h"

namespace userns::frontend {
namespace {

// Wait statuses as the kernel makes them.
constexpr int ended_by(int number) { return number; }
constexpr int exited(int code) { return code << 8; }

TEST(EndOfAnInit, SaysWhatRebootAskedFor) {
  EXPECT_EQ(boot_end(ended_by(SIGINT)), BootEnd::kPowerOff);
  EXPECT_EQ(boot_end(ended_by(SIGHUP)), BootEnd::kReboot);
  EXPECT_EQ(boot_end(exited(0)), BootEnd::kPowerOff);
  EXPECT_EQ(boot_end(exited(1)), BootEnd::kOther);
  EXPECT_EQ(boot_end(ended_by(SIGKILL)), BootEnd::kOther);
}

class Notify : public testing::Test {
 protected:
  Notify() {
    int ends[2] = {-1, -1};
    (void)::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends);
    ours_.reset(ends[0]);
    theirs_.reset(ends[1]);
    const int yes = 1;
    (void)::setsockopt(ours_.get(), SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes);
  }
  bool says(std::string_view text, pid_t init) {
    (void)::send(theirs_.get(), text.data(), text.size(), 0);
    return says_ready(ours_, init);
  }
  Fd ours_;
  Fd theirs_;
};

TEST_F(Notify, IsReadyByALineOfItsOwn) {
  EXPECT_TRUE(says("READY=1", ::getpid()));
  EXPECT_TRUE(says("STATUS=Up.\nREADY=1\nX=1", ::getpid()));
  EXPECT_FALSE(says("STATUS=READY=1", ::getpid()));
  EXPECT_FALSE(says("READY=10", ::getpid()));
  EXPECT_FALSE(says("", ::getpid()));
  EXPECT_FALSE(says_ready(ours_, ::getpid()));  // nothing there: does not wait
}

TEST_F(Notify, IsBelievedOfTheInitOnly) {
  EXPECT_FALSE(says("READY=1", ::getpid() + 1));
  const pid_t other = ::fork();
  if (other == 0) {
    (void)::send(theirs_.get(), "READY=1", 7, 0);
    ::_exit(0);
  }
  ::waitpid(other, nullptr, 0);
  EXPECT_FALSE(says_ready(ours_, ::getpid()));
}

TEST(EnvironmentOfAnInit, SaysWhereItIsInTheWayItKnows) {
  const auto has = [](InitKind kind, std::string_view word) {
    const std::string_view caller[] = {"TERM=x", "SECRET=1"};
    Spec spec;
    spec.env = {{.name = "A", .value = "b"}};
    const auto all = boot_environment(spec, caller,
                                      {.init = {.kind = kind, .path = "/sbin/init"}, .uuid = "0f"});
    return std::ranges::find(all, word) != all.end();
  };
  EXPECT_TRUE(has(InitKind::kSystemd, "container=userns"));
  EXPECT_TRUE(has(InitKind::kSystemd, "container_uuid=0f"));
  EXPECT_TRUE(has(InitKind::kSystemd, "NOTIFY_SOCKET=/run/host/notify"));
  EXPECT_TRUE(has(InitKind::kSysvinit, "container=lxc"));
  EXPECT_FALSE(has(InitKind::kSysvinit, "NOTIFY_SOCKET=/run/host/notify"));
  EXPECT_TRUE(has(InitKind::kOther, "TERM=x"));
  EXPECT_TRUE(has(InitKind::kOther, "A=b"));
  EXPECT_FALSE(has(InitKind::kOther, "SECRET=1"));
}

}  // namespace
}  // namespace userns::frontend
