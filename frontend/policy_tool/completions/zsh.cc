#include <string>
#include <string_view>
#include <utility>

#include "frontend/cli/completions/shell_text.h"
#include "frontend/policy_tool/completions/words.h"
#include "frontend/policy_tool/program/verb_table.h"

namespace userns::frontend {
namespace {

std::string zsh_action(Values values) {
  switch (values) {
    case Values::kFiles:
      return "_files";
    case Values::kDirectories:
      return "_files -/";
    case Values::kUsers:
      return "_users";
    case Values::kBridges:
      return "_net_interfaces";
    case Values::kKinds:
      return concat("(", kKindWords, ")");
    case Values::kTopics:
      return concat("(", kTopicWords, ")");
    case Values::kNone:
      break;
  }
  return " ";
}

std::string zsh_case(const Verb& verb) {
  std::string text =
      concat("    ", verb.name, ")\n      shift words; (( CURRENT-- ))\n      _arguments");
  for (const auto& option : options_of(verb)) {
    const std::string_view name = option.name;
    text += concat(" \\\n        '*--", name, is_flag(option) ? "" : "=", "[",
                   zsh_text(option.help), "]");
    text += is_flag(option) ? "'" : concat(":", name, ":", zsh_action(values_of(option)), "'");
  }
  const auto rest = rest_of(verb);
  text += concat(" \\\n        '1:word:", zsh_action(rest.first), "'");
  if (rest.others == Values::kTopics)
    return text + concat(" \\\n        '2:topic:", zsh_action(rest.others),
                         "' '3:bridge:_net_interfaces' ;;\n");
  return text + concat(" \\\n        '*:word:", zsh_action(rest.others), "' ;;\n");
}

}  // namespace

std::string zsh_completion() {
  std::string text =
      "#compdef userns-policy\n# userns-policy(8), generated from its table.\n"
      "_userns_policy() {\n  local -a verbs\n  verbs=(\n";
  for (const auto& verb : policy_verbs())
    text += concat("    '", verb.name, ":", zsh_text(verb.summary), "'\n");
  text += R"sh(  )
  if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then
    _describe verb verbs
    return
  fi
  case $words[2] in
)sh";
  for (const auto& verb : policy_verbs()) text += zsh_case(verb);
  return text +
         "    *)\n      _arguments '--help[says what there is]' '--version[says which version]' "
         ";;\n"
         "  esac\n}\n_userns_policy \"$@\"\n";
}

}  // namespace userns::frontend
