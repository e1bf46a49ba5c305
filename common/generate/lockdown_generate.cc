// At build time: the filters of lockdown_profile.h for the CPU that is argv[1], as C++ arrays of
// BPF, on stdout.
#include <seccomp.h>

#include <span>
#include <vector>

#include "common/generate/lockdown_cpus.h"
#include "common/generate/lockdown_profile.h"
#include "common/generate/seccomp_text.h"

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

// The calls that take the place of `call` on this CPU: itself unless lockdown_cpus.h knows better.
OnCpu on_this_cpu(const Target& target, const char* call) {
  for (const auto& entry : kOnCpus)
    if (entry.cpu == target.name && entry.call == call) return entry;
  return {target.name, call, {call}};
}

// One call through socketcall(2) or ipc(2) too: libseccomp adds that way, judging the first
// argument, and has none left to bind.
bool is_multiplexed(int number) { return number <= -100 && number > -300; }

void allow_call(scmp_filter_ctx filter, const Target& target, const char* name,
                const Bound& bound) {
  const int there = seccomp_syscall_resolve_name_arch(target.token, name);
  if (there < 0 && !is_multiplexed(there)) not_there(target, name);
  if (there < 0 && bound.is != Is::kAnything) give_up("judge an argument of a multiplexed call");
  const int call = seccomp_syscall_resolve_name(name);  // rules speak the builder's numbers
  if (bound.is == Is::kAnything && seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0) != 0)
    give_up(name);
  for (const auto& wanted : comparisons(bound))
    if (seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &wanted) != 0) give_up(name);
}

void allow(scmp_filter_ctx filter, const Target& target, std::span<const Allowed> calls) {
  for (const auto& [name, bound] : calls) {
    const auto there = on_this_cpu(target, name);
    for (const char* const call : there.instead)
      if (call != nullptr) allow_call(filter, target, call, there.bound ? bound : Bound{});
  }
}

void print_filter(const Target& target, const char* name, std::span<const Allowed> own) {
  const scmp_filter_ctx filter = begin(target, SCMP_ACT_KILL_PROCESS);
  if (seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) != 0)
    give_up("kill other tables");
  allow(filter, target, kAllMay);
  allow(filter, target, own);
  print(target, name, filter);
}

}  // namespace

int main(int argc, char** argv) {
  const Target target = target_of(argc, argv);
  print_head("common/generate/lockdown_profile.h");
  print_filter(target, "kNewidmapFilter", kNewidmapMay);
  print_filter(target, "kNetFilter", kNetMay);
  print_filter(target, "kCgroupFilter", kCgroupMay);
  print_filter(target, "kIdmapFilter", kIdmapMay);
  return 0;
}
