// Writes userns-run's completions for a shell: completions bash|zsh|fish. Runs when the suite is
// built; what it writes comes from the tables that the program itself parses by.
#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/cli/completions/shell_text.h"
#include "frontend/cli/run_command.h"
#include "frontend/cli/terminal.h"
#include "frontend/spec/config_file.h"
#include "frontend/spec/options.h"
#include "frontend/spec/verb.h"
#include "policy/text.h"

namespace {

using namespace userns;
using namespace userns::frontend;

// What the value of an option is completed with.
enum class Values : std::uint8_t {
  kNone,
  kFlag,
  kFiles,
  kDirectories,
  kContainers,
  kImages,
  kWords
};

struct Option {
  std::string name;
  std::string help;
  Values values = Values::kNone;
  std::string words;  // kWords
};

Values values_of(std::string_view name, std::string_view placeholder) {
  if (placeholder.empty()) return Values::kFlag;
  if (placeholder == "FILE") return Values::kFiles;
  if (placeholder == "DIR" && name != "cwd") return Values::kDirectories;
  if (name == "from" || name == "share-ids") return Values::kContainers;
  if (name == "image") return Values::kImages;
  return Values::kNone;
}

// "a | b (default) | c": the words that are meant as they stand.
std::string words_in(std::string_view help) {
  std::string words;
  if (!help.contains(" | ")) return words;
  while (!help.empty()) {
    auto one = take_until(help, '|');
    one.remove_prefix(std::min(one.find_first_not_of(' '), one.size()));
    const auto word = one.substr(0, one.find_first_of(" :[="));
    const bool plain =
        word.find_first_not_of("abcdefghijklmnopqrstuvwxyz-") == std::string_view::npos;
    const auto behind = one.substr(word.size());
    if (!plain || word.empty() ||
        !(behind.empty() || behind.starts_with(' ') || behind.starts_with(": ")))
      continue;
    words += concat(words.empty() ? "" : " ", word);
  }
  return words;
}

Option option_of(std::string_view name, std::string_view placeholder, std::string_view help) {
  Option option{.name = std::string(name),
                .help = std::string(help),
                .values = values_of(name, placeholder),
                .words = {}};
  if (option.values == Values::kNone) option.words = words_in(help);
  if (!option.words.empty()) option.values = Values::kWords;
  return option;
}

std::vector<Option> options_of_containers() {
  std::vector<Option> all;
  for (const auto& option : container_options())
    all.push_back(option_of(option.name, option.value, option.help));
  return all;
}

// Of a throw-away one.
std::vector<Option> plain_options() {
  auto all = options_of_containers();
  for (const auto& option : run_options())
    all.push_back(option_of(option.name, option.value, option.help));
  return all;
}

std::vector<Option> options_of(const Verb& verb) {
  std::vector<Option> all;
  for (const auto& option : verb.options)
    all.push_back(option_of(option.name, option.value, option.help));
  if (verb.takes_container_options)
    for (auto& option : options_of_containers())
      if (std::ranges::find(all, option.name, &Option::name) == all.end())
        all.push_back(std::move(option));
  all.push_back(
      {.name = "help", .help = "says what there is", .values = Values::kFlag, .words = {}});
  return all;
}

bool takes_images(const Verb& verb) { return verb.name == "rmi" || verb.name == "push"; }
bool takes_containers(const Verb& verb) {
  return verb.arguments.contains("NAME") && verb.name != "create" && !takes_images(verb);
}

std::string keys() {
  std::string text;
  for (const auto& key : container_keys()) text += concat(key.name, " ");
  for (const auto& option : container_options()) text += concat(option.name, " ");
  if (!text.empty()) text.pop_back();
  return text;
}

std::string names_of(const std::vector<Option>& options) {
  std::string text;
  for (const auto& option : options) text += concat(text.empty() ? "" : " ", "--", option.name);
  return text;
}

// --- bash ---------------------------------------------------------------------------------------

std::string bash_values(const std::vector<Option>& options) {
  std::string text;
  for (const auto& option : options) {
    if (option.values == Values::kFlag) continue;
    text += concat("        --", option.name, ") ");
    if (option.values == Values::kFiles)
      text += "kind=files";
    else if (option.values == Values::kDirectories)
      text += "kind=directories";
    else if (option.values == Values::kContainers)
      text += "kind=containers";
    else if (option.values == Values::kImages)
      text += "kind=images";
    else
      text += concat("kind=words; list='", option.words, "'");
    text += " ;;\n";
  }
  return text;
}

std::string bash_case(std::string_view pattern, const std::vector<Option>& options,
                      std::string_view rest) {
  return concat("    ", pattern, ")\n      options='", names_of(options), "'\n      rest=", rest,
                "\n      case $before in\n", bash_values(options), "      esac ;;\n");
}

std::string bash() {
  std::string text = R"sh(# userns-run(1), generated from its tables.
# shellcheck shell=bash disable=SC2207 # a word of ours holds no blank
_userns_run_containers() {
  userns-run list --names "${path[@]}" 2> /dev/null
}
_userns_run_images() {
  userns-run images --names 2> /dev/null
}
_userns_run() {
  local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]} i
  local options='' rest='' kind='' list='' path=()
  COMPREPLY=()
  # "--option=value" comes in three words.
  if [[ $cur == = ]]; then cur=; elif [[ $before == = ]]; then before=${COMP_WORDS[COMP_CWORD - 2]}; fi
  for ((i = 1; i < COMP_CWORD; ++i)); do
    if [[ ${COMP_WORDS[i]} == -- ]]; then
      if ((i + 1 == COMP_CWORD)); then COMPREPLY=($(compgen -c -- "$cur")); else compopt -o default; fi
      return
    fi
    [[ ${COMP_WORDS[i]} == --path ]] && path=(--path "${COMP_WORDS[i + 1]}")
    [[ ${COMP_WORDS[i]} == --path && ${COMP_WORDS[i + 1]} == = ]] && path=(--path "${COMP_WORDS[i + 2]}")
  done
)sh";
  std::string names;
  for (const auto& verb : verbs()) names += concat(names.empty() ? "" : " ", verb.name);
  text +=
      concat("  if ((COMP_CWORD == 1)) && [[ $cur != -* ]]; then\n    COMPREPLY=($(compgen -W '",
             names, "' -- \"$cur\"))\n    return\n  fi\n  case $verb in\n");
  for (const auto& verb : verbs())
    text += bash_case(verb.name, options_of(verb),
                      verb.name == "config"    ? "keys"
                      : takes_images(verb)     ? "images"
                      : takes_containers(verb) ? "containers"
                                               : "''");
  auto plain = plain_options();
  plain.push_back({.name = "help", .help = "", .values = Values::kFlag, .words = {}});
  plain.push_back({.name = "version", .help = "", .values = Values::kFlag, .words = {}});
  text += bash_case("*", plain, "''");
  text += concat(R"sh(  esac
  if [[ -z $kind && $cur == -* ]]; then kind=words list=$options; fi
  if [[ -z $kind && $rest == keys ]]; then
    rest=containers
    if ((COMP_CWORD > 2)); then kind=words rest=keys list=')sh",
                 keys(), R"sh('; compopt -o nospace; fi
  fi
  case ${kind:-$rest} in
    files) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    directories) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
    containers) COMPREPLY=($(compgen -W "$(_userns_run_containers)" -- "$cur")) ;;
    images) COMPREPLY=($(compgen -W "$(_userns_run_images)" -- "$cur")) ;;
    words)
      COMPREPLY=($(compgen -W "$list" -- "$cur"))
      if [[ $rest == keys && $cur != -* ]]; then COMPREPLY=("${COMPREPLY[@]/%/=}"); fi ;;
  esac
}
complete -F _userns_run userns-run
)sh");
  return text;
}

// --- zsh ----------------------------------------------------------------------------------------

std::string zsh_action(const Option& option) {
  switch (option.values) {
    case Values::kFiles:
      return "_files";
    case Values::kDirectories:
      return "_files -/";
    case Values::kContainers:
      return "_userns_run_containers";
    case Values::kImages:
      return "_userns_run_images";
    case Values::kWords:
      return concat("(", option.words, ")");
    default:
      return " ";
  }
}

std::string zsh_specs(const std::vector<Option>& options) {
  std::string text;
  for (const auto& option : options) {
    const bool flag = option.values == Values::kFlag;
    text +=
        concat(" \\\n        '*--", option.name, flag ? "" : "=", "[", zsh_text(option.help), "]");
    text += flag ? "'" : concat(":", option.name, ":", zsh_action(option), "'");
  }
  return text;
}

std::string zsh() {
  std::string text = R"sh(#compdef userns-run
# userns-run(1), generated from its tables.
_userns_run_containers() {
  local -a names
  names=(${(f)"$(_call_program containers userns-run list --names ${opt_args[--path]:+--path=${opt_args[--path]}} 2> /dev/null)"})
  compadd -a names
}
_userns_run_images() {
  local -a names
  names=(${(f)"$(_call_program images userns-run images --names 2> /dev/null)"})
  compadd -a names
}
_userns_run_keys() {
  if (( CURRENT == 2 )); then _userns_run_containers; return; fi
  local -a keys
)sh";
  text += concat("  keys=(", keys(),
                 ")\n  compadd -S = -a keys\n}\n_userns_run() {\n  local -a verbs\n  verbs=(\n");
  for (const auto& verb : verbs())
    text += concat("    '", verb.name, ":", zsh_text(verb.summary), "'\n");
  text += R"sh(  )
  if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then
    _describe verb verbs
    return
  fi
  local verb=$words[2]
  case $verb in
)sh";
  for (const auto& verb : verbs()) {
    const auto rest = verb.name == "config"    ? "'*:setting:_userns_run_keys'"
                      : takes_images(verb)     ? "'*:image:_userns_run_images'"
                      : takes_containers(verb) ? "'*:container:_userns_run_containers'"
                                               : "'*: :'";
    text += concat("    ", verb.name, ")\n      shift words; (( CURRENT-- ))\n      _arguments",
                   zsh_specs(options_of(verb)), " \\\n        ", rest, " ;;\n");
  }
  auto plain = plain_options();
  plain.push_back(
      {.name = "help", .help = "says what there is", .values = Values::kFlag, .words = {}});
  plain.push_back({.name = "version", .help = "", .values = Values::kFlag, .words = {}});
  text += concat("    *)\n      _arguments", zsh_specs(plain),
                 " \\\n        '*::command:_normal' ;;\n  esac\n}\n_userns_run \"$@\"\n");
  return text;
}

// --- fish ---------------------------------------------------------------------------------------

std::string fish_option(std::string_view condition, const Option& option) {
  std::string text = concat("complete -c userns-run -n ", condition, " -l ", option.name);
  switch (option.values) {
    case Values::kFlag:
      break;
    case Values::kFiles:
      text += " -r -F";
      break;
    case Values::kDirectories:
      text += " -x -a '(__fish_complete_directories)'";
      break;
    case Values::kContainers:
      text += " -x -a '(__userns_run_containers)'";
      break;
    case Values::kImages:
      text += " -x -a '(__userns_run_images)'";
      break;
    case Values::kWords:
      text += concat(" -x -a ", fish_text(option.words));
      break;
    case Values::kNone:
      text += " -x";
      break;
  }
  return concat(text, " -d ", fish_text(option.help), "\n");
}

std::string fish() {
  std::string text = R"sh(# userns-run(1), generated from its tables.
function __userns_run_containers
    userns-run list --names 2> /dev/null
end
function __userns_run_images
    userns-run images --names 2> /dev/null
end
complete -c userns-run -f
)sh";
  for (const auto& verb : verbs())
    text += concat("complete -c userns-run -n __fish_use_subcommand -a ", verb.name, " -d ",
                   fish_text(verb.summary), "\n");
  for (const auto& option : plain_options()) text += fish_option("__fish_use_subcommand", option);
  for (const auto& verb : verbs()) {
    const auto condition = concat("'__fish_seen_subcommand_from ", verb.name, "'");
    for (const auto& option : options_of(verb)) text += fish_option(condition, option);
    if (takes_containers(verb))
      text += concat("complete -c userns-run -n ", condition, " -a '(__userns_run_containers)'\n");
    if (takes_images(verb))
      text += concat("complete -c userns-run -n ", condition, " -a '(__userns_run_images)'\n");
  }
  const auto all = keys();
  for (std::string_view rest = all; !rest.empty();)
    text += concat("complete -c userns-run -n '__fish_seen_subcommand_from config' -a ",
                   take_until(rest, ' '), "=\n");
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view shell = argc == 2 ? argv[1] : "";
  if (shell == "bash") return print(bash());
  if (shell == "zsh") return print(zsh());
  if (shell == "fish") return print(fish());
  return own_failure(
      {.rule = {}, .code = 0, .text = "completions for which shell? bash, zsh or fish"});
}
