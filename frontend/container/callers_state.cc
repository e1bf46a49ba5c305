#include "frontend/container/callers_state.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <optional>

#include "common/fd.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr const char* kOom = "/proc/self/oom_score_adj";
constexpr const char* kCoredump = "/proc/self/coredump_filter";
constexpr unsigned long kAskPersonality = 0xffffffff;
constexpr int kWhoProcess = 1;  // ioprio_get(2): IOPRIO_WHO_PROCESS
constexpr unsigned kLimits = RLIM_NLIMITS;

// Negative ones as well.
std::optional<int> parse_signed(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const auto number = parse_decimal(text);
  constexpr std::uint64_t kMost = 1U << 30U;
  if (!number || *number > kMost) return std::nullopt;
  const auto value = static_cast<int>(*number);
  return negative ? -value : value;
}

std::string cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::string text;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return text;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &set))
      text += concat(text.empty() ? "" : ",", cpu);
  return text;
}

void set_cpus(std::string_view text) {
  cpu_set_t set;
  CPU_ZERO(&set);
  while (!text.empty())
    if (const auto cpu = parse_decimal(take_until(text, ',')); cpu && *cpu < CPU_SETSIZE)
      CPU_SET(static_cast<std::size_t>(*cpu), &set);
  (void)::sched_setaffinity(0, sizeof set, &set);
}

std::string number_in(const char* path) {
  constexpr std::size_t kMost = 16;
  const auto file = open_at(AT_FDCWD, path, O_RDONLY);
  auto text = file ? read_all(*file, kMost).value_or("") : std::string{};
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

void put_number(const char* path, std::string_view text) {
  if (const auto file = open_at(AT_FDCWD, path, O_WRONLY)) (void)write_once(*file, text);
}

void set_policy(int policy) {
  const sched_param none{};  // those that need a priority need a privilege
  if (policy == SCHED_OTHER || policy == SCHED_BATCH || policy == SCHED_IDLE)
    (void)::sched_setscheduler(0, policy, &none);
}

void set_limit(unsigned resource, std::string_view text) {
  const auto soft = parse_decimal(take_until(text, ':'));
  const auto hard = parse_decimal(text);
  rlimit own{};
  const auto which = static_cast<__rlimit_resource_t>(resource);
  if (!soft || !hard || resource >= kLimits || ::getrlimit(which, &own) != 0) return;
  own.rlim_max = std::min<rlim_t>(own.rlim_max, *hard);
  own.rlim_cur = std::min<rlim_t>(own.rlim_max, *soft);
  (void)::setrlimit(which, &own);
}

void take(std::string_view key, std::string_view value) {
  const auto number = parse_signed(value);
  if (key == "cpus") set_cpus(value);
  if (key == "nice" && number) (void)::setpriority(PRIO_PROCESS, 0, *number);
  if (key == "ioprio" && number) (void)::syscall(SYS_ioprio_set, kWhoProcess, 0, *number);
  if (key == "policy" && number) set_policy(*number);
  if (key == "oom") put_number(kOom, value);
  if (key == "coredump") put_number(kCoredump, concat("0x", value));
  if (key == "slack" && number) (void)::prctl(PR_SET_TIMERSLACK, *number, 0, 0, 0);
  if (key == "thp" && value == "1") (void)::prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
  if (key == "nnp" && value == "1") (void)::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (key == "personality" && number) (void)::personality(static_cast<unsigned long>(*number));
  constexpr std::string_view kLimit = "limit";
  if (!key.starts_with(kLimit)) return;
  const auto resource = parse_decimal(key.substr(kLimit.size()));
  if (resource && *resource < kLimits) set_limit(static_cast<unsigned>(*resource), value);
}

}  // namespace

std::string inherited_state() {
  std::string text = concat("nice=", ::getpriority(PRIO_PROCESS, 0), " cpus=", cpus());
  if (const long priority = ::syscall(SYS_ioprio_get, kWhoProcess, 0); priority >= 0)
    text += concat(" ioprio=", priority);
  text +=
      concat(" policy=", ::sched_getscheduler(0), " slack=", ::prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0),
             " thp=", ::prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0),
             " nnp=", ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
             " personality=", ::personality(kAskPersonality));
  if (const auto oom = number_in(kOom); !oom.empty()) text += concat(" oom=", oom);
  if (const auto filter = number_in(kCoredump); !filter.empty())
    text += concat(" coredump=", filter);
  for (unsigned resource = 0; resource < kLimits; ++resource) {
    rlimit limit{};
    if (::getrlimit(static_cast<__rlimit_resource_t>(resource), &limit) == 0)
      text += concat(" limit", resource, "=", limit.rlim_cur, ":", limit.rlim_max);
  }
  return text;
}

void inherit(std::string_view text) {
  while (!text.empty()) {
    auto value = take_until(text, ' ');
    const auto key = take_until(value, '=');
    take(key, value);
  }
}

}  // namespace userns::frontend
