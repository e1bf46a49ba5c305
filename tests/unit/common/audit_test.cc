#include "common/audit.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <string>

#include "tests/unit/private_files.h"

namespace userns {
namespace {

// The syslog record of what was said last.
TEST(AuditLog, TellsSyslogHowItEnded) {
  SKIP_WITHOUT_ROOT();
  test::in_mnt([] {
    ASSERT_EQ(::mount("tmpfs", "/dev", "tmpfs", 0, ""), 0);
    const Fd daemon(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const sockaddr_un where{.sun_family = AF_UNIX, .sun_path = "/dev/log"};
    ASSERT_EQ(::bind(daemon.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where), 0);
    AuditLog log("newuidmap");
    log.not_done("uid=1", {"IM-RANGE", 0, ""});
    log.granted("uid=1");
    log.not_done("uid=1", {"", EPERM, ""});
    for (const std::string& expected :
         {concat("<85>newuidmap[", ::getpid(), "]: refused uid=1 rule=IM-RANGE"),
          concat("<86>newuidmap[", ::getpid(), "]: granted uid=1 rule=none"),
          concat("<85>newuidmap[", ::getpid(), "]: failed uid=1 rule=system")}) {
      std::string got(4096, '\0');
      const auto length = ::recv(daemon.get(), got.data(), got.size(), MSG_DONTWAIT);
      ASSERT_GT(length, 0);
      got.resize(static_cast<std::size_t>(length));
      // Where there is no audit system, the copy says so.
      EXPECT_TRUE(got.starts_with(expected)) << got;
    }
  });
}

TEST(AuditLog, IsNoFailureWhereNobodyListens) {
  SKIP_WITHOUT_ROOT();
  test::in_mnt([] {
    ASSERT_EQ(::mount("tmpfs", "/dev", "tmpfs", 0, ""), 0);
    AuditLog log("newuidmap");
    (void)log.open();
    log.granted("uid=1");
  });
}

}  // namespace
}  // namespace userns
