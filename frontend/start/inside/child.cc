#include "frontend/start/inside/child.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>

#include "frontend/run/exit_status.h"
#include "frontend/run/failure.h"
#include "frontend/run/process.h"
#include "frontend/start/boot/boot.h"
#include "frontend/start/ids/inside_names.h"
#include "frontend/start/inside/clean.h"
#include "frontend/start/inside/identity.h"
#include "frontend/start/inside/inherited.h"
#include "frontend/start/inside/init.h"
#include "frontend/start/inside/pty.h"
#include "frontend/start/inside/seccomp_filter.h"
#include "frontend/start/mounts/etc_files.h"
#include "frontend/start/mounts/lock_mounts.h"
#include "frontend/start/mounts/mounts.h"
#include "frontend/start/mounts/sysctls.h"
#include "frontend/start/net/net_inside.h"
#include "frontend/start/net/net_names.h"
#include "frontend/start/net/networkd.h"
#include "frontend/start/plan/environment.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

bool has(const Plan& plan, std::uint64_t flag) { return (plan.namespaces & flag) != 0; }

Result<void> unshare_rest(const Inheritance& inheritance) {
  const auto flags = inheritance.left_to_unshare;
  if (flags != 0 && ::unshare(static_cast<int>(flags)) != 0)
    return fail_errno(
        "cannot make the namespaces: the kernel or a limit in /proc/sys/user forbids it");
  return inheritance.channel.send({.kind = Message::Kind::kNamespaces});
}

Result<void> set_hostname(const Plan& plan) {
  if (!plan.spec.hostname) return {};
  if (::sethostname(plan.spec.hostname->data(), plan.spec.hostname->size()) != 0)
    return fail_errno("cannot set the host name");
  return {};
}

// While the ids are being mapped: everything that needs no mapped id.
Result<Sources> prepare(const Plan& plan, const Inheritance& inheritance) {
  TRY(unshare_rest(inheritance));
  if (has(plan, CLONE_NEWNET)) TRY(raise_loopback());
  TRY(set_hostname(plan));
  return has(plan, CLONE_NEWNS) ? open_sources(plan) : Sources{};
}

// What the starting process handed in: trees, and what a network of the caller's gave.
struct HandedIn {
  std::vector<Fd> trees;
  std::string network;
};

// The starting process may be gone: then nobody is left to tell.
HandedIn wait_for_go(const Channel& channel) {
  HandedIn handed;
  while (true) {
    auto message = channel.receive();
    if (!message || !*message) ::_exit(kExitOwnFailure);
    if ((*message)->kind == Message::Kind::kGo) {
      handed.network = std::move((*message)->text);
      return handed;
    }
    if ((*message)->kind != Message::Kind::kTree || !(*message)->fd.valid())
      ::_exit(kExitOwnFailure);
    handed.trees.push_back(std::move((*message)->fd));
  }
}

// What net.conf gave to the NICs, when they are there: in pieces, the last one empty.
std::string wait_for_nics(const Channel& channel) {
  std::string given;
  while (true) {
    auto message = channel.receive();
    if (!message || !*message || (*message)->kind != Message::Kind::kNics) ::_exit(kExitOwnFailure);
    if ((*message)->text.empty()) return given;
    given += (*message)->text;
  }
}

Result<void> follow_into_death(const Plan& plan, const Inheritance& inheritance) {
  if (!plan.spec.die_with_parent) return {};
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
    return fail_errno("cannot set up --die-with-parent");
  // In a pid namespace of its own the parent's id reads 0, and the channel tells of its death.
  if (!has(plan, CLONE_NEWPID) && ::getppid() != inheritance.starter) ::_exit(kExitOwnFailure);
  return {};
}

// The working directory in the host's tree may be one that the caller alone may enter, so the
// container's root is only put on for files until the mounts are locked.
Result<void> build_and_lock(const Plan& plan, const Channel& channel, Sources sources) {
  auto done = plan.own_root ? become_setup_user(plan) : use_files_as_setup_user(plan);
  if (done) done = build_mounts(plan, sources);
  if (done && !plan.own_root) done = use_files_as_caller();
  for (const auto& note : sources.notes)
    if (done)
      done = channel.send({.kind = Message::Kind::kNote, .text = note.substr(0, kLongestText)});
  return done ? lock_mounts(plan, channel) : done;
}

// A file that was asked for by name is the one that was meant, and a directory above it the
// caller's own.
bool is_asked_for(const Plan& plan, std::string_view destination) {
  return std::ranges::any_of(plan.spec.mounts, [&](const MountWish& wish) {
    const auto* const bind = std::get_if<BindWish>(&wish);
    return bind != nullptr && (bind->destination == destination ||
                               destination.starts_with(concat(bind->destination, "/")));
  });
}

// Of a network of the caller's: the file goes to the process that keeps names in it.
Result<void> share_names(const Plan& plan, const Channel& channel, std::string_view given) {
  const auto* const user = std::get_if<NetUser>(&plan.spec.net);
  if (user == nullptr || user->network.empty()) return {};
  (void)take_until(given, '\n');
  auto hosts = TRY(share_hosts(plan, given));
  if (hosts.valid())
    return channel.send({.kind = Message::Kind::kHosts, .text = {}, .fd = std::move(hosts)});
  return channel.send(
      {.kind = Message::Kind::kNote,
       .text = concat("network ", user->network, ": no names: ",
                      plan.own_root
                          ? "/etc/hosts inside is not a plain file, or --bind covers it"
                          : "/etc/hosts is the host's own; with --overlay there is one inside"),
       .fd = {}});
}

Result<void> furnish(const Plan& plan, const Inheritance& inheritance, Sources sources,
                     std::string given) {
  const auto umask = ::umask(022);
  if (has(plan, CLONE_NEWNS))
    if (auto locked = build_and_lock(plan, inheritance.channel, std::move(sources)); !locked)
      return locked;
  if (auto become = become_setup_user(plan); !become) return become;
  if (auto followed = follow_into_death(plan, inheritance); !followed) return followed;
  if (std::holds_alternative<NetBridges>(plan.spec.net)) given = wait_for_nics(inheritance.channel);
  const auto net = TRY(with_given(plan.spec.net, given));
  if (auto connected = configure_nics(net); !connected) return connected;
  if (has(plan, CLONE_NEWNS))
    if (auto added = add_loose_mounts(plan); !added) return added;
  if (plan.own_root && !is_asked_for(plan, "/etc/resolv.conf"))
    if (auto told = tell_names(net); !told) return told;
  if (plan.boot && plan.boot->init.kind == InitKind::kSystemd)
    TRY(tell_networkd(net, [&](std::string_view path) { return is_asked_for(plan, path); }));
  if (auto set = set_sysctls(plan); !set) return set;
  // In the host's tree the command makes the caller's files.
  if (!plan.own_root) ::umask(umask);
  if (auto furnished = furnish_etc(plan, net); !furnished) return furnished;
  return has(plan, CLONE_NEWNS) ? share_names(plan, inheritance.channel, given) : Result<void>{};
}

// A session of its own: the caller's terminal is not this process's to control, whatever fd leads
// to it.
Result<void> take_stdio(const Plan& plan, const Inheritance& inheritance) {
  ::setsid();
  if (plan.tty) return take_terminal(plan, inheritance.channel);
  for (int number = 0; number < 3; ++number) {
    const auto& fd = inheritance.stdio.at(static_cast<std::size_t>(number));
    if (fd.valid() && ::dup2(fd.get(), number) < 0)
      return fail_errno("cannot set up standard input and output");
  }
  return refuse_directories();
}

Result<void> enter_directory(const Plan& plan) {
  if (!plan.spec.cwd.empty()) {
    if (::chdir(plan.spec.cwd.c_str()) != 0)
      return fail_errno(concat("cannot enter --cwd ", quoted(plan.spec.cwd)));
    return {};
  }
  if (!plan.own_root && plan.spec.mounts.empty())
    return {};  // the caller's own directory, as it is
  char caller[PATH_MAX];
  // A mount may lie over it now; where it can't be entered by name, the directory stays the one it
  // is.
  if (!plan.own_root && ::getcwd(caller, sizeof caller) != nullptr) [[maybe_unused]]
    const int done = ::chdir(caller);
  return {};
}

std::vector<std::string> command_environment(const Plan& plan) {
  std::vector<std::string_view> caller;
  for (char** word = ::environ; word != nullptr && *word != nullptr; ++word)
    caller.emplace_back(*word);
  if (plan.boot) return boot_environment(plan.spec, caller, *plan.boot);
  if (!plan.own_root) return make_environment(plan.spec, caller, nullptr);
  const auto user = inside_user(read_inside("etc/passwd"), plan.spec.uid);
  return make_environment(plan.spec, caller, &user);
}

Result<void> prepare_boot(const Plan& plan, const Channel& channel) {
  if (!plan.boot) return {};
  auto socket = TRY(furnish_boot(plan));
  if (!socket.valid()) return {};
  Message message{.kind = Message::Kind::kNotify};
  message.fd = std::move(socket);
  return channel.send(message);
}

// Takes away all that the command is not to have; nothing after this needs privilege.
Result<void> dress(const Plan& plan) {
  if (plan.spec.seccomp == SeccompMode::kDefault)
    if (auto filtered = install_default_profile(plan.spec.nesting); !filtered) return filtered;
  if (auto become = become_command_user(plan); !become) return become;
  if (plan.spec.die_with_parent &&
      ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)  // changing ids cleared it
    return fail_errno("cannot set up --die-with-parent");
  if (plan.spec.no_new_privs && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return fail_errno("cannot set no_new_privs");
  return set_limits(plan.spec.rlimits);
}

// Whether the command is there at all. A PATH directory that the container's root may not search
// says EACCES, too, and is not what the user meant.
bool is_there(const std::string& name) {
  if (name.find('/') != std::string::npos) return ::access(name.c_str(), F_OK) == 0;
  const char* const path = ::getenv("PATH");
  for (std::string_view rest = path == nullptr ? "/bin:/usr/bin" : path; !rest.empty();)
    if (::access(concat(take_until(rest, ':'), "/", name).c_str(), F_OK) == 0) return true;
  return false;
}

Failure exec_failure(const Plan& plan) {
  int code = errno;
  const auto& name = plan.spec.command.front();
  const bool found = is_there(name);
  if (code == EACCES && !found && name.find('/') == std::string::npos) code = ENOENT;
  const std::string_view hint =
      code == ENOENT && found ? " (the file is there, its interpreter or loader is not)" : "";
  return {.error = {.rule = {},
                    .code = code,
                    .text = concat("cannot run ", quoted(name), " inside", hint)},
          .exit_status = code == ENOENT || code == ENOTDIR ? kExitNotFound : kExitNotExecutable};
}

// Nothing of the caller's but 0-2 is handed in: an open directory of the host's would be a way out,
// for the command and already for a working directory that is a link to /proc/self/fd.
Result<void> close_all_but(const Channel& channel) {
  const auto kept = static_cast<unsigned>(channel.raw());
  constexpr unsigned kFirst = STDERR_FILENO + 1;
  if ((kept > kFirst && ::close_range(kFirst, kept - 1, 0) != 0) ||
      ::close_range(kept + 1, UINT_MAX, 0) != 0)
    return fail_errno("cannot close inherited file descriptors");
  return {};
}

// The child's mount namespace is not the one that the starter saw, and the starter may not read the
// child's /proc.
Message last_words() {
  struct stat space{};
  const bool known = ::stat("/proc/self/ns/mnt", &space) == 0;
  return {.kind = Message::Kind::kExec, .text = known ? concat(space.st_ino) : std::string{}};
}

// Returns only where it failed.
Failure run_command(const Plan& plan, const Inheritance& inheritance) {
  if (auto taken = take_stdio(plan, inheritance); !taken) return {taken.error()};
  if (auto prepared = prepare_boot(plan, inheritance.channel); !prepared) return {prepared.error()};
  const auto environment = command_environment(plan);
  auto environment_words = argv_of(environment);
  const auto command_words = argv_of(plan.spec.command);
  if (auto dressed = dress(plan); !dressed) return {dressed.error()};
  if (auto closed = close_all_but(inheritance.channel); !closed) return {closed.error()};
  if (auto entered = enter_directory(plan); !entered) return {entered.error()};
  ::sigprocmask(SIG_SETMASK, &inheritance.signal_mask, nullptr);
  if (plan.boot) reset_signals();  // an init blocks and ignores what it wants itself
  if (auto sent = inheritance.channel.send(last_words()); !sent) return {sent.error()};
  ::environ = environment_words.data();  // its PATH is searched
  ::execvp(command_words[0], command_words.data());
  return exec_failure(plan);
}

Failure start_inside(const Plan& plan, const Inheritance& inheritance) {
  auto sources = prepare(plan, inheritance);
  if (!sources) return {sources.error()};
  auto handed = wait_for_go(inheritance.channel);
  sources->idmapped = std::move(handed.trees);
  if (auto furnished = furnish(plan, inheritance, std::move(*sources), std::move(handed.network));
      !furnished)
    return {furnished.error()};
  if (auto left = leave_what_is_the_callers(); !left) return {left.error()};
  if (plan.spec.init)
    if (auto forked = continue_below_init(); !forked) return {forked.error()};
  return run_command(plan, inheritance);
}

}  // namespace

namespace {

[[noreturn]] void report_and_exit(const Inheritance& inheritance, const Failure& failure) {
  // Nothing is left to do where nobody hears it.
  [[maybe_unused]] const auto sent = inheritance.channel.send({.kind = Message::Kind::kFailure,
                                                               .exit_status = failure.exit_status,
                                                               .code = failure.error.code,
                                                               .text = failure.error.text});
  ::_exit(failure.exit_status);
}

Failure start_joined(Plan& plan, const Inheritance& inheritance, const std::string& user,
                     const std::string& group) {
  (void)wait_for_go(inheritance.channel);
  ::umask(022);
  if (!user.empty() || !group.empty()) {
    const auto passwd = read_inside("etc/passwd"), groups = read_inside("etc/group");
    const std::string name = user.empty() ? "0" : user;
    const auto ids = inside_ids(passwd, groups, name, group);
    const bool has_user = ids || inside_ids(passwd, groups, name, "");
    if (!ids)
      return {{.rule = {},
               .code = 0,
               .text = concat("the container has no ",
                              has_user ? concat("group ", quoted(group), ": see its /etc/group")
                                       : concat("user ", quoted(name), ": see its /etc/passwd"),
                              ", or give a number")}};
    plan.spec.uid = ids->uid;
    plan.spec.gid = ids->gid;
    plan.spec.groups = ids->groups;
    std::erase_if(plan.spec.groups, [&](std::uint32_t gid) { return !plan.ids.gids.has(gid); });
  }
  if (auto become = become_setup_user(plan); !become) return {become.error()};
  if (auto left = leave_what_is_the_callers(); !left) return {left.error()};
  return run_command(plan, inheritance);
}

}  // namespace

void run_joined(Plan plan, const Inheritance& inheritance, const std::string& user,
                const std::string& group) {
  report_and_exit(inheritance, start_joined(plan, inheritance, user, group));
}

void run_inside(const Plan& plan, const Inheritance& inheritance) {
  report_and_exit(inheritance, start_inside(plan, inheritance));
}

}  // namespace userns::frontend
