// A point in time, as people give it: how long ago, or when.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "policy/error.h"

namespace userns::frontend {

// In milliseconds since 1970, of
//   "90s", "10m", "2h", "7d", "1h30m"       so long before `now` (milliseconds, too)
//   "2026-11-30", "2026-11-30 14:00[:SS]"   in the caller's time zone; a T may stand between
//   "2026-11-30T14:00:00[.NNN]Z"            and with "+01:00" instead of the Z
//   "1796050801"                            seconds since 1970
Result<std::int64_t> parse_moment(std::string_view text, std::int64_t now);

// "2026-11-30T19:06:41.123+01:00", in the caller's time zone.
std::string moment_text(std::int64_t milliseconds);

}  // namespace userns::frontend
