#include "frontend/oci/inside/container.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "frontend/oci/inside/dress.h"
#include "frontend/oci/inside/hooks.h"
#include "frontend/oci/inside/ids.h"
#include "frontend/oci/inside/mounts.h"
#include "frontend/oci/inside/sysctls.h"
#include "frontend/oci/inside/terminal.h"
#include "frontend/run/exit_status.h"
#include "frontend/run/mount_api.h"
#include "frontend/run/process.h"
#include "frontend/start/inside/clean.h"
#include "frontend/start/inside/inherited.h"
#include "frontend/start/mounts/lock_mounts.h"
#include "frontend/start/net/net_inside.h"
#include "frontend/start/plan/environment.h"
#include "frontend/start/plan/plan.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

// Of the host's /proc and /dev, while they can be reached, and while the files of this process
// there are its own.
struct HostsProc {
  Fd oom_score;
  Fd time_offsets;  // none: a kernel without time namespaces
  Fd settings;
  Fd null;
};

Result<HostsProc> open_proc() {
  auto oom_score = open_at(AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY);
  auto offsets = open_at(AT_FDCWD, "/proc/self/timens_offsets", O_WRONLY);
  auto settings = open_at(AT_FDCWD, "/proc/sys", O_PATH | O_DIRECTORY);
  auto null = open_at(AT_FDCWD, "/dev/null", O_PATH);
  for (const auto* const needed : {&oom_score, &settings, &null})
    if (!*needed) return std::unexpected(needed->error());
  return HostsProc{std::move(*oom_score), offsets ? std::move(*offsets) : Fd{},
                   std::move(*settings), std::move(*null)};
}

// Others in a pid namespace that it shares cannot look into it. In a new one nobody is, and hooks
// may have to find its namespaces. Its maps are written.
Result<void> hide(const OciConfig& config) {
  if (config.makes(CLONE_NEWPID)) return {};
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0) return {};
  return fail_errno("cannot hide the container's first process");
}

// What the starting process says; it may be gone, and then nobody is left to tell.
std::string wait_for_go(const Channel& channel) {
  auto message = channel.receive();
  if (!message || !*message || (*message)->kind != Message::Kind::kGo) ::_exit(kExitOwnFailure);
  return std::move((*message)->text);
}

[[noreturn]] void report_and_exit(const Channel& channel, const Error& error) {
  // Nothing is left to do where nobody hears it.
  [[maybe_unused]] const auto sent = channel.send({.kind = Message::Kind::kFailure,
                                                   .exit_status = kExitOwnFailure,
                                                   .code = error.code,
                                                   .text = error.text});
  ::_exit(kExitOwnFailure);
}

bool may_set_groups(const Prepared& prepared) { return !prepared.ids.deny_setgroups; }

// In a user namespace of the container's: its root, where it has one.
Result<void> become_root_inside(const Prepared& prepared) {
  if (!prepared.config.has(CLONE_NEWUSER)) return {};
  const std::uint32_t uid = prepared.ids.uids.has(0) ? 0 : prepared.config.process->uid;
  const std::uint32_t gid = prepared.ids.gids.has(0) ? 0 : prepared.config.process->gid;
  if (may_set_groups(prepared) && ::syscall(SYS_setgroups, 0, nullptr) != 0)
    return fail_errno("cannot leave the caller's groups");
  if (::setresgid(gid, gid, gid) != 0 || ::setresuid(uid, uid, uid) != 0)
    return fail_errno("cannot become the container's root");
  return {};
}

// The offsets can be set until somebody is in it, which the exec is.
Result<void> make_time(const OciConfig& config, const Fd& offsets) {
  if (!config.makes(CLONE_NEWTIME)) return {};
  if (::unshare(CLONE_NEWTIME) != 0) return fail_errno("cannot make a time namespace");
  std::string text;
  for (const auto& offset : config.time_offsets)
    text += concat(offset.clock, " ", offset.seconds, " ", offset.nanoseconds, "\n");
  const auto set = text.empty() ? Result<void>{} : write_once(offsets, text);
  if (set) return {};
  return fail({}, "cannot set linux.timeOffsets", set.error().code);
}

Result<void> make_rest(const OciConfig& config, const Fd& time_offsets) {
  if (config.hostname && ::sethostname(config.hostname->data(), config.hostname->size()) != 0)
    return fail_errno("cannot set hostname");
  if (config.domainname &&
      ::setdomainname(config.domainname->data(), config.domainname->size()) != 0)
    return fail_errno("cannot set domainname");
  return make_time(config, time_offsets);
}

// A plan for what frontend/start does with one.
Plan plan_of(const Prepared& prepared) {
  Plan plan;
  plan.ids = prepared.ids;
  plan.own_root = true;
  plan.kept = true;  // the terminal's size is not the caller's
  return plan;
}

// A root that passes mount events on is not locked: it would get none.
Result<void> lock(const Prepared& prepared) {
  const bool passes_on = (prepared.config.propagation & MS_SHARED) != 0;
  if (!passes_on)
    if (auto locked = lock_mounts(plan_of(prepared), prepared.channel); !locked) return locked;
  return set_root_propagation(prepared.config);
}

Result<void> hooks_outside(const Prepared& prepared) {
  if (auto told = prepared.channel.send({.kind = Message::Kind::kHooks}); !told) return told;
  const auto pid = parse_decimal(wait_for_go(prepared.channel)).value_or(0);
  const auto& hooks = prepared.config.hooks.create_container;
  if (hooks.empty()) return {};
  return run_oci_hooks(hooks, "createContainer", prepared.state(static_cast<pid_t>(pid)));
}

Result<void> build(const Prepared& prepared, OciSources sources, const HostsProc& proc) {
  const auto& config = prepared.config;
  ::umask(022);
  // A cgroup2 mount shows the namespace that it is made in, and is for its owner.
  if (config.makes(CLONE_NEWCGROUP) && ::unshare(CLONE_NEWCGROUP) != 0)
    return fail_errno("cannot make a cgroup namespace");
  if (auto built = build_oci_mounts(config, sources, proc.null); !built) return built;
  if (auto done = hooks_outside(prepared); !done) return done;
  if (auto made = make_rest(config, proc.time_offsets); !made) return made;
  if (auto set = set_oci_sysctls(config, proc.settings); !set) return set;
  if (config.process)
    if (auto set = set_process_values(*config.process, proc.oom_score); !set) return set;
  if (auto entered = enter_oci_root(config, sources.root); !entered) return entered;
  return lock(prepared);
}

// What both kinds of process are before they are the command's.
Result<void> settle(const Prepared& prepared, bool first) {
  const auto& config = prepared.config;
  if (auto left = leave_what_is_the_callers(); !left) return left;
  if (config.personality && ::personality(*config.personality) < 0)
    return fail_errno("cannot set linux.personality");
  ::setsid();
  if (!config.process) return {};
  if (config.process->terminal) return take_oci_terminal(*config.process, prepared.channel, first);
  return refuse_directories();
}

// --- created --------------------------------------------------------------------------------

extern "C" void end_created(int number) { ::_exit(kExitSignalBase + number); }

// The first process of a pid namespace is deaf to signals that it has no handler for.
void heed_signals() {
  reset_signals();
  struct sigaction action{};
  action.sa_handler = end_created;
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM})
    (void)::sigaction(number, &action, nullptr);
}

Channel wait_for_start(const Prepared& prepared) {
  heed_signals();
  while (true) {
    Fd end(::accept4(prepared.listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!end.valid()) continue;
    Channel channel(std::move(end));
    const auto message = channel.receive();
    // A `start` that ended before it asked for anything.
    if (message && *message && (*message)->kind == Message::Kind::kGo) return channel;
  }
}

// --- the command ----------------------------------------------------------------------------

// A HOME that the process was not given is that of its user in the container's passwd(5).
void add_home(OciProcess& process) {
  for (const std::string_view word : process.env)
    if (word.starts_with("HOME=") && word.size() > 5) return;
  std::erase(process.env, "HOME=");
  process.env.push_back(concat("HOME=", inside_user(read_inside("etc/passwd"), process.uid).home));
}

// Returns only where it failed.
Error become(const Prepared& prepared, const Channel& channel) {
  auto process = *prepared.config.process;
  add_home(process);
  const auto program = find_program(process);
  if (!program) return program.error();
  reset_signals();
  const auto words = argv_of(process.args);
  auto environment = argv_of(process.env);
  if (auto sent = channel.send({.kind = Message::Kind::kExec}); !sent) return sent.error();
  const Undress undress{
      .process = process,
      .filter = prepared.filter,
      .may_set_groups = may_set_groups(prepared),
      .preserved = prepared.preserved,
      .kept = channel.raw(),
      .hand_on = [&](Fd listener) {
        return channel.send({.kind = Message::Kind::kNotify, .fd = std::move(listener)});
      }};
  if (auto become = become_command(undress); !become) return become.error();
  ::execve(program->c_str(), words.data(), environment.data());
  const int code = errno;
  return {
      .rule = {}, .code = code, .text = concat("cannot run ", quoted(process.args[0]), " inside")};
}

bool is_same(const Fd& a, const Fd& b) {
  struct stat one{}, other{};
  return ::fstat(a.get(), &one) == 0 && ::fstat(b.get(), &other) == 0 &&
         one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

// The bundle's directory again, on a mount of this namespace: what was opened before is on another.
Result<OciSources> open_sources_here(Prepared& prepared) {
  TRY(make_all_slaves());
  if (prepared.sources) return std::move(*prepared.sources);
  const auto& bundle = prepared.bundle;
  const auto dir = open_at(AT_FDCWD, bundle.path.c_str(), O_PATH | O_DIRECTORY);
  if (!dir)
    return fail({}, concat("cannot open the bundle ", quoted(bundle.path)), dir.error().code);
  if (!is_same(*dir, bundle.dir))
    return fail({}, concat("the bundle ", quoted(bundle.path), " was moved meanwhile"));
  return open_oci_sources(prepared.config, *dir);
}

Result<void> set_up(Prepared& prepared) {
  const auto& config = prepared.config;
  if (auto told = prepared.channel.send({.kind = Message::Kind::kNamespaces}); !told) return told;
  const auto proc = TRY(open_proc());
  auto sources = TRY(open_sources_here(prepared));
  if (config.makes(CLONE_NEWNET))
    if (auto raised = raise_loopback(); !raised) return raised;
  (void)wait_for_go(prepared.channel);
  if (auto hidden = hide(config); !hidden) return hidden;
  if (auto become = become_root_inside(prepared); !become) return become;
  if (auto built = build(prepared, std::move(sources), proc); !built) return built;
  prepared.bundle.dir.reset();
  return settle(prepared, true);
}

// Of a user namespace that was joined.
Result<void> know_ids(Prepared& prepared) {
  const auto& config = prepared.config;
  if (!config.has(CLONE_NEWUSER) || config.makes(CLONE_NEWUSER)) return {};
  auto ids = TRY(own_ids());
  prepared.ids = std::move(ids);
  return {};
}

Result<void> check_program(const OciConfig& config) {
  if (!config.process) return {};
  const auto program = find_program(*config.process);
  return program ? Result<void>{} : std::unexpected(program.error());
}

}  // namespace

void run_container(Prepared prepared) {
  Result<void> done = know_ids(prepared);
  if (done) done = set_up(prepared);
  if (done) done = check_program(prepared.config);
  if (done) done = prepared.channel.send({.kind = Message::Kind::kDone});
  if (!done) report_and_exit(prepared.channel, done.error());
  const auto pid = static_cast<pid_t>(parse_decimal(wait_for_go(prepared.channel)).value_or(0));
  prepared.channel.close();
  const auto start = wait_for_start(prepared);
  prepared.listener.reset();
  if (!prepared.config.process)
    report_and_exit(start, {.rule = {}, .code = 0, .text = "config.json has no process to start"});
  const auto& hooks = prepared.config.hooks.start_container;
  if (!hooks.empty())
    if (auto ran = run_oci_hooks(hooks, "startContainer", prepared.state(pid)); !ran)
      report_and_exit(start, ran.error());
  report_and_exit(start, become(prepared, start));
}

void run_in_container(Prepared prepared) {
  (void)wait_for_go(prepared.channel);
  ::umask(022);
  auto done = become_root_inside(prepared);
  if (done) done = settle(prepared, false);
  if (!done) report_and_exit(prepared.channel, done.error());
  report_and_exit(prepared.channel, become(prepared, prepared.channel));
}

}  // namespace userns::frontend
