#include <string>
#include <string_view>
#include <utility>

#include "frontend/cli/completions/shell_text.h"
#include "frontend/policy_tool/completions/words.h"
#include "frontend/policy_tool/program/verb_table.h"

namespace userns::frontend {
namespace {

std::string fish_values(Values values) {
  switch (values) {
    case Values::kFiles:
      return " -F";
    case Values::kDirectories:
      return " -x -a '(__fish_complete_directories)'";
    case Values::kUsers:
      return " -x -a '(__fish_complete_users)'";
    case Values::kBridges:
      return " -x -a '(command ls /sys/class/net)'";
    case Values::kKinds:
      return concat(" -x -a ", fish_text(kKindWords));
    case Values::kTopics:
      return concat(" -x -a ", fish_text(kTopicWords));
    case Values::kNone:
      break;
  }
  return " -x";
}

std::string fish_verb(const Verb& verb) {
  const auto seen =
      concat("complete -c userns-policy -n '__fish_seen_subcommand_from ", verb.name, "'");
  std::string text;
  for (const auto& option : options_of(verb)) {
    const auto values = is_flag(option) ? std::string{} : fish_values(values_of(option));
    text += concat(seen, " -l ", std::string_view(option.name), values == " -F" ? " -r -F" : values,
                   " -d ", fish_text(option.help), "\n");
  }
  const auto rest = rest_of(verb);
  if (rest.first != Values::kNone) text += concat(seen, fish_values(rest.first), "\n");
  if (rest.others == Values::kTopics) text += concat(seen, fish_values(rest.others), "\n");
  return text;
}

}  // namespace

std::string fish_completion() {
  std::string text =
      "# userns-policy(8), generated from its table.\ncomplete -c userns-policy -f\n";
  for (const auto& option : {"help", "version"})
    text += concat("complete -c userns-policy -n __fish_use_subcommand -l ",
                   std::string_view(option), "\n");
  for (const auto& verb : policy_verbs())
    text += concat("complete -c userns-policy -n __fish_use_subcommand -a ", verb.name, " -d ",
                   fish_text(verb.summary), "\n");
  for (const auto& verb : policy_verbs()) text += fish_verb(verb);
  return text;
}

}  // namespace userns::frontend
