#include "frontend/cli/verbs/life.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <string>

#include "frontend/cli/terminal.h"
#include "frontend/cli/verbs/select.h"
#include "frontend/cli/verbs/settings.h"
#include "frontend/container/background.h"
#include "frontend/container/connection.h"
#include "frontend/container/console.h"
#include "frontend/container/freeze.h"
#include "frontend/container/stop.h"
#include "frontend/spec/nearest.h"
#include "frontend/spec/values.h"
#include "frontend/store/state.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::chrono::milliseconds kStopTimeout{10000};
constexpr std::string_view kWaitReady = "--wait-ready=300s";

// --- start --------------------------------------------------------------------------------------

Result<std::uint64_t> parse_log_size(std::string_view text) {
  constexpr std::uint64_t kLargest = std::uint64_t{1} << 40U;
  unsigned shift = 0;
  if (text.ends_with('K')) shift = 10;
  if (text.ends_with('M')) shift = 20;
  if (text.ends_with('G')) shift = 30;
  if (shift != 0) text.remove_suffix(1);
  const auto number = parse_decimal(text);
  if (!number || *number > (kLargest >> shift))
    return fail({}, concat("--log-size is a number of bytes, such as 1M; 0 for no log; not ",
                           quoted(text)));
  return *number << shift;
}

// Paths as they are from here: it may be started again from elsewhere.
Result<std::vector<std::string>> from_anywhere(const std::vector<std::string>& options) {
  std::vector<std::string> absolute;
  for (std::string_view value : options) {
    const auto name = take_until(value, '=');
    const auto stored = TRY(value_to_store(name.substr(2), value));
    absolute.push_back(concat(name, "=", stored));
  }
  return absolute;
}

Result<StartWish> start_wish(const Words& words) {
  auto options = TRY(from_anywhere(words.container));
  StartWish wish{.options = std::move(options),
                 .command = words.command,
                 .remove = words.has("rm"),
                 .restart = {},
                 .retry = words.has("autostart")};
  if (words.has_command && (words.command.empty() || words.command.front().empty()))
    return fail(
        {}, "no command after --: write one, or leave out the -- to start the container's init");
  if (words.has("wait")) wish.options.emplace_back(kWaitReady);
  if (const auto text = words.one("restart")) {
    const auto restart = TRY(parse_restart(*text));
    wish.restart = restart;
  }
  if (const auto text = words.one("log-size")) {
    const auto size = TRY(parse_log_size(*text));
    wish.log_size = size;
  }
  return wish;
}

int start_failure(const Container& container, Failure failure) {
  if (!failure.error.text.contains(container.name()))
    failure.error.text.insert(0, concat(container.name(), ": "));
  own_failure(failure.error);
  return failure.exit_status;
}

int start_one(const Container& container, const StartWish& wish) {
  const auto started = start_in_background(container, wish);
  return started ? 0 : start_failure(container, started.error());
}

int start_in_foreground(const Container& container, StartWish wish) {
  wish.console = true;
  auto started = start_in_background(container, wish);
  if (!started) return start_failure(container, started.error());
  const auto status = watch_console(container, std::move(**started), {.escape = {}, .leash = true});
  return status ? *status : own_failure(status.error());
}

// `status`: 0, or that of those which cannot be looked at.
Result<std::vector<Container>> to_start(const Words& words, int& status) {
  if (!words.has("autostart")) return selected(words);
  if (!words.names.empty())
    return fail({}, "--autostart starts all that have autostart = yes: name no container");
  const auto store = TRY(store_of(words));
  const auto names = TRY(store.names());
  std::vector<Container> containers;
  for (const auto& name : names) {
    auto container = store.find(name);
    const auto config = container ? container->settings()
                                  : Result<ContainerConfig>(std::unexpected(container.error()));
    if (!config) {
      status = own_failure(config.error());  // the others are to start
      continue;
    }
    const auto state = read_state(container->dir());
    if (!state) status = own_failure(state.error());
    if (config->autostart && state && !*state) containers.push_back(std::move(*container));
  }
  return containers;
}

int start_verb(const Words& words) {
  const auto wish = start_wish(words);
  if (!wish) return own_failure(wish.error());
  int unseen = 0;
  const auto containers = to_start(words, unseen);
  if (!containers) return own_failure(containers.error());
  if (containers->empty()) return unseen;  // of --autostart
  if (!words.has("foreground")) {
    const int status =
        for_each(*containers, [&](const Container& c) { return start_one(c, *wish); });
    return status != 0 ? status : unseen;
  }
  if (containers->size() > 1)
    return own_failure({.rule = {}, .code = 0, .text = "--foreground: one container at a time"});
  return start_in_foreground(containers->front(), *wish);
}

// --- stop, restart, wait ------------------------------------------------------------------------

Result<std::chrono::milliseconds> timeout_of(const Words& words) {
  const auto text = words.one("timeout");
  if (!text) return kStopTimeout;
  auto timeout = parse_timeout(*text);
  if (!timeout) return fail({}, concat("--timeout: ", timeout.error().text));
  return timeout;
}

// The lock keeps a start from coming in between, and two stops from speaking of each other's.
int stop_one(const Container& container, std::chrono::milliseconds timeout, AfterStop after) {
  const auto before = read_state(container.dir());
  const auto lock = lock_to_stop(container);
  if (!lock) return own_failure(lock.error());
  const auto state = read_state(container.dir());
  if (!state) return own_failure(state.error());
  if (!*state && before && *before) return 0;  // it has ended meanwhile, or its start was given up
  if (!*state) {
    auto run = lock_run(container.dir());
    if (run && *run)
      if (auto clean = clean_up_after_crash(container.dir()); !clean)
        return own_failure(
            {.rule = {}, .code = 0, .text = concat(container.name(), ": ", clean.error().text)});
    return own_failure(
        {.rule = {}, .code = 0, .text = concat(container.name(), " is not running")});
  }
  const auto status = stop_container(container, timeout, after);
  return status ? 0 : own_failure(status.error());
}

int stop_verb(const Words& words) {
  const auto timeout = timeout_of(words);
  if (!timeout) return own_failure(timeout.error());
  return for_selected(
      words, [&](const Container& c) { return stop_one(c, *timeout, AfterStop::kAsStarted); });
}

// As it was started, where it runs.
Result<StartWish> wish_of_run(const Container& container) {
  const auto words = read_started(container.dir());
  if (words.empty()) return StartWish{};
  const std::vector<std::string_view> views(words.begin(), words.end());
  const auto dashes = std::ranges::find(views, "--");
  const bool has_command = dashes != views.end();
  const std::span<const std::string_view> command(has_command ? dashes + 1 : dashes, views.end());
  const auto taken = parse_words(kStartVerb, {views.begin(), dashes}, command, has_command);
  return taken ? start_wish(*taken) : std::unexpected(taken.error());
}

int restart_one(const Container& container, std::chrono::milliseconds timeout) {
  const auto state = read_state(container.dir());
  if (!state) return own_failure(state.error());
  if (!*state) return start_one(container, {});
  const auto wish = wish_of_run(container);
  if (!wish) return own_failure(wish.error());
  const int status = stop_one(container, timeout, AfterStop::kKeep);
  return status != 0 ? status : start_one(container, *wish);
}

int restart_verb(const Words& words) {
  const auto timeout = timeout_of(words);
  if (!timeout) return own_failure(timeout.error());
  return for_selected(words, [&](const Container& c) { return restart_one(c, *timeout); });
}

Result<int> wait_for_end(const Container& container) {
  const auto connection = Connection::open(container);
  const auto asked = connection ? connection->ask({.kind = Request::Kind::kWait})
                                : std::unexpected(connection.error());
  const auto status =
      asked ? await_end(container, *connection) : Result<int>(std::unexpected(asked.error()));
  if (status) return status;
  const auto last = read_orderly_end(container.dir());
  if (!last) return status;
  say_what_was_met(container, last->text);
  return last->exit_status;
}

// Of a booted system: it has said that it is up; of a command: it runs.
Result<void> wait_until_ready(const Container& container) {
  constexpr int kLookEvery = 100;  // ms
  while (true) {
    const auto state = TRY(read_state(container.dir()));
    if (!state)
      return fail({}, concat(container.name(),
                             " is not running, so it will not be ready: userns-run start ",
                             container.name()));
    const bool runs = state->init.pid != 0;
    const bool is_command = state->kind == "command";
    if (runs && (is_command ||
                 ::faccessat(container.dir().get(), kReadyFile, F_OK, AT_SYMLINK_NOFOLLOW) == 0))
      return {};
    (void)::poll(nullptr, 0, kLookEvery);
  }
}

int wait_for_ready(const std::vector<Container>& containers) {
  return for_each(containers, [](const Container& container) {
    const auto ready = wait_until_ready(container);
    return ready ? 0 : own_failure(ready.error());
  });
}

int wait_verb(const Words& words) {
  const auto condition = words.one("condition").value_or("stopped");
  if (condition != "ready" && condition != "stopped")
    return own_failure(
        {.rule = {},
         .code = 0,
         .text = concat("--condition is ready or stopped, not ", quoted(condition))});
  const auto containers = selected(words);
  if (containers && condition == "ready") return wait_for_ready(*containers);
  if (!containers) return own_failure(containers.error());
  return for_each(*containers, [&](const Container& container) {
    const auto status = wait_for_end(container);
    if (!status) return own_failure(status.error());
    if (const int put = print(containers->size() > 1 ? concat(container.name(), " ", *status, "\n")
                                                     : concat(*status, "\n"));
        put != 0)
      return put;
    return *status;
  });
}

// --- kill ---------------------------------------------------------------------------------------

int kill_one(const Container& container, int number) {
  wake_monitor(container);  // it is to see the end, if that is one
  const auto init = find_init_process(container);
  if (!init) return own_failure(init.error());
  if (::syscall(SYS_pidfd_send_signal, init->pidfd.get(), number, nullptr, 0) == 0) return 0;
  return own_failure(
      fail_errno(concat("cannot signal the first process of ", container.name())).error());
}

int kill_verb(const Words& words) {
  const auto number = parse_signal(words.one("signal").value_or("KILL"));
  if (!number) return own_failure(number.error());
  return for_selected(words, [&](const Container& c) { return kill_one(c, *number); });
}

// --- freeze, thaw -------------------------------------------------------------------------------

int tell_means(const Container& container, std::string_view what,
               const Result<std::string>& means) {
  return means ? print(concat(container.name(), ": ", what, " by ", *means, "\n"))
               : own_failure(means.error());
}

int freeze_verb(const Words& words) {
  return for_selected(words, [](const Container& c) { return tell_means(c, "frozen", freeze(c)); });
}

int thaw_verb(const Words& words) {
  return for_selected(words, [](const Container& c) { return tell_means(c, "thawed", thaw(c)); });
}

// --- the table ----------------------------------------------------------------------------------

constexpr VerbOption kTimeout{"timeout", "TIME",
                              "how long a stop may take before all is killed (10s)", false};
constexpr std::array kStartOptions{
    VerbOption{"foreground", "", "stay: the console is here, its end is ours", false},
    VerbOption{"wait", "", "return when the system is up (--wait-ready 300s)", false},
    VerbOption{"rm", "", "destroy it when it has ended", false},
    VerbOption{"restart", "WHEN", "no | on-failure[:N] | always, over the config file's", false},
    VerbOption{"log-size", "SIZE", "of each of the two files of the console's log (1M); 0: none",
               false},
    VerbOption{"autostart", "", "all that have autostart = yes and do not run", false},
    kGroupOption,
    kPathOption};
constexpr std::array kStopOptions{kTimeout, kGroupOption, kPathOption};
constexpr std::array kKillOptions{
    VerbOption{"signal", "SIGNAL", "its name or number (KILL)", false, 's'}, kGroupOption,
    kPathOption};
constexpr std::array kFreezeOptions{kGroupOption, kPathOption};
constexpr std::array kWaitOptions{
    VerbOption{"condition", "WHAT", "stopped (default) | ready: it runs, or its system is up",
               false},
    kGroupOption, kPathOption};

}  // namespace

constinit const Verb kStartVerb{.name = "start",
                                .arguments = "NAME... [OPTIONS] [-- COMMAND [ARG...]]",
                                .summary = "Starts containers in the background: init, or COMMAND",
                                .options = kStartOptions,
                                .takes_container_options = true,
                                .run = start_verb,
                                .kind = VerbKind::kRun};
constinit const Verb kStopVerb{
    .name = "stop",
    .arguments = "NAME... [OPTIONS]",
    .summary = "Asks the init of containers to stop, and kills what is left after a while",
    .options = kStopOptions,
    .run = stop_verb,
    .kind = VerbKind::kRun};
constinit const Verb kRestartVerb{.name = "restart",
                                  .arguments = "NAME... [OPTIONS]",
                                  .summary = "Stops containers, where they run, and starts them",
                                  .options = kStopOptions,
                                  .run = restart_verb,
                                  .kind = VerbKind::kRun};
constinit const Verb kFreezeVerb{
    .name = "freeze",
    .arguments = "NAME... [OPTIONS]",
    .summary = "Stops all processes of containers where they are, until thaw",
    .options = kFreezeOptions,
    .run = freeze_verb,
    .kind = VerbKind::kRun};
constinit const Verb kThawVerb{.name = "thaw",
                               .arguments = "NAME... [OPTIONS]",
                               .summary = "Lets frozen containers go on",
                               .options = kFreezeOptions,
                               .run = thaw_verb,
                               .kind = VerbKind::kRun};
constinit const Verb kKillVerb{.name = "kill",
                               .arguments = "NAME... [OPTIONS]",
                               .summary = "Sends a signal to the first process of containers",
                               .options = kKillOptions,
                               .run = kill_verb,
                               .kind = VerbKind::kRun};
constinit const Verb kWaitVerb{
    .name = "wait",
    .arguments = "NAME... [OPTIONS]",
    .summary = "Waits until containers have ended (prints the status), or are ready",
    .options = kWaitOptions,
    .run = wait_verb,
    .kind = VerbKind::kRun};

}  // namespace userns::frontend
