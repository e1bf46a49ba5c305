#include <string>
#include <string_view>
#include <utility>

#include "frontend/cli/completions/shell_text.h"
#include "frontend/policy_tool/completions/words.h"
#include "frontend/policy_tool/program/verb_table.h"

namespace userns::frontend {
namespace {

std::string_view bash_kind(Values values) {
  switch (values) {
    case Values::kFiles:
      return "files";
    case Values::kDirectories:
      return "directories";
    case Values::kUsers:
      return "users";
    case Values::kBridges:
      return "bridges";
    case Values::kKinds:
      return "kinds";
    case Values::kTopics:
      return "topics";
    case Values::kNone:
      break;
  }
  return "nothing";
}

std::string bash_case(const Verb& verb) {
  const auto options = options_of(verb);
  const auto rest = rest_of(verb);
  std::string values;
  for (const auto& option : options)
    if (!is_flag(option))
      values += concat("        --", std::string_view(option.name),
                       ") kind=", bash_kind(values_of(option)), " ;;\n");
  return concat(
      "    ", verb.name, ")\n      options='",
      joined(" ", options, [](const auto& o) { return concat("--", std::string_view(o.name)); }),
      "'\n      rest=", bash_kind(rest.others),
      rest.first == rest.others
          ? std::string{}
          : concat("\n      if ((COMP_CWORD == 2)); then rest=", bash_kind(rest.first), "; fi"),
      values.empty() ? std::string{} : concat("\n      case $before in\n", values, "      esac"),
      " ;;\n");
}

constexpr std::string_view kBashHead = R"sh(# userns-policy(8), generated from its table.
# shellcheck shell=bash disable=SC2207 # a word of ours holds no blank
_userns_policy() {
  local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]}
  local options='--help --version' rest=nothing kind='' list=''
  COMPREPLY=()
  # "--option=value" comes in three words.
  if [[ $cur == = ]]; then cur=; elif [[ $before == = ]]; then before=${COMP_WORDS[COMP_CWORD - 2]}; fi
  if ((COMP_CWORD == 1)); then
    verb=
)sh";
constexpr std::string_view kBashTail = R"sh(  esac
  if [[ -z $kind && $cur == -* ]]; then kind=words list=$options; fi
  if [[ ${kind:-$rest} == topics && $before == net ]]; then kind=bridges; fi
  case ${kind:-$rest} in
    files) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    directories) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
    users) mapfile -t COMPREPLY < <(compgen -u -- "$cur") ;;
    bridges) mapfile -t COMPREPLY < <(cd /sys/class/net && compgen -G "$cur*" --) ;;
    words) COMPREPLY=($(compgen -W "$list" -- "$cur")) ;;
)sh";

}  // namespace

std::string bash_completion() {
  std::string text(kBashHead);
  text += concat("    kind=words list='",
                 joined(" ", policy_verbs(), [](const Verb& v) { return std::string(v.name); }),
                 "'\n    if [[ $cur == -* ]]; then list=$options; fi\n  fi\n  case $verb in\n");
  for (const auto& verb : policy_verbs()) text += bash_case(verb);
  text += kBashTail;
  for (const auto& [name, words] :
       {std::pair{"kinds", kKindWords}, std::pair{"topics", kTopicWords}})
    text += concat("    ", name, ") COMPREPLY=($(compgen -W '", words, "' -- \"$cur\")) ;;\n");
  return text + "  esac\n}\ncomplete -F _userns_policy userns-policy\n";
}

}  // namespace userns::frontend
