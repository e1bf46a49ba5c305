// TRY(result): the value of a Result. Without one the enclosing function returns the error, as with
// libbase's OR_RETURN and Serenity's TRY.
//
// A Result with a name keeps its value, and TRY gives a copy. TRY is the whole right side of a
// statement, never a part of an expression: what else that made would be left half done.
#pragma once

#include <expected>
#include <type_traits>
#include <utility>

namespace userns {

// What is in a Result that has a value. A value may be a lock that is held as long as it lives: who
// wants none of it says (void).
template <class R>
[[nodiscard]] typename std::remove_cvref_t<R>::value_type tried_value(R&& tried) {
  return *std::forward<R>(tried);
}

}  // namespace userns

#define TRY(...)                                                 \
  __extension__({                                                \
    auto&& tried = (__VA_ARGS__);                                \
    if (!tried) return std::unexpected(tried.error());           \
    ::userns::tried_value(std::forward<decltype(tried)>(tried)); \
  })
