#include "frontend/events/read_events.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "frontend/events/rotated_file.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

using nlohmann::json;

constexpr std::size_t kMost = 4 * kLargestEvents;  // of what may have come at a time
constexpr std::size_t kLongestLine = 8192;

Result<Fd> open_part(const Fd& store, const char* name) {
  if (!store.valid()) return Fd{};
  auto file = open_at(store.get(), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!file && file.error().code == ENOENT) return Fd{};
  struct stat facts{};
  if (!file || ::fstat(file->get(), &facts) != 0 || !S_ISREG(facts.st_mode))
    return fail({}, concat("cannot read the events (", std::string_view(name), ")"),
                file ? EINVAL : file.error().code);
  return file;
}

std::string text_in(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

std::optional<std::int64_t> number_in(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer()) return std::nullopt;
  return found->get<std::int64_t>();
}

}  // namespace

std::optional<Event> parse_event(std::string_view line) {
  if (line.size() > kLongestLine) return std::nullopt;
  const auto object = json::parse(line, nullptr, false);
  if (!object.is_object()) return std::nullopt;
  const auto time = number_in(object, "time_ns");
  Event event{.time_ns = time.value_or(0),
              .name = text_in(object, "name"),
              .what = text_in(object, "event"),
              .pid = static_cast<pid_t>(number_in(object, "pid").value_or(0)),
              .text = text_in(object, "text"),
              .to = text_in(object, "to")};
  if (const auto status = number_in(object, "exit_status"))
    event.exit_status = static_cast<int>(*status);
  if (!time || event.name.empty() || event.what.empty()) return std::nullopt;
  return event;
}

std::vector<std::string> EventReader::alive() const {
  std::vector<std::string> names;
  for (const auto& [name, runs] : runs_)
    if (runs) names.push_back(name);
  return names;
}

void EventReader::take(std::string_view line, std::vector<Event>& found) {
  auto event = parse_event(line);
  if (!event) return;
  const auto known = runs_.find(event->name);
  const bool was_over = known != runs_.end() && !known->second;
  if (event->what == event::kDie && was_over && !event->exit_status) return;
  if (event->what == event::kStart) runs_[event->name] = true;
  if (event->what == event::kDie) runs_[event->name] = false;
  if (event->what == event::kDestroy || event->what == event::kRename) runs_.erase(event->name);
  found.push_back(std::move(*event));
}

Result<void> EventReader::read_rest(std::vector<Event>& found) {
  const auto text = file_.valid() ? read_all(file_, kMost) : Result<std::string>(std::string{});
  if (!text) return fail({}, "cannot read the events", text.error().code);
  partial_ += *text;
  std::string_view rest = partial_;
  while (rest.contains('\n')) take(take_until(rest, '\n'), found);
  partial_ = rest.size() > kLongestLine ? std::string{} : std::string(rest);
  return {};
}

Result<std::vector<Event>> EventReader::next() {
  std::vector<Event> found;
  const auto open = [&](const char* name) { return open_part(store_, name); };
  const auto drain = [&] { return read_rest(found); };
  while (true) {
    auto following = TRY(next_part(file_, kOldEventsFile, kEventsFile, open, drain));
    if (!following.valid()) return found;
    file_ = std::move(following);
    partial_.clear();
  }
}

}  // namespace userns::frontend
