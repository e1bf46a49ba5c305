// TRY(result): the value of a Result. Without one the enclosing function returns the error, as with
// libbase's OR_RETURN and Serenity's TRY.
//
// A Result with a name keeps its value, and TRY gives a copy. TRY is the whole right side of a
// statement, never a part of an expression: what else that made would be left half done.
#pragma once

#include <expected>
#include <utility>

#define TRY(...)                                       \
  __extension__({                                      \
    auto&& tried = (__VA_ARGS__);                      \
    if (!tried) return std::unexpected(tried.error()); \
    *std::forward<decltype(tried)>(tried);             \
  })
