#include "frontend/container/background.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <ctime>
#include <limits>
#include <optional>
#include <thread>
#include <utility>

#include "frontend/container/starter.h"
#include "frontend/monitor/handover.h"
#include "frontend/run/channel.h"
#include "frontend/run/own_words.h"
#include "frontend/run/process.h"
#include "frontend/spec/shell_words.h"
#include "frontend/store/registry.h"
#include "frontend/store/state.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

std::string time_text(std::int64_t seconds) {
  const auto time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  std::array<char, 64> text{};
  if (::localtime_r(&time, &parts) == nullptr) return concat(seconds);
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &parts)};
}

std::unexpected<Error> runs_already(const Container& container) {
  const auto state = read_state(container.dir());
  if (!state || !*state || (*state)->init.pid == 0)
    return fail({}, concat(container.name(), " is just being started or stopped"));
  return fail(
      {}, concat(container.name(), " runs since ", time_text((*state)->started_at), " (process ",
                 (*state)->init.pid, "); to stop it: userns-run stop ", container.name()));
}

constexpr auto kEndTakes = std::chrono::seconds(5);
constexpr auto kLookEvery = std::chrono::milliseconds(5);

// The record of a life goes before its lock does. A start in between waits for the lock.
Result<std::optional<Fd>> lock_next_run(const Container& container) {
  const auto until = std::chrono::steady_clock::now() + kEndTakes;
  while (true) {
    auto run = lock_run(container.dir());
    if (!run || *run || std::chrono::steady_clock::now() >= until) return run;
    const auto state = read_state(container.dir());
    if (!state || (*state && ((*state)->init.pid != 0 || !(*state)->problem.empty()))) return run;
    std::this_thread::sleep_for(kLookEvery);
  }
}

// All that the start needs, held here until it is handed over.
struct Prepared {
  Fd run;
  Fd control;
  ChannelPair report;
  Handover handover;
};

std::vector<std::string> hooks_of(const ContainerConfig& config, HookEvent event) {
  std::vector<std::string> commands;
  for (const auto& hook : config.hooks)
    if (hook.event == event) commands.push_back(join_words(hook.command));
  return commands;
}

void fill(Handover& handover, const ContainerConfig& config, const Container& container,
          const StartWish& wish) {
  const auto restart = wish.restart.value_or(config.restart);
  handover.name = container.name();
  handover.path = container.path().substr(0, container.path().rfind('/'));
  handover.log_size = wish.log_size;
  handover.restart = restart.mode != RestartMode::kNo;
  handover.restart_always = restart.mode == RestartMode::kAlways;
  handover.restarts_left = restart.most.value_or(std::numeric_limits<std::uint32_t>::max());
  handover.retry = wish.retry && handover.restart && handover.restarts_left > 0;
  handover.remove = wish.remove;
  handover.pre_start = hooks_of(config, HookEvent::kPreStart);
  handover.started = hooks_of(config, HookEvent::kStart);
  handover.post_stop = hooks_of(config, HookEvent::kPostStop);
  handover.rest = wish.options;
  handover.rest.emplace_back("--");
  handover.rest.insert(handover.rest.end(), wish.command.begin(), wish.command.end());
}

std::vector<std::string> words_of(const StartWish& wish) {
  std::vector<std::string> words{concat("--log-size=", wish.log_size)};
  if (wish.restart) words.push_back(concat("--restart=", to_text(*wish.restart)));
  if (wish.remove) words.emplace_back("--rm");
  words.insert(words.end(), wish.options.begin(), wish.options.end());
  if (wish.command.empty()) return words;
  words.emplace_back("--");
  words.insert(words.end(), wish.command.begin(), wish.command.end());
  return words;
}

Result<Prepared> prepare(const Container& container, const StartWish& wish) {
  const auto config = TRY(container.settings());
  auto program = TRY(own_program());
  auto run = TRY(lock_next_run(container));
  if (!run) return runs_already(container);
  TRY(clean_up_after_crash(container.dir()));
  TRY(write_started(container.dir(), words_of(wish)));
  auto control = TRY(listen_in(container.dir(), kControlFile));
  auto report = TRY(make_channel());
  Prepared prepared{
      .run = std::move(*run), .control = std::move(control), .report = std::move(report)};
  fill(prepared.handover, config, container, wish);
  prepared.handover.program = std::move(program);
  prepared.handover.directory = container.dir().get();
  prepared.handover.lock = prepared.run.get();
  prepared.handover.control = prepared.control.get();
  prepared.handover.report = prepared.report.inside.raw();
  return prepared;
}

void close_all_but(std::array<int, 4> kept) {
  std::ranges::sort(kept);
  int first = STDERR_FILENO + 1;
  for (const int fd : kept) {
    if (first < fd)
      (void)::close_range(static_cast<unsigned>(first), static_cast<unsigned>(fd - 1), 0);
    first = fd + 1;
  }
  (void)::close_range(static_cast<unsigned>(first), UINT_MAX, 0);
}

// In a session of its own, with nothing of the caller's terminal but its stderr, until the start is
// over. The locks and connections of the one who asks are not for it.
[[noreturn]] void become_starter(const Handover& handover) {
  ::setsid();
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int number : {STDIN_FILENO, STDOUT_FILENO})
    if (null < 0 || ::dup2(null, number) < 0) ::_exit(kExitOwnFailure);
  reset_signals();
  close_all_but({handover.directory, handover.lock, handover.control, handover.report});
  ::_exit(be_starter(handover));
}

// Before there is a monitor: it will find us waiting, however soon the command ends.
Result<std::optional<Attached>> ask_for_console(const Container& container) {
  auto signals = TRY(take_console_signals());
  auto connection = TRY(Connection::open(container));
  TRY(connection.ask({.kind = Request::Kind::kConsole, .size = window_size(), .leash = true}));
  return Attached{std::move(connection), std::move(signals)};
}

bool was_given_up(const Failure& failure) {
  return failure.error.code == EINTR && failure.exit_status > kExitSignalBase;
}

// Until there is something to hear, or it is given up.
Step<void> await_report(const Container& container, const Channel& report,
                        const Attached& attached) {
  bool asked = false;
  while (true) {
    std::array polled{pollfd{.fd = report.raw(), .events = POLLIN, .revents = 0},
                      pollfd{.fd = attached.signals.fd().get(), .events = POLLIN, .revents = 0}};
    if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR)
      return own(Result<void>(fail_errno("cannot wait for the start")));
    if (polled[0].revents != 0) return {};
    const auto number = attached.signals.next();
    if (!number) continue;
    if (asked && *number != SIGWINCH)
      return std::unexpected(Failure{{.rule = {}, .code = EINTR, .text = "the start was given up"},
                                     kExitSignalBase + *number});
    asked = hand_on(container, attached.connection, *number) || asked;
  }
}

// The failure that the starter tells of; an error: it was killed, or given up.
Step<std::optional<Failure>> hear(const Container& container, const Channel& report,
                                  const std::optional<Attached>& attached) {
  if (attached) TRY(await_report(container, report, *attached));
  auto message = TRY(own(report.receive()));
  if (!message)
    return std::unexpected(
        Failure{{.rule = {}, .code = 0, .text = "the start was killed before it was over"}});
  if (message->kind == Message::Kind::kExec) return std::nullopt;
  return Failure{{.rule = {}, .code = message->code, .text = std::move(message->text)},
                 message->exit_status};
}

}  // namespace

Step<std::optional<Attached>> start_in_background(const Container& container,
                                                  const StartWish& wish) {
  const auto lock = TRY(own(container.lock()));
  const auto config = TRY(own(container.config()));
  TRY(own(check_ids_in(container, config)));
  TRY(own(register_place(container)));
  auto prepared = TRY(own(prepare(container, wish)));
  auto console = TRY(own(wish.console ? ask_for_console(container) : std::optional<Attached>{}));
  const pid_t pid = ::fork();
  if (pid < 0) return own(Result<std::optional<Attached>>(fail_errno("cannot start a process")));
  if (pid == 0) become_starter(prepared.handover);
  prepared.run.reset();
  prepared.control.reset();
  prepared.report.inside.close();
  auto heard = hear(container, prepared.report.outside, console);
  if (heard && !*heard) return console;
  if (heard && prepared.handover.retry) return std::unexpected(std::move(**heard));
  auto failure = heard ? std::move(**heard) : std::move(heard.error());
  if (was_given_up(failure))
    return std::unexpected(std::move(failure));  // it learns that when it reports
  for (const char* name : {kControlFile, kStartedFile})
    (void)::unlinkat(container.dir().get(), name, 0);
  // Its locks are free when it has ended.
  (void)collect(pid);
  return std::unexpected(std::move(failure));
}

}  // namespace userns::frontend
