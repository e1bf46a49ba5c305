// At build time: the default profile (seccomp_profile.h) as a C++ array of BPF, on stdout.
#include <seccomp.h>

#include <cstdint>

#include "common/generate/seccomp_text.h"
#include "frontend/start/inside/seccomp_profile.h"

namespace {

using namespace userns::frontend;
using namespace userns::seccomp_text;

// The other system call table that programs of such a machine may use.
struct Sisters {
  std::uint32_t one, other;
};
constexpr Sisters kSisters[] = {{SCMP_ARCH_X86_64, SCMP_ARCH_X86},
                                {SCMP_ARCH_AARCH64, SCMP_ARCH_ARM}};

// A table that is left out (x32) is answered as by a kernel without it.
void add_sister_architecture(scmp_filter_ctx filter, std::uint32_t target) {
  for (const auto& [one, other] : kSisters)
    if ((target == one && seccomp_arch_add(filter, other) != 0) ||
        (target == other && seccomp_arch_add(filter, one) != 0))
      give_up("add an architecture");
  if (seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS)) != 0)
    give_up("answer other calls");
}

void add_rules(scmp_filter_ctx filter, bool nesting) {
  for (const auto& blocked : kBlockedCalls) {
    if (nesting && blocked.why == kKeyrings) continue;
    const int call = seccomp_syscall_resolve_name(blocked.call);
    if (call == __NR_SCMP_ERROR) give_up(blocked.call);
    if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(static_cast<unsigned>(blocked.answer)), call, 0) !=
        0)
      give_up(blocked.call);
  }
  for (const auto& blocked : kBlockedIoctls) {
    const scmp_arg_cmp is_request{1, SCMP_CMP_MASKED_EQ, 0xffffffffU, blocked.request};
    if (seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1, &is_request) != 0)
      give_up("block an ioctl");
  }
}

scmp_filter_ctx empty_filter(const Target& target) {
  const scmp_filter_ctx filter = begin(target, SCMP_ACT_ALLOW);
  add_sister_architecture(filter, target.token);
  if (seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) != 0) give_up("ask for a binary tree");
  return filter;
}

}  // namespace

int main(int argc, char** argv) {
  const Target target = target_of(argc, argv);
  const scmp_filter_ctx standard = empty_filter(target);
  add_rules(standard, false);
  const scmp_filter_ctx nesting = empty_filter(target);
  add_rules(nesting, true);
  print_head("frontend/start/inside/seccomp_profile.h");
  print(target, "kDefaultProfile", standard);
  print(target, "kNestingProfile", nesting);
  return 0;
}
