#include "policy/target.h"

#include <limits>

#include "policy/text.h"

namespace userns {

Result<Target> parse_target(std::string_view text) {
  constexpr std::string_view kFd = "fd:";
  const bool by_fd = text.starts_with(kFd);
  const auto digits = by_fd ? text.substr(kFd.size()) : text;
  const auto number = parse_decimal(digits);
  if (!number)
    return fail("IM-TARGET", concat("target ", quoted(text), ": the number ",
                                    why_not_decimal(digits), "; give a process id or fd:N"));
  const auto most = static_cast<std::uint64_t>(std::numeric_limits<int>::max());
  if (*number > most || (!by_fd && *number == 0))
    return fail("IM-TARGET", concat("target ", quoted(text), " is out of range"));
  const auto value = static_cast<int>(*number);
  return by_fd ? Target(ByFd{value}) : Target(ByPid{value});
}

}  // namespace userns
