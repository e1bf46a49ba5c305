#include "frontend/cli/watch/logs.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "frontend/cli/terminal.h"
#include "frontend/cli/verbs/select.h"
#include "frontend/cli/watch/log_files.h"
#include "frontend/cli/watch/log_lines.h"
#include "frontend/events/event_log.h"
#include "frontend/events/moment.h"
#include "frontend/store/state.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr int kLookEvery = 200;                   // ms
constexpr std::int64_t kMillisecond = 1'000'000;  // in nanoseconds

std::int64_t now_ms() { return now_ns() / kMillisecond; }

std::string_view last_lines(std::string_view text, std::uint64_t count) {
  std::size_t at = text.size();
  if (text.ends_with('\n') && at > 0) --at;
  for (; count > 0; --count) {
    const auto before = at == 0 ? std::string_view::npos : text.rfind('\n', at - 1);
    if (before == std::string_view::npos) return text;
    at = before;
  }
  return text.substr(std::min(at + 1, text.size()));
}

Result<std::string> what_is_new(LogReader& reader, LogLines& lines) {
  const auto pieces = TRY(reader.next());
  std::string text;
  for (const auto& piece : pieces) {
    if (piece.begins_file) lines.begin_file();
    text += lines.add(piece.text, piece.offset, piece.marks);
  }
  return text;
}

int follow(const Container& container, LogReader& reader, LogLines& lines, std::int64_t until) {
  while (true) {
    const auto state =
        read_state(container.dir());  // before the look: what is said last is not missed
    const bool is_last = now_ms() > until;
    const auto text = what_is_new(reader, lines);
    if (!text) return own_failure(text.error());
    if (const int put = text->empty() ? 0 : print_as_it_is(*text); put != 0) return put;
    if (!state || !*state || is_last) return 0;
    (void)::poll(nullptr, 0, kLookEvery);
  }
}

Result<LogWish> wish_of(const Words& words) {
  LogWish wish{.name = words.names.front(), .timestamps = words.has("timestamps")};
  for (const auto& [option, place] :
       {std::pair{"since", &wish.since}, std::pair{"until", &wish.until}}) {
    const auto text = words.one(option);
    const auto moment = text ? parse_moment(*text, now_ms()) : Result<std::int64_t>(*place);
    if (!moment) return fail({}, concat("--", std::string_view(option), ": ", moment.error().text));
    *place = *moment;
  }
  return wish;
}

Result<std::uint64_t> lines_of(const Words& words) {
  const auto text = words.one("lines");
  if (!text) return std::numeric_limits<std::uint64_t>::max();
  if (const auto number = parse_decimal(*text)) return *number;
  return fail({}, concat("--lines is a number, not ", quoted(*text)));
}

int logs_verb(const Words& words) {
  const auto container = one_container(words);
  const auto count = container ? lines_of(words) : std::unexpected(container.error());
  const auto wish = count ? wish_of(words) : std::unexpected(count.error());
  if (!wish) return own_failure(wish.error());
  LogReader reader(*container);
  LogLines lines(*wish);
  const auto text = what_is_new(reader, lines);
  if (!text) return own_failure(text.error());
  const auto shown = last_lines(*text, *count);
  if (const int put = shown.empty() ? 0 : print_as_it_is(shown); put != 0) return put;
  return words.has("follow") ? follow(*container, reader, lines, wish->until) : 0;
}

constexpr std::array kLogsOptions{
    VerbOption{"follow", "", "go on as more comes, until it stops", false, 'f'},
    VerbOption{"lines", "N", "only the last N lines", false, 'n'},
    VerbOption{"since", "TIME",
               "only what came then or later: 30m, 2h, 7d ago, \"2026-11-30 14:00\""},
    VerbOption{"until", "TIME", "only what came then or earlier"},
    VerbOption{"timestamps", "", "before each line when it came", false, 't'},
    kPathOption};

}  // namespace

constinit const Verb kLogsVerb{.name = "logs",
                               .arguments = "NAME [OPTIONS]",
                               .summary = "Shows what the console of a container has said",
                               .options = kLogsOptions,
                               .run = logs_verb,
                               .kind = VerbKind::kLook};

}  // namespace userns::frontend
