#include "frontend/cli/watch/top.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "frontend/cli/terminal.h"
#include "frontend/cli/usage/host.h"
#include "frontend/cli/usage/top_text.h"
#include "frontend/cli/usage/usage.h"
#include "frontend/cli/verbs/select.h"
#include "frontend/container/console.h"
#include "frontend/run/exit_status.h"
#include "frontend/run/signals.h"
#include "frontend/spec/values.h"
#include "frontend/start/raw_terminal.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

constexpr Milliseconds kInterval{1000};
constexpr Milliseconds kShortLook{500};  // of --once
constexpr Milliseconds kLeast{100};

struct Wish {
  bool host = false;
  SortKey key = SortKey::kCpu;
  Milliseconds interval = kInterval;
};

// What was seen at a moment.
struct Look {
  std::vector<Usage> usage;
  std::map<std::string, UserLimits> limits;
  Clock::time_point time;
};

std::vector<std::string> values_of(const ContainerConfig& config, std::string_view key) {
  std::vector<std::string> values;
  for (const auto& setting : config.all)
    if (setting.key == key) values.push_back(setting.value);
  return values;
}

std::optional<Watched> watched_of(const Container& container) {
  const auto state = read_state(container.dir());
  if (!state || !*state || (*state)->init.pid == 0) return std::nullopt;
  Watched watched{.name = container.name(), .init = (*state)->init};
  if (!(*state)->cgroup.empty()) watched.cgroup = (*state)->cgroup + "/payload";
  if (const auto config = container.settings()) watched.ports = values_of(*config, "publish");
  return watched;
}

// Those that are named, or all; of the latter one that is just being destroyed is left out.
Result<std::vector<Watched>> own_watched(const Words& words) {
  std::vector<Container> containers;
  const auto store = TRY(store_of(words));
  if (!words.names.empty() || words.has("group")) {
    auto chosen = TRY(selected(words));
    containers = std::move(chosen);
  } else {
    const auto names = TRY(store.names());
    for (const auto& name : names)
      if (auto container = store.find(name)) containers.push_back(std::move(*container));
  }
  std::vector<Watched> all;
  for (const auto& container : containers)
    if (auto one = watched_of(container)) all.push_back(std::move(*one));
  return all;
}

Result<std::vector<Watched>> host_watched(Look& look) {
  std::vector<std::string> problems;  // list --host tells them
  const auto all = TRY(host_containers(problems));
  for (const auto& one : all)
    if (auto limits = limits_of_user(one); !one.cgroup.empty())
      look.limits[one.user] = std::move(limits);
  return to_watched(all);
}

Result<Look> look_at(const Words& words, const Wish& wish) {
  Look look;
  const auto watched = TRY(wish.host ? host_watched(look) : own_watched(words));
  auto usage = TRY(usage_of(watched));
  look.usage = std::move(usage);
  look.time = Clock::now();
  return look;
}

void complete(Look& now, const Look& before, const Wish& wish) {
  add_percent(now.usage, before.usage,
              std::chrono::duration<double>(now.time - before.time).count());
  sort_usage(now.usage, wish.key, wish.host);
}

int show_once(const Words& words, const Wish& wish) {
  const auto before = look_at(words, wish);
  if (!before) return own_failure(before.error());
  (void)::poll(nullptr, 0, static_cast<int>(kShortLook.count()));
  auto now = look_at(words, wish);
  if (!now) return own_failure(now.error());
  complete(*now, *before, wish);
  if (words.has("json")) return print(top_json(now->usage));
  return print(top_table(now->usage, wish.host ? &now->limits : nullptr));
}

// --- live ---------------------------------------------------------------------------------------

// The terminal is the caller's again at the end of it, whatever the end.
class Screen {
 public:
  Screen() {
    raw_.enter(STDIN_FILENO);
    (void)print_as_it_is("\x1b[?1049h\x1b[?25l");
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;
  Screen(Screen&&) = delete;
  Screen& operator=(Screen&&) = delete;
  ~Screen() {
    (void)print_as_it_is("\x1b[?25h\x1b[?1049l");
    raw_.leave();
  }

  [[nodiscard]] static int draw(const Look& look, const Wish& wish) {
    const auto size = window_size().value_or(WindowSize{.rows = 24, .columns = 80});
    const auto head = concat("userns-run top: ", look.usage.size(), " run, by ", name_of(wish.key),
                             "; keys: c m p d n a sort, q quits");
    return print_as_it_is(screen_of(head, top_table(look.usage, wish.host ? &look.limits : nullptr),
                                    std::max<std::size_t>(size.rows, 1),
                                    std::max<std::size_t>(size.columns, 1)));
  }

 private:
  RawTerminal raw_;
};

enum class Woken : unsigned char { kNothing, kKey, kEnd };

constexpr char kCtrlC = 3;
constexpr char kCtrlD = 4;

Woken take_keys(Wish& wish) {
  std::array<char, 64> typed{};
  const auto got = ::read(STDIN_FILENO, typed.data(), typed.size());
  if (got <= 0) return Woken::kEnd;
  for (const char pressed : std::string_view(typed.data(), static_cast<std::size_t>(got))) {
    if (pressed == 'q' || pressed == kCtrlC || pressed == kCtrlD) return Woken::kEnd;
    if (const auto key = sort_key_of(pressed)) wish.key = *key;
  }
  return Woken::kKey;
}

// Until then, or until there is something to draw anew; `status` of a signal that ends it.
Woken wait_until(Clock::time_point until, const Signals& signals, Wish& wish, int& status) {
  const auto left = std::chrono::ceil<Milliseconds>(until - Clock::now()).count();
  std::array<pollfd, 2> polled{pollfd{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0},
                               pollfd{.fd = signals.fd().get(), .events = POLLIN, .revents = 0}};
  if (::poll(polled.data(), polled.size(), static_cast<int>(std::max<std::int64_t>(left, 0))) <= 0)
    return Woken::kNothing;
  bool resized = false;
  for (auto number = signals.next(); number; number = signals.next()) {
    resized = true;
    if (*number == SIGWINCH) continue;
    status = kExitSignalBase + *number;
    return Woken::kEnd;
  }
  if (polled[0].revents != 0) return take_keys(wish);
  return resized ? Woken::kKey : Woken::kNothing;
}

int show_live(const Words& words, Wish wish) {
  auto before = look_at(words, wish);
  if (!before) return own_failure(before.error());
  const auto signals = Signals::take({SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH});
  if (!signals) return own_failure(signals.error());
  int status = 0;
  std::optional<Error> error;
  {
    const Screen screen;
    auto shown = *before;
    sort_usage(shown.usage, wish.key, wish.host);
    while (true) {
      if (Screen::draw(shown, wish) != 0) return kExitOwnFailure;
      const auto until = before->time + wish.interval;
      const auto woken = wait_until(until, *signals, wish, status);
      if (woken == Woken::kEnd) break;
      sort_usage(shown.usage, wish.key, wish.host);
      if (Clock::now() < until) continue;
      auto now = look_at(words, wish);
      if (!now) error = now.error();
      if (!now) break;
      complete(*now, *before, wish);
      shown = *now;
      before = std::move(*now);
    }
  }
  return error ? own_failure(*error) : status;
}

Result<Wish> wish_of(const Words& words) {
  Wish wish{.host = words.has("host")};
  const auto key = sort_key(words.one("sort").value_or("cpu"));
  if (!key)
    return fail({}, concat("--sort is cpu, memory, processes, disk, net or name, not ",
                           quoted(*words.one("sort"))));
  wish.key = *key;
  if (const auto text = words.one("interval")) {
    const auto interval = parse_timeout(*text);
    if (!interval || *interval < kLeast)
      return fail({},
                  concat("--interval is a time from 100ms on, such as 2s; not ", quoted(*text)));
    wish.interval = *interval;
  }
  if (wish.host && (!words.names.empty() || words.has("group")))
    return fail({}, "--host shows all containers of all users: name none");
  return wish;
}

int top_verb(const Words& words) {
  const auto wish = wish_of(words);
  if (!wish) return own_failure(wish.error());
  const bool once = words.has("once") || words.has("no-stream") || words.has("json") ||
                    ::isatty(STDIN_FILENO) != 1 || ::isatty(STDOUT_FILENO) != 1;
  return once ? show_once(words, *wish) : show_live(words, *wish);
}

constexpr std::array kTopOptions{
    VerbOption{"once", "", "one look, of half a second; also if there is no terminal"},
    VerbOption{"no-stream", "", "the same, in podman's word"},
    VerbOption{"json", "", "for programs; one look"},
    VerbOption{"sort", "KEY", "cpu (default) | memory | processes | disk | net | name"},
    VerbOption{"interval", "TIME", "between two looks (1s)"},
    VerbOption{"host", "", "of all users, with their limits (root)"},
    kGroupOption,
    kPathOption};

}  // namespace

constinit const Verb kTopVerb{.name = "top",
                              .arguments = "[NAME...] [OPTIONS]",
                              .summary = "Shows what running containers use, live",
                              .options = kTopOptions,
                              .run = top_verb,
                              .kind = VerbKind::kLook};

}  // namespace userns::frontend
