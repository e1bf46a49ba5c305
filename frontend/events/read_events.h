// What a store's events say (event_log.h), for programs that look once or go on looking.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/fd.h"
#include "frontend/events/event_log.h"
#include "policy/error.h"

namespace userns::frontend {

// Nothing of a line that is none. What it says may be a stranger's text. Pure.
std::optional<Event> parse_event(std::string_view line);

class EventReader {
 public:
  // `store` outlives it.
  explicit EventReader(const Fd& store) : store_(store) {}

  // All at first, then what has come since, over rotations. An end that is written down a second
  // time (by a verb that cleaned up after a killed monitor) is left out.
  Result<std::vector<Event>> next();
  // Those that run, as far as was read.
  [[nodiscard]] std::vector<std::string> alive() const;
  // An end that nobody wrote down.
  void note_end(const std::string& name) { runs_[name] = false; }

 private:
  Result<void> read_rest(std::vector<Event>& found);
  void take(std::string_view line, std::vector<Event>& found);

  const Fd& store_;
  Fd file_;              // the one read to its end so far
  std::string partial_;  // of a line
  std::map<std::string, bool> runs_;
};

}  // namespace userns::frontend
