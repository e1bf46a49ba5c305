#include "frontend/oci/inside/spaces.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "frontend/oci/cgroup/make.h"
#include "frontend/run/apparmor.h"
#include "frontend/run/channel.h"
#include "frontend/run/process.h"
#include "frontend/start/ids/map_helpers.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::array<std::pair<const char*, std::uint64_t>, 8> kFiles{{{"user", CLONE_NEWUSER},
                                                                       {"mnt", CLONE_NEWNS},
                                                                       {"pid", CLONE_NEWPID},
                                                                       {"net", CLONE_NEWNET},
                                                                       {"ipc", CLONE_NEWIPC},
                                                                       {"uts", CLONE_NEWUTS},
                                                                       {"cgroup", CLONE_NEWCGROUP},
                                                                       {"time", CLONE_NEWTIME}}};

// Of this process, which a visitor's parent is, too.
long clone_child(std::uint64_t flags, bool as_sibling, const Fd& cgroup = {}) {
  clone_args args{};
  args.flags = flags | (as_sibling ? CLONE_PARENT : 0U);
  if (cgroup.valid()) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<unsigned>(cgroup.get());
  }
  args.exit_signal = as_sibling ? 0 : SIGCHLD;
  return ::syscall(SYS_clone3, &args, sizeof args);
}

using Enter = std::function<Result<void>()>;

// Goes in, leaves a child of its parent's in there, and ends: a process cannot change its own pid
// namespace. Nobody inside can look into it.
[[noreturn]] void visit(const Channel& channel, const Enter& enter, std::uint64_t flags,
                        const std::function<void()>& first) {
  auto entered = enter();
  const long pid = entered ? clone_child(flags, true) : -1;
  if (pid == 0) {
    first();
    ::_exit(1);
  }
  if (entered && pid < 0) entered = fail_errno("cannot start a process in its namespaces");
  Message message{.kind = Message::Kind::kNamespaces, .text = concat(pid)};
  if (!entered)
    message = {.kind = Message::Kind::kFailure,
               .code = entered.error().code,
               .text = entered.error().text};
  [[maybe_unused]] const auto sent = channel.send(message);
  ::_exit(0);
}

Result<pid_t> hear_visitor(const Channel& channel) {
  const auto message = TRY(channel.receive());
  if (!message) return fail({}, "the process that was to enter its namespaces was killed");
  if (message->kind == Message::Kind::kFailure) return fail({}, message->text, message->code);
  return static_cast<pid_t>(parse_decimal(message->text).value_or(0));
}

Result<pid_t> clone_by_visitor(const Enter& enter, std::uint64_t flags,
                               const std::function<void()>& first) {
  auto channel = TRY(make_channel());
  const pid_t visitor = ::fork();
  if (visitor < 0) return fail_errno("cannot start a process");
  if (visitor == 0) {
    channel.outside.close();
    visit(channel.inside, enter, flags, first);
  }
  channel.inside.close();
  auto pid = hear_visitor(channel.outside);
  while (::waitpid(visitor, nullptr, 0) < 0 && errno == EINTR) continue;
  return pid;
}

std::string_view name_of(std::uint64_t flag) {
  for (const auto& [name, one] : kFiles)
    if (one == flag) return name;
  return {};
}

Result<void> enter_one(const JoinedSpace& space) {
  if (::setns(space.fd.get(), static_cast<int>(space.flag)) == 0) return {};
  return fail_errno(
      concat("cannot enter the ", name_of(space.flag), " namespace that linux.namespaces lists"));
}

// A namespace may belong to the user namespace outside, or to the one that is joined.
Result<void> enter_all(const std::vector<JoinedSpace>& joined) {
  std::vector<const JoinedSpace*> left;
  const JoinedSpace* user = nullptr;
  for (const auto& space : joined) {
    if (space.flag == CLONE_NEWUSER)
      user = &space;
    else if (!enter_one(space))
      left.push_back(&space);
  }
  if (user != nullptr)
    if (auto entered = enter_one(*user); !entered) return entered;
  for (const auto* const space : left)
    if (auto entered = enter_one(*space); !entered) return entered;
  return {};
}

Result<std::uint64_t> number_of(const std::string& path) {
  struct stat facts{};
  if (::stat(path.c_str(), &facts) != 0) return fail_errno(concat("cannot look at ", path));
  return static_cast<std::uint64_t>(facts.st_ino);
}

}  // namespace

Result<std::vector<JoinedSpace>> open_spaces(const OciConfig& config) {
  std::vector<JoinedSpace> joined;
  for (const auto& space : config.namespaces) {
    if (space.path.empty()) continue;
    auto fd = open_at(AT_FDCWD, space.path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (!fd)
      return fail({}, concat("linux.namespaces: cannot open ", quoted(space.path)),
                  fd.error().code);
    if (::ioctl(fd->get(), NS_GET_NSTYPE) != static_cast<int>(space.flag))
      return fail({}, concat("linux.namespaces: ", quoted(space.path), " is not a ",
                             name_of(space.flag), " namespace"));
    joined.push_back({space.flag, std::move(*fd)});
  }
  return joined;
}

Result<pid_t> clone_into(const std::vector<JoinedSpace>& joined, std::uint64_t flags,
                         const CgroupNote& cgroups, const std::function<void()>& first) {
  const auto enter = [&]() -> Result<void> {
    auto entered = join_cgroups(cgroups);
    return entered ? enter_all(joined) : entered;
  };
  if (!joined.empty()) return clone_by_visitor(enter, flags, first);
  const auto leaf = TRY(cgroups.entries.empty() ? Result<Fd>(Fd{}) : open_cgroup(cgroups));
  const long pid = clone_child(flags, false, leaf);
  if (pid == 0) {
    first();
    ::_exit(1);
  }
  if (pid > 0) return static_cast<pid_t>(pid);
  const int code = errno;
  return fail(
      {}, concat("cannot make the container's namespaces", why_no_clone(code, apparmor_label())),
      code);
}

Result<std::uint64_t> spaces_of(pid_t pid) {
  std::uint64_t spaces = 0;
  for (const auto& [name, flag] : kFiles) {
    const auto theirs = number_of(concat("/proc/", pid, "/ns/", std::string_view(name)));
    const auto ours = number_of(concat("/proc/self/ns/", std::string_view(name)));
    if (!theirs) return std::unexpected(theirs.error());
    if (!ours || *theirs != *ours) spaces |= flag;
  }
  return spaces;
}

Result<pid_t> clone_beside(const Fd& pidfd, std::uint64_t spaces,
                           const std::function<Result<void>()>& join,
                           const std::function<void()>& first) {
  const auto enter = [&]() -> Result<void> {
    if (auto joined = join(); !joined) return joined;
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
      return fail_errno("cannot hide the process that goes in");
    if (spaces == 0 || ::setns(pidfd.get(), static_cast<int>(spaces)) == 0) return {};
    return fail_errno(errno == ESRCH ? "the container has just ended"
                                     : "cannot enter the container's namespaces");
  };
  return clone_by_visitor(enter, 0, first);
}

}  // namespace userns::frontend
