// Writes userns-policy's completions for a shell: policy_completions bash|zsh|fish. Runs when the
// suite is built; what it writes comes from the table that the program itself parses by.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/cli/completions/shell_text.h"
#include "frontend/policy_tool/program/verb_table.h"
#include "frontend/policy_tool/tool.h"
#include "frontend/spec/verb.h"
#include "policy/text.h"

namespace {

using namespace userns;
using namespace userns::frontend;

// What a word is completed with.
enum class Values : std::uint8_t { kNone, kFiles, kDirectories, kUsers, kBridges, kKinds, kTopics };

constexpr std::string_view kKinds = "subuid subgid net.conf cgroup.conf";
constexpr std::string_view kTopics = "map net cgroup";
constexpr VerbOption kHelp{"help", "", "says what there is"};

Values values_of(const VerbOption& option) {
  const std::string_view value = option.value;
  if (value == "FILE") return Values::kFiles;
  if (value == "DIR") return Values::kDirectories;
  if (value == "USER") return Values::kUsers;
  if (value.starts_with("BRIDGE")) return Values::kBridges;
  return value == "KIND" ? Values::kKinds : Values::kNone;
}

bool is_flag(const VerbOption& option) { return *option.value == '\0'; }

// The word behind the verb, and all that follow it.
struct Rest {
  Values first = Values::kNone, others = Values::kNone;
};

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
  all.push_back(kHelp);
  return all;
}

std::string joined(std::string_view between, auto&& list, auto&& text_of) {
  std::string all;
  for (const auto& one : list)
    all += concat(all.empty() ? std::string_view() : between, text_of(one));
  return all;
}

// --- bash ---------------------------------------------------------------------------------------

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

std::string bash() {
  std::string text(kBashHead);
  text += concat("    kind=words list='",
                 joined(" ", policy_verbs(), [](const Verb& v) { return std::string(v.name); }),
                 "'\n    if [[ $cur == -* ]]; then list=$options; fi\n  fi\n  case $verb in\n");
  for (const auto& verb : policy_verbs()) text += bash_case(verb);
  text += kBashTail;
  for (const auto& [name, words] : {std::pair{"kinds", kKinds}, std::pair{"topics", kTopics}})
    text += concat("    ", name, ") COMPREPLY=($(compgen -W '", words, "' -- \"$cur\")) ;;\n");
  return text + "  esac\n}\ncomplete -F _userns_policy userns-policy\n";
}

// --- zsh ----------------------------------------------------------------------------------------

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
      return concat("(", kKinds, ")");
    case Values::kTopics:
      return concat("(", kTopics, ")");
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

std::string zsh() {
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

// --- fish ---------------------------------------------------------------------------------------

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
      return concat(" -x -a ", fish_text(kKinds));
    case Values::kTopics:
      return concat(" -x -a ", fish_text(kTopics));
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

std::string fish() {
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

}  // namespace

int main(int argc, char** argv) {
  const std::string_view shell = argc == 2 ? argv[1] : "";
  if (shell == "bash") return put_as_it_is(bash());
  if (shell == "zsh") return put_as_it_is(zsh());
  if (shell == "fish") return put_as_it_is(fish());
  return tool_failure(
      {.rule = {}, .code = 0, .text = "completions for which shell? bash, zsh or fish"});
}
