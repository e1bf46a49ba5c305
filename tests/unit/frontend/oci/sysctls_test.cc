#include "frontend/oci/inside/sysctls.h"

#include <sched.h>

#include "tests/unit/expect.h"

namespace userns::frontend {
namespace {

TEST(OciSysctls, BelongToANamespaceOrToTheMachine) {
  EXPECT_EQ(space_of_sysctl("net.ipv4.ping_group_range"), std::uint64_t{CLONE_NEWNET});
  EXPECT_EQ(space_of_sysctl("net/ipv4/ip_forward"), std::uint64_t{CLONE_NEWNET});
  EXPECT_EQ(space_of_sysctl("kernel.shmmax"), std::uint64_t{CLONE_NEWIPC});
  EXPECT_EQ(space_of_sysctl("fs.mqueue.msg_max"), std::uint64_t{CLONE_NEWIPC});
  EXPECT_EQ(space_of_sysctl("kernel.domainname"), std::uint64_t{CLONE_NEWUTS});
  for (const char* machines :
       {"vm.swappiness", "kernel.core_pattern", "kernel.shmmaxx", "", "net",
        "net/../kernel/core_pattern", "net.//.kernel.core_pattern", "fs.protected_symlinks"})
    EXPECT_EQ(space_of_sysctl(machines), 0U) << machines;
}

}  // namespace
}  // namespace userns::frontend
