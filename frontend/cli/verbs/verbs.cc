#include <array>

#include "frontend/cli/verbs/verb.h"

namespace userns::frontend {
namespace {

// A row each; the functions are in the verb's own file.
constexpr std::array<Verb, 0> kVerbs{};

}  // namespace

std::span<const Verb> verbs() { return kVerbs; }

}  // namespace userns::frontend
