#include "frontend/cli/watch/log_lines.h"

#include <algorithm>

#include "frontend/events/moment.h"
#include "policy/text.h"

namespace userns::frontend {

void LogLines::begin_run(std::string& out, std::int64_t ms) {
  if (!at_line_start_ && shows_line_) out += "\r\n";
  at_line_start_ = true;
  if (shown_any_ && ms >= wish_.since && ms <= wish_.until)
    out += concat("-- ", wish_.name, " started ", moment_text(ms), " --\r\n");
}

void LogLines::begin_line(std::string& out) {
  const auto time = now_.value_or(std::numeric_limits<std::int64_t>::min());
  shows_line_ = time >= wish_.since && time <= wish_.until;
  if (!shows_line_) return;
  shown_any_ = true;
  if (wish_.timestamps) out += concat(now_ ? moment_text(*now_) : "-", " ");
}

std::string LogLines::add(std::string_view text, std::uint64_t offset,
                          std::span<const LogMark> marks) {
  std::string out;
  auto mark = marks.begin();
  for (std::size_t at = 0; at < text.size();) {
    for (; mark != marks.end() && mark->offset <= offset + at; ++mark) {
      if (mark->begins_run && mark->offset >= offset) begin_run(out, mark->ms);
      now_ = mark->ms;
    }
    const auto run = std::find_if(mark, marks.end(), [](const LogMark& m) { return m.begins_run; });
    auto end = std::min(text.find('\n', at), text.size() - 1) + 1;
    if (run != marks.end()) end = std::min<std::size_t>(end, run->offset - offset);
    if (at_line_start_) begin_line(out);
    if (shows_line_) out += text.substr(at, end - at);
    at_line_start_ = text[end - 1] == '\n';
    at = end;
  }
  return out;
}

}  // namespace userns::frontend
