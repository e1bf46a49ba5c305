// Why a start came to nothing, and what userns-run ends with.
#pragma once

#include <expected>
#include <type_traits>
#include <utility>

#include "frontend/run/exit_status.h"
#include "policy/error.h"

namespace userns::frontend {

struct Failure {
  Error error;
  int exit_status = kExitOwnFailure;
};
template <class T>
using Step = std::expected<T, Failure>;

// A failure of our own.
template <class T>
Step<T> own(Result<T> result) {
  if (!result) return std::unexpected(Failure{std::move(result.error())});
  if constexpr (std::is_void_v<T>)
    return {};
  else
    return std::move(*result);
}

}  // namespace userns::frontend
