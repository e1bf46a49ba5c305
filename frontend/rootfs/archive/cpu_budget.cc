#include "frontend/rootfs/archive/cpu_budget.h"

#include <sys/resource.h>

#include <algorithm>
#include <ctime>

#include "policy/text.h"

namespace userns::frontend {
namespace {

using std::chrono::seconds;

constexpr seconds kAtFirst{120};
constexpr std::uint64_t kBytesForASecond = 1UL << 20U;
constexpr seconds kGrace{30};  // for the error to be said before the kernel's signal comes

seconds used() {
  timespec now{};
  return ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) == 0 ? seconds(now.tv_sec) : seconds(0);
}

// A lower limit of the caller's stays.
void tell_kernel(seconds most) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_CPU, &limit) != 0) return;
  limit.rlim_cur = std::min(static_cast<rlim_t>(most.count()), limit.rlim_max);
  (void)::setrlimit(RLIMIT_CPU, &limit);
}

}  // namespace

seconds CpuBudget::allowed(std::uint64_t bytes) const {
  return most_ ? *most_ : kAtFirst + seconds(bytes / kBytesForASecond);
}

Result<void> CpuBudget::check(std::uint64_t bytes) {
  const auto most = allowed(bytes);
  if (used() > most)
    return fail({}, concat("the work took more than ", most.count(),
                           " s of CPU time, as if it was made to use up time; --max-cpu allows "
                           "more"));
  if (told_ < most + kGrace) {
    told_ = most + 2 * kGrace;  // not at each MiB
    tell_kernel(told_);
  }
  return {};
}

}  // namespace userns::frontend
