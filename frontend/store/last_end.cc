#include "frontend/store/last_end.h"

// Apart from state.cc: the monitor writes how a run ended, and has no JSON in it.
#include <ctime>

#include "frontend/store/files.h"
#include "policy/text.h"

namespace userns::frontend {

std::int64_t now() { return static_cast<std::int64_t>(std::time(nullptr)); }

// The text is our own words; it needs no escapes but those that it must not have.
Result<void> write_last_end(const Fd& directory, const LastEnd& end) {
  std::string text;
  for (const char c : end.text)
    text.push_back(c == '"' || c == '\\' || static_cast<unsigned char>(c) < ' ' ? '\'' : c);
  return replace_file(directory, kLastFile,
                      concat(R"({"exit_status":)", end.exit_status, R"(,"ended_at":)", end.ended_at,
                             R"(,"text":")", text, "\"}\n"));
}

}  // namespace userns::frontend
