// How the last run of a container ended: last.json in its directory (frontend/store/state.h).
#pragma once

#include <cstdint>
#include <string>

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

inline constexpr const char* kLastFile = "last.json";

// How a run ended.
struct LastEnd {
  int exit_status = 0;  // 128+N for signal N
  std::int64_t ended_at = 0;
  std::string text;  // "limits were met ..."; empty where there is nothing to say
};

Result<void> write_last_end(const Fd& directory, const LastEnd& end);

std::int64_t now();  // seconds since 1970

}  // namespace userns::frontend
