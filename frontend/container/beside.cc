#include "frontend/container/beside.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <limits>
#include <optional>

#include "frontend/container/callers_state.h"
#include "frontend/container/connection.h"
#include "frontend/container/facts.h"
#include "frontend/run/exit_status.h"
#include "frontend/run/process.h"
#include "frontend/run/signals.h"
#include "frontend/spec/tell.h"
#include "frontend/start/ids/process_ids.h"
#include "frontend/start/join.h"
#include "frontend/start/raw_terminal.h"
#include "frontend/start/seal.h"
#include "frontend/store/state.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

// Set for the process that the monitor starts, which is in its cgroup.
constexpr const char* kMark = "USERNS_RUN_BESIDE";
constexpr const char* kInherited = "USERNS_RUN_INHERITED";
constexpr const char* kPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

Result<State> running_state(const Container& container) {
  auto state = TRY(read_state(container.dir()));
  if (state && !state->problem.empty())
    return fail({}, concat(container.name(), " runs, but its record is ", state->problem,
                           ": so it is not known how a command is to be run in it; stop and start "
                           "it first"));
  if (!state || state->init.pid == 0)
    return fail({}, concat(container.name(),
                           state ? " is just being started or stopped"
                                 : concat(" is not running; to start it: userns-run start ",
                                          container.name())));
  return std::move(*state);
}

Plan plan_for(const State& state, const ExecWish& wish) {
  Plan plan;
  auto& spec = plan.spec;
  spec.command = wish.command;
  spec.cwd = wish.cwd.empty() && state.own_root ? "/" : wish.cwd;
  spec.cap_drop = state.dress.cap_drop;
  spec.cap_keep = state.dress.cap_keep;
  spec.no_new_privs = state.dress.no_new_privs;
  spec.seccomp = state.dress.seccomp ? SeccompMode::kDefault : SeccompMode::kNone;
  spec.nesting = state.dress.nesting;
  spec.rlimits = state.dress.rlimits;
  spec.die_with_parent = true;  // what it has started is its own affair, where there is no cgroup
  for (const auto& [name, value] : state.dress.env)
    spec.env.push_back({.name = name, .value = value});
  for (const auto& [name, value] : wish.env) spec.env.push_back({.name = name, .value = value});
  plan.own_root = state.own_root;
  plan.tty = wish.tty;
  return plan;
}

// Nothing of the caller's environment goes in except how to talk to the terminal.
void forget_environment() {
  const char* const term = std::getenv("TERM");
  const std::string kept = term == nullptr ? "" : term;
  ::clearenv();
  (void)::setenv("PATH", kPath, 1);
  if (!kept.empty()) (void)::setenv("TERM", kept.c_str(), 1);
}

// What the monitor has made and handed over.
Fd handed_leaf() {
  const char* const text = std::getenv(kLeafVariable);
  const auto number = text == nullptr ? std::nullopt : parse_decimal(text);
  if (!number || *number > std::numeric_limits<int>::max()) return {};
  return Fd(::fcntl(static_cast<int>(*number), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
}

// The monitor then ends what else the command has started.
int end_as_the_command_did(const Ended& ended, bool in_leaf) {
  if (!in_leaf || !ended.by_a_signal) return ended.status;
  (void)::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);  // no core of ours
  const int number = ended.status - kExitSignalBase;
  reset_signals();
  (void)::raise(number);
  return ended.status;
}

// Its record is there, and it is not.
bool has_ended(pid_t pid, const Fd& pidfd) {
  return is_dying(pid) ||
         (::syscall(SYS_pidfd_send_signal, pidfd.get(), 0, nullptr, 0) != 0 && errno == ESRCH);
}

std::unexpected<Error> just_ended(const Container& container) {
  return fail({}, concat(container.name(), " has just ended"));
}

Step<int> execute_here(const Container& container, const State& state, const ExecWish& wish) {
  auto init = TRY(own(find_way_in(container)));
  const auto ids = own(ids_of_process(init.pid));
  if (!ids && has_ended(init.pid, init.pidfd)) return own(Result<int>(just_ended(container)));
  if (!ids) return std::unexpected(ids.error());
  TRY(own(be_out_of_reach(*ids)));
  auto leaf = handed_leaf();
  if (const char* const state_of_caller = std::getenv(kInherited)) inherit(state_of_caller);
  forget_environment();
  const bool in_leaf = leaf.valid();
  const JoinWish way{.pid = init.pid,
                     .pidfd = std::move(init.pidfd),
                     .namespaces = state.namespaces,
                     .leaf = std::move(leaf),
                     .user = wish.user,
                     .group = wish.group};
  const auto ended = join(plan_for(state, wish), way);
  const bool no_command = !ended && ended.error().exit_status == kExitOwnFailure;
  if (no_command && has_ended(way.pid, way.pidfd)) return own(Result<int>(just_ended(container)));
  if (!ended) return std::unexpected(ended.error());
  return end_as_the_command_did(*ended, in_leaf);
}

// --- by the monitor, into the cgroup
// --------------------------------------------------------------

std::vector<std::string> words_for(const Container& container, const ExecWish& wish) {
  std::vector<std::string> words{
      "userns-run", "exec", container.name(),
      concat("--path=", container.path().substr(0, container.path().rfind('/'))),
      concat("--tty=", wish.tty ? "yes" : "no")};
  if (!wish.user.empty()) words.push_back(concat("--user=", wish.user));
  if (!wish.group.empty()) words.push_back(concat("--group-id=", wish.group));
  if (!wish.cwd.empty()) words.push_back(concat("--cwd=", wish.cwd));
  for (const auto& [name, value] : wish.env) words.push_back(concat("--env=", name, "=", value));
  words.emplace_back("--");
  words.insert(words.end(), wish.command.begin(), wish.command.end());
  return words;
}

// A signal that the command does not catch ends it although it is frozen (cgroups(7)); one that it
// catches waits until it is thawed.
bool ends_soon(const Connection& connection) {
  constexpr int kMilliseconds = 300;
  pollfd polled{.fd = connection.raw(), .events = POLLIN, .revents = 0};
  return ::poll(&polled, 1, kMilliseconds) > 0;
}

int given_up(const Container& container, int number) {
  tell("userns-run",
       {.rule = {},
        .code = 0,
        .text = concat(container.name(),
                       " is frozen: the command is ended when it is thawed; userns-run thaw ",
                       container.name())});
  return kExitSignalBase + number;
}

std::unexpected<Error> end_unsaid(const Container& container) {
  return read_orderly_end(container.dir()) ? just_ended(container) : monitor_was_killed(container);
}

// Hands on signals, and waits for the end.
Result<int> watch(const Container& container, const Connection& connection, const Fd& pidfd,
                  const Signals& signals) {
  while (true) {
    std::array polled{pollfd{.fd = connection.raw(), .events = POLLIN, .revents = 0},
                      pollfd{.fd = signals.fd().get(), .events = POLLIN, .revents = 0},
                      pollfd{.fd = pidfd.get(), .events = POLLIN, .revents = 0}};
    if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR)
      return fail_errno("cannot wait");
    while (const auto number = signals.next()) {
      (void)::syscall(SYS_pidfd_send_signal, pidfd.get(), *number, nullptr, 0);
      const bool is_to_end = *number == SIGINT || *number == SIGTERM;
      if (is_to_end && is_frozen(container) && !ends_soon(connection))
        return given_up(container, *number);
    }
    if (polled[0].revents == 0 && polled[2].revents == 0) continue;
    const auto answer =
        connection.receive_soon(container);  // the command has ended, or the monitor
    if (!answer && answer.error().code == ETIMEDOUT) return std::unexpected(answer.error());
    if (!answer) return end_unsaid(container);
    if (answer->said == Said::kEnd) return end_in(*answer);
  }
}

Result<int> execute_by_monitor(const Container& container, const ExecWish& wish) {
  const auto connection = TRY(Connection::open(container));
  const auto signals =
      TRY(Signals::take({SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH}));
  Request request{.kind = Request::Kind::kExec,
                  .size = {},
                  .environment = {concat(std::string_view(kMark), "=yes"),
                                  concat(std::string_view(kInherited), "=", inherited_state())}};
  for (const char* name : {"TERM", "HOME"})
    if (const char* const value = std::getenv(name))
      request.environment.push_back(concat(std::string_view(name), "=", std::string_view(value)));
  request.words = words_for(container, wish);
  RawTerminal terminal;  // restored also where the process in between is killed
  if (wish.tty) terminal.enter(STDIN_FILENO);
  TRY(connection.ask(request, {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}));
  const auto answer = TRY(connection.receive_soon(container, &signals));
  if (answer.said != Said::kOk)
    return fail({}, concat("the monitor of ", container.name(), " says: ", answer.text));
  return watch(container, connection, answer.fd, signals);
}

}  // namespace

namespace {

// Only systemd says when it is up.
bool is_booting(const Container& container, const State& state) {
  return state.kind == "systemd" &&
         ::faccessat(container.dir().get(), kReadyFile, F_OK, AT_SYMLINK_NOFOLLOW) != 0;
}

}  // namespace

Step<int> execute_beside(const Container& container, const ExecWish& wish) {
  const auto state = TRY(own(running_state(container)));
  if (is_frozen(container))
    return own(
        Result<int>(fail({}, concat(container.name(),
                                    " is frozen, so nothing can be run in it; thaw it first: "
                                    "userns-run thaw ",
                                    container.name()))));
  const bool is_first = std::getenv(kMark) == nullptr;
  if (is_first && is_booting(container, state))
    tell("userns-run",
         {.rule = {},
          .code = 0,
          .text = concat(container.name(),
                         " is still booting: it may yet clear /tmp and end what runs; "
                         "userns-run start --wait returns when it is up")});
  if (state.cgroup.empty() || !is_first) return execute_here(container, state, wish);
  return own(execute_by_monitor(container, wish));
}

}  // namespace userns::frontend
