#include "frontend/policy_tool/completions/words.h"

namespace userns::frontend {

Values values_of(const VerbOption& option) {
  const std::string_view value = option.value;
  if (value == "FILE") return Values::kFiles;
  if (value == "DIR") return Values::kDirectories;
  if (value == "USER") return Values::kUsers;
  if (value.starts_with("BRIDGE")) return Values::kBridges;
  return value == "KIND" ? Values::kKinds : Values::kNone;
}

Rest rest_of(const Verb& verb) {
  const auto arguments = verb.arguments;
  if (verb.name == "explain") return {Values::kUsers, Values::kTopics};
  if (arguments.starts_with("USER")) return {Values::kUsers, Values::kNone};
  if (arguments.starts_with("subuid")) return {Values::kKinds, Values::kNone};
  if (arguments.ends_with("FILE...]")) return {Values::kFiles, Values::kFiles};
  return {arguments.ends_with("[FILE]") ? Values::kFiles : Values::kNone, Values::kNone};
}

std::vector<VerbOption> options_of(const Verb& verb) {
  std::vector<VerbOption> all(verb.options.begin(), verb.options.end());
  all.push_back({"help", "", "says what there is"});
  return all;
}

}  // namespace userns::frontend
