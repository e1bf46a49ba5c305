#include "frontend/monitor/control.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "policy/text.h"

namespace userns::frontend {
namespace {

using Kind = Request::Kind;

constexpr std::int64_t kLongestTimeout = std::int64_t{7} * 24 * 3600 * 1000;
constexpr std::string_view kLeash = " leash";
constexpr std::string_view kKeep = " keep";
constexpr std::array<std::pair<Kind, std::string_view>, 7> kNames{{{Kind::kInit, "init"},
                                                                   {Kind::kWait, "wait"},
                                                                   {Kind::kReady, "ready"},
                                                                   {Kind::kConsole, "console"},
                                                                   {Kind::kStop, "stop"},
                                                                   {Kind::kExec, "exec"},
                                                                   {Kind::kLongExec, "exec-long"}}};

std::unexpected<Error> no_request() {
  return fail({}, "this is not a request of a container's monitor");
}

std::optional<std::uint16_t> parse_16(std::string_view text) {
  const auto number = parse_decimal(text);
  if (!number || *number > std::numeric_limits<std::uint16_t>::max()) return std::nullopt;
  return static_cast<std::uint16_t>(*number);
}

// NAME=VALUE words up to an empty one, then the words.
Result<Request> parse_exec(std::string_view text) {
  Request request{.kind = Kind::kExec};
  bool environment = true;
  while (!text.empty()) {
    const auto word = take_until(text, '\0');
    if (environment && word.empty())
      environment = false;
    else
      (environment ? request.environment : request.words).emplace_back(word);
  }
  return environment || request.words.empty() ? no_request() : Result<Request>(std::move(request));
}

bool take_suffix(std::string_view& text, std::string_view suffix) {
  const bool there = text.ends_with(suffix);
  if (there) text.remove_suffix(suffix.size());
  return there;
}

Result<Request> parse_with_value(Request request, std::string_view value) {
  if (request.kind == Kind::kConsole) {
    request.leash = take_suffix(value, kLeash);
    request.size = parse_size(value);
    return request.size || value == "-" ? Result<Request>(request) : no_request();
  }
  request.keep = take_suffix(value, kKeep);
  const auto timeout = parse_decimal(value);
  if (!timeout || *timeout > static_cast<std::uint64_t>(kLongestTimeout)) return no_request();
  request.timeout = static_cast<std::int64_t>(*timeout);
  return request;
}

}  // namespace

Result<Request> parse_request(std::string_view text) {
  const auto name =
      text.substr(0, std::min(text.find_first_of(std::string_view(" \0", 2)), text.size()));
  const auto* const found =
      std::ranges::find(kNames, name, &std::pair<Kind, std::string_view>::second);
  if (found == kNames.end()) return no_request();
  const Request request{.kind = found->first};
  const auto rest = text.substr(name.size());
  if (request.kind == Kind::kExec)
    return rest.starts_with('\0') ? parse_exec(rest.substr(1)) : no_request();
  if (request.kind == Kind::kConsole || request.kind == Kind::kStop)
    return rest.starts_with(' ') ? parse_with_value(request, rest.substr(1)) : no_request();
  return rest.empty() ? Result<Request>(request) : no_request();
}

std::string to_text(const Request& request) {
  const auto* const found =
      std::ranges::find(kNames, request.kind, &std::pair<Kind, std::string_view>::first);
  std::string text(found->second);
  if (request.kind == Kind::kConsole)
    text += concat(" ", request.size ? to_text(*request.size) : "-", request.leash ? kLeash : "");
  if (request.kind == Kind::kStop) text += concat(" ", request.timeout, request.keep ? kKeep : "");
  if (request.kind != Kind::kExec) return text;
  for (const auto& word : request.environment) text += concat('\0', word);
  text += concat('\0', "");
  for (const auto& word : request.words) text += concat('\0', word);
  // An empty last word would not be seen.
  return text + '\0';
}

std::optional<WindowSize> parse_size(std::string_view text) {
  if (text.find('x') == std::string_view::npos) return std::nullopt;
  const auto rows = parse_16(take_until(text, 'x'));
  const auto columns = parse_16(text);
  return rows && columns ? std::optional(WindowSize{.rows = *rows, .columns = *columns})
                         : std::nullopt;
}

std::string to_text(const WindowSize& size) { return concat(size.rows, "x", size.columns); }

}  // namespace userns::frontend
