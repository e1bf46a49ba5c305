#include "policy/target.h"

#include <limits>
#include <optional>

#include "policy/text.h"

namespace userns {
namespace {

using enum Target::Kind;

std::optional<Target> make(Target::Kind kind, std::string_view digits) {
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<int>::max());
  const auto number = parse_decimal(digits);
  if (!number || *number > kMost || (kind == kPid && *number == 0)) return std::nullopt;
  return Target{kind, static_cast<int>(*number)};
}

}  // namespace

Result<Target> parse_target(std::string_view text) {
  const bool by_fd = text.starts_with("fd:");
  const auto digits = text.substr(by_fd ? 3 : 0);
  if (const auto target = make(by_fd ? kFd : kPid, digits)) return *target;
  return fail("IM-TARGET", concat("target ", quoted(text), ": the number ",
                                  digits == "0" ? "is not a process" : why_not_decimal(digits),
                                  "; give a process id or fd:N"));
}

Result<Target> parse_netns(std::string_view text) {
  auto digits = text;
  const auto word = take_until(digits, ':');
  const auto kind = word == "fd" ? kFd : word == "pidfd" ? kPidfd : kPid;
  const auto target = kind == kPid && word != "pid" ? std::nullopt : make(kind, digits);
  if (target) return *target;
  return fail("NR-TARGET", concat("network namespace ", quoted(text),
                                  " is not given as fd:N, pidfd:N or pid:N"));
}

}  // namespace userns
