// A policy as a table of named rules, each with what it has against a request. The first broken one
// speaks; the order is from who to what, so that each rule may rely on those before it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "policy/error.h"

namespace userns {

// What a rule has against the request; nothing if it holds.
using Objection = std::optional<std::string>;

template <class... Judged>
struct Rule {
  std::string_view id;
  Objection (*objection)(const Judged&...);
};

template <std::size_t Count, class... Judged>
Result<void> judge(const Rule<Judged...> (&rules)[Count], const Judged&... judged) {
  for (const auto& rule : rules)
    if (auto objection = rule.objection(judged...)) return fail(rule.id, std::move(*objection));
  return {};
}

}  // namespace userns
