#include "frontend/container/starter.h"
#include "frontend/start/cgroup_entry.h"
#include "frontend/start/make_plan.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "common/config.h"
#include "frontend/container/destroy.h"
#include "frontend/events/event_log.h"
#include "frontend/monitor/console/console_log.h"
#include "frontend/monitor/control.h"
#include "frontend/monitor/handover.h"
#include "frontend/monitor/hooks.h"
#include "frontend/run/own_words.h"
#include "frontend/run/process.h"
#include "frontend/spec/tell.h"
#include "frontend/start/inside/child.h"
#include "frontend/start/plan/init_kind.h"
#include "frontend/start/plan/plan.h"
#include "frontend/start/record.h"
#include "frontend/start/running.h"
#include "frontend/start/seal.h"
#include "frontend/store/state.h"
#include "frontend/store/store.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

void keep_across_exec(std::initializer_list<int> fds, bool keep) {
  for (const int fd : fds)
    if (fd >= 0) (void)::fcntl(fd, F_SETFD, keep ? 0 : FD_CLOEXEC);
}

void keep_across_exec(const Handover& h, bool keep) {
  keep_across_exec({h.directory, h.lock, h.control, h.report, h.pidfd, h.user_namespace, h.terminal,
                    h.notify, h.life, h.network},
                   keep);
  for (const auto& client : h.clients) keep_across_exec({client.fd}, keep);
}

bool can_boot(const Spec& spec) {
  constexpr std::uint64_t kNeeded = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWCGROUP | CLONE_NEWUTS;
  return !spec.init && spec.uid == 0 && spec.gid == 0 && (spec.namespaces & kNeeded) == kNeeded;
}

// The command of this start, or of the config file, or the init that is there, or a shell.
Result<void> choose_command(Spec& spec, std::span<const std::string> given) {
  if (!given.empty()) spec.command.assign(given.begin(), given.end());
  if (!spec.command.empty() || spec.boot) return {};
  const auto rootfs = open_at(AT_FDCWD, spec.rootfs.c_str(), O_PATH | O_DIRECTORY);
  if (!rootfs)
    return fail({}, concat("cannot open the root file system ", quoted(spec.rootfs)),
                rootfs.error().code);
  const auto init = find_init(*rootfs);
  if (init && can_boot(spec)) {
    spec.boot = true;
  } else {
    spec.command = {init ? init->path : "/bin/sh"};
    if (!init && !spec.stop_signal)
      spec.stop_signal = SIGHUP;  // a shell at a terminal ignores SIGTERM
  }
  return {};
}

struct Planned {
  Plan plan;
  ContainerConfig config;
};

Result<Planned> make_plan_for(const Handover& handover) {
  const auto dashes = std::ranges::find(handover.rest, "--");
  const std::span<const std::string> options(handover.rest.begin(), dashes);
  const std::span<const std::string> command(std::next(dashes), handover.rest.end());
  const auto store = TRY(Store::open(handover.path));
  const auto container = TRY(store.find(handover.name));
  const auto own = container.config();
  auto spec = own ? container.spec(*own, options) : std::unexpected(own.error());
  auto config = TRY(spec ? container.settings(*own) : std::unexpected(spec.error()));
  TRY(check_start(container, *spec));
  TRY(choose_command(*spec, command));
  spec->die_with_parent = true;  // with the monitor
  spec->tty = TtyMode::kYes;
  auto plan = TRY(make_plan_to_start(*spec));
  plan.kept = true;
  return Planned{std::move(plan), std::move(config)};
}

std::vector<IdRange> all_but(const ChosenMap& map, std::uint32_t own) {
  std::vector<IdRange> ranges;
  for (const auto& extent : map.extents) {
    const auto range = extent.outside();
    const bool has_own = range.contains(IdRange::make(own, 1).value());
    if (!has_own) ranges.push_back(range);
    if (!has_own) continue;
    if (const auto before = IdRange::make(range.first(), own - range.first()))
      ranges.push_back(*before);
    if (const auto after = IdRange::make(std::uint64_t{own} + 1, range.end() - own - 1))
      ranges.push_back(*after);
  }
  return ranges;
}

State state_of(const Planned& planned, const Running& running, const Handover& handover) {
  const auto& plan = planned.plan;
  const auto& spec = plan.spec;
  State state{.version = std::string(kVersion),
              .boot_id = boot_id(),
              .monitor = ProcessId::of(::getpid()).value_or(ProcessId{}),
              .init = ProcessId::of(running.first.payload().pid).value_or(ProcessId{}),
              .started_at = now(),
              .kind = handover.kind,
              .restarts = handover.restarts,
              .namespaces = plan.namespaces,
              .user_namespace = number_of(running.first.user_namespace()),
              .user_namespace_id = id_of(running.first.user_namespace()),
              .root = plan.own_root ? root_of(running.first.payload().pid) : FileId{},
              .ids = handover.own_ids,
              .cgroup = running.cgroup.directory(),
              .own_root = plan.own_root,
              .dress = {.cap_drop = spec.cap_drop,
                        .cap_keep = spec.cap_keep,
                        .no_new_privs = spec.no_new_privs,
                        .seccomp = spec.seccomp == SeccompMode::kDefault,
                        .nesting = spec.nesting,
                        .rlimits = spec.rlimits,
                        .env = {}},
              .command = spec.command,
              .autostart = planned.config.autostart,
              .groups = planned.config.groups};
  for (const auto& wish : spec.env)
    if (wish.value) state.dress.env.emplace_back(wish.name, *wish.value);
  return state;
}

void describe_run(Handover& handover, const Plan& plan, const Running& running) {
  const auto& payload = running.first.payload();
  handover.pid = payload.pid;
  handover.pidfd = payload.pidfd.get();
  handover.user_namespace = running.first.user_namespace().get();
  handover.own_ids = {.uids = all_but(plan.ids.uids, ::getuid()),
                      .gids = all_but(plan.ids.gids, ::getgid())};
  handover.terminal = running.relay.master().get();
  handover.life = running.user_net.life().get();
  handover.network = running.user_net.network().get();
  handover.notify = payload.notify.get();
  handover.boots = plan.boot.has_value();
  handover.kind = plan.boot ? name_of(plan.boot->init.kind) : "command";
  handover.stop_signal = stop_signal(plan);
  if (plan.spec.wait_ready) handover.ready_within = plan.spec.wait_ready->count();
  handover.is_pid_1 = (plan.namespaces & CLONE_NEWPID) != 0 && !plan.spec.init;
  handover.stop_timeout = plan.spec.stop_timeout.count();
  handover.hook_timeout = plan.spec.hook_timeout.count();
  handover.cgroup = running.cgroup.directory();
  handover.pid_file = plan.spec.pid_file;
  for (const auto& limit : plan.spec.limits) handover.limits.emplace_back(limit.file, limit.option);
}

Error become_monitor(const Handover& handover) {
  const auto program = concat(std::string_view(kHelperDir), "/userns-monitor");
  auto words = to_words(handover);
  words.insert(words.begin(), "userns-monitor");
  keep_across_exec(handover, true);
  ::execv(program.c_str(), argv_of(words).data());
  const int code = errno;
  keep_across_exec(handover, false);
  return {.rule = {}, .code = code, .text = concat("cannot start the monitor ", program)};
}

std::vector<std::string> words_for(const Handover& told) {
  auto words = to_words(told);
  words.insert(words.begin(), {"userns-run", std::string(kStarterWord)});
  return words;
}

// Each of both may begin this program anew, and then returns there. The monitor that comes after us
// is another program: ours would then be free to be written to. After the cgroup, whose helper
// starts us by our name.
Result<Cgroup> settle(const Handover& told, const Plan& plan) {
  keep_across_exec(told, true);
  auto cgroup = enter_cgroup(
      plan, {.container = told.name, .earlier = told.cgroup, .words = words_for(told)});
  if (cgroup) {
    auto there = told;
    there.cgroup = cgroup->directory();
    if (auto safe = be_out_of_reach(plan.ids, words_for(there)); !safe)
      cgroup = std::unexpected(safe.error());
  }
  keep_across_exec(told, false);
  return cgroup;
}

// Who asked for the start and is gone does not want it any more, and TERM (of stop) ends it.
Result<void> run_start_hooks(const std::vector<std::string>& hooks, const Handover& handover,
                             const Plan& plan) {
  if (hooks.empty()) return {};
  const auto signals = TRY(Signals::take({SIGTERM, kScopeStops}));
  const SignalsAgain again(signals);
  return run_hooks(hooks, handover.name, handover.pid, 0,
                   {.timeout = plan.spec.hook_timeout,
                    .give_up = handover.report,
                    .signals = signals.fd().get()});
}

// Returns only where it failed; then nothing of the container is left.
Failure start_and_become_monitor(const Handover& told, Handover& handover) {
  const Fd directory(handover.directory);
  const auto planned = make_plan_for(handover);
  if (!planned) return {planned.error()};
  const auto& plan = planned->plan;
  auto cgroup = settle(told, plan);
  if (!cgroup) return {cgroup.error()};
  handover.cgroup = cgroup->directory();
  if (!plan.net_why.empty() && handover.report >= 0)
    tell("userns-run", {.rule = {}, .code = 0, .text = plan.net_why});
  for (const auto& note : plan.notes)
    if (handover.report >= 0) tell("userns-run", {.rule = {}, .code = 0, .text = note});
  if (auto hooked = run_start_hooks(handover.pre_start, handover, plan); !hooked)
    return {hooked.error()};
  const auto running = start(plan, std::move(*cgroup));
  if (!running) return running.error();
  describe_run(handover, plan, *running);
  if (auto written = write_state(directory, state_of(*planned, *running, handover)); !written)
    return {written.error()};
  PidFile pid_file;
  if (!plan.spec.pid_file.empty())
    if (auto written = pid_file.write(plan.spec.pid_file, handover.pid); !written)
      return {written.error()};
  auto hooked = run_start_hooks(handover.started, handover, plan);
  const auto error = hooked ? become_monitor(handover) : hooked.error();
  (void)::unlinkat(directory.get(), kStateFile, 0);
  return {error};
}

void tell(const Handover& handover, const Failure& failure) {
  if (handover.report < 0) return;
  const Channel report{Fd(handover.report)};
  [[maybe_unused]] const auto sent = report.send({.kind = Message::Kind::kFailure,
                                                  .exit_status = failure.exit_status,
                                                  .code = failure.error.code,
                                                  .text = failure.error.text});
}

// What nobody waits for is said in the log, in info and in the events.
void note_failure(const Handover& handover, const Failure& failure, std::string_view next) {
  const Fd directory(::fcntl(handover.directory, F_DUPFD_CLOEXEC, 3));
  if (!directory.valid()) return;
  const auto text = concat(
      "cannot start it", handover.restarts == 0 ? ": " : " again: ", to_text(failure.error), next);
  ConsoleLog(directory, handover.log_size).append(concat("userns-run: ", text, "\r\n"));
  (void)write_last_end(directory,
                       {.exit_status = failure.exit_status, .ended_at = now(), .text = text});
  write_event_of(directory, {.name = handover.name,
                             .what = std::string(event::kDie),
                             .exit_status = failure.exit_status,
                             .text = text});
}

// The run has ended.
void give_up(const Handover& handover, int exit_status) {
  const Fd directory(::fcntl(handover.directory, F_DUPFD_CLOEXEC, 3));
  for (const char* name : {kControlFile, kStartedFile}) (void)::unlinkat(directory.get(), name, 0);
  Fd(handover.lock).reset();
  const auto end = concat(static_cast<char>(Said::kEnd), exit_status);
  for (const auto& client : handover.clients)
    (void)::send(client.fd, end.data(), end.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

// False: TERM, which is what stop sends, came first.
bool wait_to_try_again(const Handover& handover) {
  const auto signals = Signals::take({SIGTERM, kScopeStops});
  if (!signals) return false;
  const SignalsAgain again(*signals);
  pollfd asked{.fd = signals->fd().get(), .events = POLLIN, .revents = 0};
  return ::poll(&asked, 1, static_cast<int>(restart_delay(handover.restarts).count())) == 0;
}

// Returns only if it does not come to that: the restart policy allows no more, or it was stopped.
// What the caller has as its standard error is not held any longer.
void try_again(const Handover& told, const std::string& cgroup) {
  (void)::dup2(STDOUT_FILENO, STDERR_FILENO);
  if (!wait_to_try_again(told)) return;
  auto next = told;
  next.report = -1;
  next.retry = false;
  next.cgroup = cgroup;
  ++next.restarts;
  --next.restarts_left;
  keep_across_exec(next, true);
  auto words = words_for(next);
  ::execv(next.program.c_str(), argv_of(words).data());
  keep_across_exec(next, false);
}

// A failure that the restart policy is about: of a start after an end, or of one that is to be
// tried again.
bool is_to_be_tried_again(const Handover& told) {
  return told.restart && told.restarts_left > 0 && (told.report < 0 || told.retry);
}

std::string when_next(const Handover& told) {
  const auto delay = restart_delay(told.restarts).count();
  return concat("; the next try is in ", delay, " ms");
}

}  // namespace

int be_starter(const Handover& told) {
  keep_across_exec(told, false);
  const bool is_heard = told.report >= 0;
  const bool goes_on = is_to_be_tried_again(told);
  auto copy = told;
  copy.directory = ::fcntl(told.directory, F_DUPFD_CLOEXEC, 3);
  auto failure = start_and_become_monitor(told, copy);
  if (!is_heard || goes_on) note_failure(told, failure, goes_on ? when_next(told) : "");
  if (goes_on) failure.error.text += "; it is tried again, as its restart setting says";
  if (is_heard) tell(told, failure);
  if (goes_on) try_again(told, copy.cgroup);
  if (!is_heard || goes_on) give_up(told, failure.exit_status);
  return failure.exit_status;
}

int be_starter(std::span<const std::string_view> words, std::span<const std::string_view> command) {
  auto handover = handover_from(words);
  if (handover && (handover->directory < 0 || handover->lock < 0 || handover->control < 0))
    handover =
        fail({}, "these words are userns-run's own: to start a container, userns-run start NAME");
  if (!handover) {
    tell("userns-run", handover.error());
    return kExitOwnFailure;
  }
  handover->rest.emplace_back("--");
  handover->rest.insert(handover->rest.end(), command.begin(), command.end());
  return be_starter(*handover);
}

}  // namespace userns::frontend
