// At build time: the filters of lockdown_profile.h as C++ arrays of BPF, on stdout.
#include <seccomp.h>

#include <span>
#include <vector>

#include "common/lockdown_profile.h"
#include "common/seccomp_text.h"

namespace {

using namespace userns;
using namespace userns::seccomp_text;

// One comparison for each rule. What is not zero has a bit that is one: libseccomp's "not equal"
// looks at 64 bits where the kernel may look at 32.
std::vector<scmp_arg_cmp> comparisons(const Bound& bound) {
  std::vector<scmp_arg_cmp> found;
  if (bound.is == Is::kThis)
    found.push_back({bound.argument, SCMP_CMP_MASKED_EQ, bound.mask, bound.value});
  for (std::uint64_t bit = 1; bound.is == Is::kNotZero && bit != 0; bit <<= 1U)
    if ((bound.mask & bit) != 0) found.push_back({bound.argument, SCMP_CMP_MASKED_EQ, bit, bit});
  return found;
}

void allow(scmp_filter_ctx filter, std::span<const Allowed> calls) {
  for (const auto& [name, bound] : calls) {
    const int call = seccomp_syscall_resolve_name(name);
    if (call < 0) continue;
    if (bound.is == Is::kAnything && seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0) != 0)
      give_up(name);
    for (const auto& wanted : comparisons(bound))
      if (seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &wanted) != 0) give_up(name);
  }
}

void print_filter(const char* name, std::span<const Allowed> own) {
  const scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
  if (filter == nullptr) give_up("begin");
  if (seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) != 0)
    give_up("kill other tables");
  allow(filter, kAllMay);
  allow(filter, own);
  print(name, filter);
}

}  // namespace

int main() {
  print_head("common/lockdown_profile.h");
  print_filter("kNewidmapFilter", kNewidmapMay);
  print_filter("kNetFilter", kNetMay);
  print_filter("kCgroupFilter", kCgroupMay);
  print_filter("kIdmapFilter", kIdmapMay);
  return 0;
}
