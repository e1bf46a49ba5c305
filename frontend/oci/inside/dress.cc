#include "frontend/oci/inside/dress.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/ioprio.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <string_view>
#include <utility>

#include "frontend/start/inside/identity.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

// --- values of the process ------------------------------------------------------------------

Result<void> set_oom_score(int score, const Fd& file) {
  const auto done = write_once(file, concat(score));
  if (done) return {};
  return fail({},
              concat("cannot set process.oomScoreAdj to ", score,
                     ": a user may not go below the caller's own value"),
              done.error().code);
}

// As sched_setattr(2) takes it; the kernel's header cannot be included beside <sched.h>.
struct SchedulerAttributes {
  std::uint32_t size;
  std::uint32_t policy;
  std::uint64_t flags;
  std::int32_t nice;
  std::uint32_t priority;
  std::uint64_t runtime;
  std::uint64_t deadline;
  std::uint64_t period;
};

Result<void> set_scheduler(const OciScheduler& wish) {
  SchedulerAttributes attributes{.size = sizeof(SchedulerAttributes),
                                 .policy = wish.policy,
                                 .flags = wish.flags,
                                 .nice = wish.nice,
                                 .priority = wish.priority,
                                 .runtime = wish.runtime,
                                 .deadline = wish.deadline,
                                 .period = wish.period};
  if (::syscall(SYS_sched_setattr, 0, &attributes, 0) != 0)
    return fail_errno("cannot set process.scheduler");
  return {};
}

// --- capabilities ---------------------------------------------------------------------------

bool has(std::uint64_t set, int cap) { return (set >> static_cast<unsigned>(cap) & 1U) != 0; }

Result<void> bound(std::uint64_t bounding) {
  for (int cap = 0; ::prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; ++cap)
    if (!has(bounding, cap) && ::prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1 &&
        ::prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
      return fail_errno(concat("cannot drop capability ", cap));
  return {};
}

using CapData = std::array<__user_cap_data_struct, 2>;

std::uint64_t joined(const CapData& data, std::uint32_t __user_cap_data_struct::* set) {
  return data[0].*set | static_cast<std::uint64_t>(data[1].*set) << 32U;
}

// What this process does not have cannot be granted: the specification has that pass.
Result<void> set_capabilities(const CapabilitySets& wish) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  CapData data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0)
    return fail_errno("cannot read the capabilities of this process");
  const auto held = joined(data, &__user_cap_data_struct::permitted);
  const auto permitted = wish.permitted & held;
  const auto effective = wish.effective & permitted;
  const auto inheritable = wish.inheritable & held;
  for (unsigned half = 0; half < 2; ++half) {
    const auto part = [&](std::uint64_t set) {
      return static_cast<std::uint32_t>(set >> (32 * half));
    };
    data.at(half) = {part(effective), part(permitted), part(inheritable)};
  }
  if (::syscall(SYS_capset, &header, data.data()) != 0)
    return fail_errno("cannot set process.capabilities");
  (void)::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  for (int cap = 0; cap <= CAP_LAST_CAP; ++cap)
    if (has(wish.ambient & permitted & inheritable, cap) &&
        ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) != 0)
      return fail_errno(concat("cannot raise ambient capability ", cap));
  return {};
}

// --- the user -------------------------------------------------------------------------------

Result<void> become_user(const OciProcess& process, bool may_set_groups) {
  if (may_set_groups && ::setgroups(process.groups.size(), process.groups.data()) != 0)
    return fail_errno("cannot set process.user.additionalGids");
  if (!may_set_groups && !process.groups.empty())
    return fail({}, "process.user.additionalGids: this user namespace may not set groups");
  if (::setresgid(process.gid, process.gid, process.gid) != 0)
    return fail_errno(concat("cannot become process.user.gid ", process.gid));
  if (::setresuid(process.uid, process.uid, process.uid) != 0)
    return fail_errno(concat("cannot become process.user.uid ", process.uid));
  return {};
}

// A directory above the root has no path here (CVE-2024-21626).
Result<void> check_directory(const std::string& wanted) {
  std::array<char, PATH_MAX> path{};
  if (::getcwd(path.data(), path.size()) != nullptr && path.front() == '/') return {};
  return fail({}, concat("process.cwd ", quoted(wanted), " is outside of the container"));
}

// Either as root or as the user: both have directories that the other may not enter.
Result<void> enter_directory(const OciProcess& process) {
  if (::chdir(process.cwd.c_str()) != 0)
    return fail_errno(concat("cannot enter process.cwd ", quoted(process.cwd)));
  return check_directory(process.cwd);
}

// Whether root could enter it. Before the filter, which may not know what the check calls.
Result<bool> enter_as_root(const OciProcess& process) {
  if (::chdir(process.cwd.c_str()) != 0) return false;
  TRY(check_directory(process.cwd));
  return true;
}

Result<void> close_range_of(unsigned first, unsigned last) {
  if (first > last || ::close_range(first, last, 0) == 0) return {};
  return fail_errno("cannot close inherited file descriptors");
}

Result<void> close_all_but(unsigned preserved, int kept) {
  const unsigned first = STDERR_FILENO + 1 + preserved;
  if (kept < 0 || static_cast<unsigned>(kept) < first) return close_range_of(first, UINT_MAX);
  const auto own = static_cast<unsigned>(kept);
  if (own > first)
    if (auto closed = close_range_of(first, own - 1); !closed) return closed;
  return close_range_of(own + 1, UINT_MAX);
}

// Their mode lets the command's user open them again by /dev/stdout.
void give_stdio(const OciProcess& process) {
  for (int number = 0; number < 3; ++number) {
    struct stat facts{};
    if (::fstat(number, &facts) != 0 || facts.st_uid == process.uid) continue;
    if (S_ISFIFO(facts.st_mode) || S_ISSOCK(facts.st_mode)) [[maybe_unused]]
      const int done = ::fchown(number, process.uid, static_cast<gid_t>(-1));
  }
}

std::string_view variable(const OciProcess& process, std::string_view name) {
  for (const std::string_view word : process.env)
    if (word.starts_with(name) && word.substr(name.size()).starts_with('='))
      return word.substr(name.size() + 1);
  return {};
}

bool is_program(const std::string& path) {
  struct stat facts{};
  return ::stat(path.c_str(), &facts) == 0 && S_ISREG(facts.st_mode) &&
         (facts.st_mode & 0111U) != 0;
}

// The agent gets the listener, and this process keeps none.
Result<void> install_filter(const Undress& what) {
  auto listener = TRY(install_seccomp(*what.filter));
  return listener.valid() ? what.hand_on(std::move(listener)) : Result<void>{};
}

}  // namespace

Result<void> set_process_values(const OciProcess& process, const Fd& oom_score) {
  if (process.oom_score_adj)
    if (auto set = set_oom_score(*process.oom_score_adj, oom_score); !set) return set;
  if (process.scheduler)
    if (auto set = set_scheduler(*process.scheduler); !set) return set;
  if (process.io_priority &&
      ::syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, *process.io_priority) != 0)
    return fail_errno("cannot set process.ioPriority");
  if (auto limited = set_limits(process.rlimits); !limited)
    return fail({}, concat("process.rlimits: ", limited.error().text), limited.error().code);
  return {};
}

Result<void> become_command(const Undress& what) {
  const auto& process = what.process;
  give_stdio(process);
  // Before the filter, which may not know the call.
  if (auto closed = close_all_but(what.preserved, what.kept); !closed) return closed;
  const bool entered = TRY(enter_as_root(process));
  if (what.filter && !process.no_new_privs) TRY(install_filter(what));
  if (auto bounded = bound(process.capabilities.bounding); !bounded) return bounded;
  if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return fail_errno("cannot keep capabilities");
  if (auto become = become_user(process, what.may_set_groups); !become) return become;
  if (auto set = set_capabilities(process.capabilities); !set) return set;
  if (!entered) TRY(enter_directory(process));
  ::umask(process.umask.value_or(022));
  if (!process.no_new_privs) return {};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno("cannot set no_new_privs");
  return what.filter ? install_filter(what) : Result<void>{};
}

Result<std::string> find_program(const OciProcess& process) {
  const auto& name = process.args.front();
  if (name.find('/') != std::string::npos) {
    if (is_program(name)) return name;
    const int code = ::access(name.c_str(), F_OK) != 0 ? errno : EACCES;
    return fail({}, concat("cannot run ", quoted(name), " inside"), code);
  }
  for (std::string_view rest = variable(process, "PATH"); !rest.empty();) {
    const auto directory = take_until(rest, ':');
    auto path = concat(directory.empty() ? "." : directory, "/", name);
    if (is_program(path)) return path;
  }
  return fail({},
              concat("cannot run ", quoted(name), " inside: executable file not found in $PATH"),
              ENOENT);
}

}  // namespace userns::frontend
