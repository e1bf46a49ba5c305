// What the words of userns-policy are completed with, for every shell.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/spec/verb.h"
#include "policy/text.h"

namespace userns::frontend {

enum class Values : std::uint8_t { kNone, kFiles, kDirectories, kUsers, kBridges, kKinds, kTopics };

inline constexpr std::string_view kKindWords = "subuid subgid net.conf cgroup.conf";
inline constexpr std::string_view kTopicWords = "map net cgroup";

Values values_of(const VerbOption& option);
inline bool is_flag(const VerbOption& option) { return *option.value == '\0'; }

// The word behind the verb, and all that follow it.
struct Rest {
  Values first = Values::kNone, others = Values::kNone;
};
Rest rest_of(const Verb& verb);

// --help is one of them.
std::vector<VerbOption> options_of(const Verb& verb);

std::string joined(std::string_view between, auto&& list, auto&& text_of) {
  std::string all;
  for (const auto& one : list)
    all += concat(all.empty() ? std::string_view() : between, text_of(one));
  return all;
}

// A whole completion file.
std::string bash_completion();
std::string zsh_completion();
std::string fish_completion();

}  // namespace userns::frontend
