#include "frontend/events/event_log.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ctime>

#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::int64_t kNanoseconds = 1'000'000'000;
constexpr std::size_t kLongestText = 1000;

void append_escaped(std::string& out, std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  for (const char c : text.substr(0, kLongestText)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') out += '\\';
    if (byte < ' ' || byte == 0x7f)
      out += concat("\\u00", kHex[byte >> 4U], kHex[byte & 15U]);
    else
      out += byte < 0x80 ? c : '?';
  }
}

void append_text(std::string& out, std::string_view key, std::string_view text) {
  if (text.empty()) return;
  out += concat(",\"", key, "\":\"");
  append_escaped(out, text);
  out += '"';
}

// A line that a full disk has cut short is closed, so that it spoils only itself.
bool ends_in_a_line(const Fd& file, const struct stat& facts) {
  char last = '\n';
  return facts.st_size == 0 || ::pread(file.get(), &last, 1, facts.st_size - 1) != 1 ||
         last == '\n';
}

// One process at a time puts a file aside, and only the one that it has written to. Nobody waits
// for it: who does not get the lock leaves it to the next.
void put_aside(const Fd& store, const Fd& file) {
  struct stat ours{};
  struct stat named{};
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0 || ::fstat(file.get(), &ours) != 0 ||
      ::fstatat(store.get(), kEventsFile, &named, AT_SYMLINK_NOFOLLOW) != 0)
    return;
  if (ours.st_ino == named.st_ino && ours.st_dev == named.st_dev)
    (void)::renameat(store.get(), kEventsFile, store.get(), kOldEventsFile);
}

}  // namespace

std::int64_t now_ns() {
  timespec time{};
  (void)::clock_gettime(CLOCK_REALTIME, &time);
  return static_cast<std::int64_t>(time.tv_sec) * kNanoseconds + time.tv_nsec;
}

std::string to_line(const Event& event) {
  auto line = concat(R"({"time":)", event.time_ns / kNanoseconds, R"(,"time_ns":)", event.time_ns);
  append_text(line, "name", event.name);
  append_text(line, "event", event.what);
  if (event.pid != 0) line += concat(R"(,"pid":)", event.pid);
  if (event.exit_status) line += concat(R"(,"exit_status":)", *event.exit_status);
  append_text(line, "text", event.text);
  append_text(line, "to", event.to);
  return line + "}\n";
}

void write_event(const Fd& store, Event event) {
  if (!store.valid()) return;
  if (event.time_ns == 0) event.time_ns = now_ns();
  const auto file = open_at(store.get(), kEventsFile,
                            O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0, 0600);
  struct stat facts{};
  if (!file || ::fstat(file->get(), &facts) != 0 || !S_ISREG(facts.st_mode)) return;
  const auto line = concat(ends_in_a_line(*file, facts) ? "" : "\n", to_line(event));
  // One write: lines of several processes stay whole.
  if (::write(file->get(), line.data(), line.size()) < 0) return;
  if (static_cast<std::uint64_t>(facts.st_size) + line.size() >= kLargestEvents)
    put_aside(store, *file);
}

void write_event_of(const Fd& container, Event event) {
  const auto store = open_at(container.get(), "..", O_RDONLY | O_DIRECTORY);
  if (store) write_event(*store, std::move(event));
}

}  // namespace userns::frontend
