#include "frontend/cli/watch/events.h"

#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "frontend/cli/terminal.h"
#include "frontend/cli/verbs/select.h"
#include "frontend/container/facts.h"
#include "frontend/events/moment.h"
#include "frontend/events/read_events.h"
#include "frontend/spec/printable.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kNanoseconds = 1'000'000'000;
constexpr std::int64_t kMillisecond = 1'000'000;  // in nanoseconds
constexpr int kLookEvery = 1000;                  // ms: for ends that nobody writes down

struct Wish {
  std::int64_t since = std::numeric_limits<std::int64_t>::min();  // ns
  std::int64_t until = std::numeric_limits<std::int64_t>::max();
  std::vector<std::string> names;  // none: all
  bool json = false;
};

Result<std::int64_t> moment_of(const Words& words, std::string_view option,
                               std::int64_t otherwise) {
  const auto text = words.one(option);
  if (!text) return otherwise;
  const auto ms = parse_moment(*text, now_ns() / kMillisecond);
  if (!ms) return fail({}, concat("--", option, ": ", ms.error().text));
  return *ms * kMillisecond;
}

Result<Wish> wish_of(const Words& words) {
  Wish wish{.names = words.names, .json = words.has("json")};
  const auto since = TRY(moment_of(words, "since", wish.since));
  const auto until = TRY(moment_of(words, "until", wish.until));
  wish.since = since;
  wish.until = until;
  return wish;
}

std::string to_json_line(const Event& event) {
  Json json;
  json["time"] = event.time_ns / kNanoseconds;
  json["time_ns"] = event.time_ns;
  json["name"] = event.name;
  json["event"] = event.what;
  if (event.pid != 0) json["pid"] = event.pid;
  if (event.exit_status) json["exit_status"] = *event.exit_status;
  if (!event.text.empty()) json["text"] = event.text;
  if (!event.to.empty()) json["to"] = event.to;
  return json.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n";
}

std::string to_text_line(const Event& event) {
  std::string more;
  const auto add = [&](std::string_view text) { more += concat(more.empty() ? " (" : ", ", text); };
  if (event.exit_status) add(concat("status ", *event.exit_status));
  if (!event.to.empty()) add(concat("to ", event.to));
  if (!event.text.empty()) add(event.text);
  return printable(concat(moment_text(event.time_ns / kMillisecond), " ", event.name, " ",
                          event.what, more, more.empty() ? "" : ")")) +
         "\n";
}

bool is_wanted(const Event& event, const Wish& wish) {
  const auto named = [&](const std::string& name) {
    return std::ranges::find(wish.names, name) != wish.names.end();
  };
  return event.time_ns >= wish.since && event.time_ns <= wish.until &&
         (wish.names.empty() || named(event.name) || named(event.to));
}

// A monitor that was killed says nothing: its container does not run, and no end was written down.
// Looked for before the events are read once more, since a container that has just ended says so
// first.
std::vector<std::string> gone(const Store& store, const EventReader& reader) {
  auto names = reader.alive();
  std::erase_if(names, [&](const std::string& name) {
    const auto container = store.find(name);
    return !container || is_running(*container);
  });
  return names;
}

void add_killed(EventReader& reader, const std::vector<std::string>& gone,
                std::vector<Event>& events) {
  const auto alive = reader.alive();
  for (const auto& name : gone) {
    if (std::ranges::find(alive, name) == alive.end()) continue;
    reader.note_end(name);
    events.push_back({.time_ns = now_ns(),
                      .name = name,
                      .what = std::string(event::kDie),
                      .text = "its monitor was killed; seen just now"});
  }
}

Result<std::vector<Event>> read_more(const Store& store, EventReader& reader) {
  auto events = reader.next();
  if (!events) return events;
  const auto over = gone(store, reader);
  if (over.empty()) return events;
  const auto more = reader.next();
  if (!more) return more;
  events->insert(events->end(), more->begin(), more->end());
  add_killed(reader, over, *events);
  return events;
}

int show(const std::vector<Event>& events, const Wish& wish) {
  std::string text;
  for (const auto& event : events)
    if (is_wanted(event, wish)) text += wish.json ? to_json_line(event) : to_text_line(event);
  return text.empty() ? 0 : print(text);
}

// Woken when something is written in the store, and each second for what nobody writes.
class Alarm {
 public:
  explicit Alarm(const Store& store) : fd_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
    if (fd_.valid() && store.dir().valid())
      (void)::inotify_add_watch(fd_.get(), concat("/proc/self/fd/", store.dir().get()).c_str(),
                                IN_MODIFY | IN_CREATE | IN_MOVED_TO);
  }
  // False: nobody reads what we write any more.
  [[nodiscard]] bool wait() const {
    std::array<pollfd, 2> polled{pollfd{.fd = fd_.get(), .events = POLLIN, .revents = 0},
                                 pollfd{.fd = STDOUT_FILENO, .events = 0, .revents = 0}};
    (void)::poll(polled.data(), polled.size(), kLookEvery);
    std::array<char, 4096> space{};
    while (fd_.valid() && ::read(fd_.get(), space.data(), space.size()) > 0) continue;
    return (polled[1].revents & POLLERR) == 0;
  }

 private:
  Fd fd_;
};

int follow(const Store& store, EventReader& reader, const Wish& wish, const Alarm& alarm) {
  while (now_ns() <= wish.until && alarm.wait()) {
    const auto events = read_more(store, reader);
    if (!events) return own_failure(events.error());
    if (const int put = show(*events, wish); put != 0) return put;
  }
  return 0;
}

int events_verb(const Words& words) {
  const auto wish = wish_of(words);
  const bool follows = words.has("follow");
  const auto store = !wish     ? std::unexpected(wish.error())
                     : follows ? Store::open_or_make(words.one("path"))  // there to be watched
                               : store_of(words);
  if (!store) return own_failure(store.error());
  const Alarm alarm(*store);
  EventReader reader(store->dir());
  const auto events = read_more(*store, reader);
  if (!events) return own_failure(events.error());
  if (const int put = show(*events, *wish); put != 0) return put;
  return follows ? follow(*store, reader, *wish, alarm) : 0;
}

constexpr std::array kEventsOptions{
    VerbOption{"json", "", "for programs: an object a line"},
    VerbOption{"follow", "", "go on as more happens", false, 'f'},
    VerbOption{"since", "TIME", "from then on: 30m, 2h, 7d ago, \"2026-11-30 14:00\""},
    VerbOption{"until", "TIME", "up to then"}, kPathOption};

}  // namespace

constinit const Verb kEventsVerb{
    .name = "events",
    .arguments = "[NAME...] [OPTIONS]",
    .summary = "Shows what has happened to containers: created, started, ready, ended",
    .options = kEventsOptions,
    .run = events_verb,
    .kind = VerbKind::kLook};

}  // namespace userns::frontend
