// What happens to the containers of a store, for scripts: a JSON object a line, in files of bounded
// size, .events and the one before it. Apart from what reads it (read_events.h): the monitor writes
// here, and has no JSON in it.
//
//   {"time":SECONDS,"time_ns":NANOSECONDS,"name":"web","event":"start","pid":4711}
//
// The words are docker's. A log that cannot be written stops nobody.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/fd.h"

namespace userns::frontend {

inline constexpr const char* kEventsFile = ".events";
inline constexpr const char* kOldEventsFile = ".events.1";
inline constexpr std::uint64_t kLargestEvents = 1UL << 20U;  // of each of the two

namespace event {
inline constexpr std::string_view kCreate = "create";
inline constexpr std::string_view kStart = "start";
inline constexpr std::string_view kReady = "ready";
inline constexpr std::string_view kLimit = "limit";
inline constexpr std::string_view kStop = "stop";
inline constexpr std::string_view kDie = "die";
inline constexpr std::string_view kPause = "pause";
inline constexpr std::string_view kUnpause = "unpause";
inline constexpr std::string_view kRename = "rename";
inline constexpr std::string_view kDestroy = "destroy";
}  // namespace event

struct Event {
  std::int64_t time_ns = 0;  // since 1970; 0: now
  std::string name;          // the container's
  std::string what;          // one of the words above
  pid_t pid = 0;             // of the first process; 0: not said
  std::optional<int> exit_status = {};
  std::string text = {};  // more about it, our own words
  std::string to = {};    // kRename: the new name
};

std::int64_t now_ns();
// In ASCII, with a newline. Pure.
std::string to_line(const Event& event);
// `store`: the directory that the containers are in.
void write_event(const Fd& store, Event event);
// The same for the holder of a container's own directory.
void write_event_of(const Fd& container, Event event);

}  // namespace userns::frontend
