#include "frontend/spec/verb.h"

#include <algorithm>

#include "frontend/spec/given.h"
#include "frontend/spec/options.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

// What --help of every verb lists last.
constexpr std::size_t kHelpColumn = 27;

struct Known : KnownOption {
  bool many = false;
  bool own = false;  // the verb's, not the container's
};

std::vector<Known> known_options(const Verb& verb) {
  std::vector<Known> known;
  for (const auto& option : verb.options)
    known.push_back(
        {{.name = option.name, .flag = option.value[0] == '\0', .letter = option.letter},
         option.many,
         true});
  if (!verb.takes_container_options) return known;
  for (const auto& option : container_options())
    if (std::ranges::find(known, option.name, &Known::name) == known.end())
      known.push_back({{.name = option.name, .flag = option.value.empty()}, true});
  return known;
}

Result<std::vector<Given>> split(const Verb& verb, std::span<const Known> known,
                                 std::span<const std::string_view> words) {
  const std::vector<KnownOption> names(known.begin(), known.end());
  return split_options(
      names, words,
      {.has = concat(verb.name, " has"), .help = concat(verb.program, " ", verb.name, " --help")});
}

Result<void> check_flag(const Known& option, std::string_view value) {
  if (!option.flag || value == "yes" || value == "no") return {};
  return fail({}, concat("--", option.name, " is yes or no, not ", quoted(value)));
}

Result<void> take(Words& words, std::span<const Known> known, const Given& given) {
  const auto& value = given.value;
  const auto option = std::ranges::find(known, given.name, &Known::name);
  if (option == known.end()) {
    words.names.push_back(value);
    return {};
  }
  if (!option->own) {
    words.container.push_back(concat("--", option->name, "=", value));
    return {};
  }
  if (!option->many && words.one(option->name))
    return fail({}, concat("--", option->name, " is given twice: decide for one"));
  words.given.emplace_back(option->name, value);
  return check_flag(*option, value);
}

}  // namespace

std::optional<std::string_view> Words::one(std::string_view option) const {
  const auto found = std::ranges::find(
      given, option, [](const auto& pair) { return std::string_view(pair.first); });
  return found == given.end() ? std::nullopt : std::optional<std::string_view>(found->second);
}

std::vector<std::string_view> Words::all(std::string_view option) const {
  std::vector<std::string_view> values;
  for (const auto& [name, value] : given)
    if (name == option) values.emplace_back(value);
  return values;
}

Result<Words> parse_words(const Verb& verb, std::span<const std::string_view> words,
                          std::span<const std::string_view> command, bool has_command) {
  const auto known = known_options(verb);
  const auto options = TRY(split(verb, known, words));
  Words taken;
  for (const auto& option : options) TRY(take(taken, known, option));
  taken.command.assign(command.begin(), command.end());
  taken.has_command = has_command;
  return taken;
}

std::size_t command_begins(const Verb& verb, std::span<const std::string_view> words) {
  if (!verb.command_follows_name) return words.size();
  const auto known = known_options(verb);
  bool has_name = false;
  for (std::size_t i = 0; i < words.size() && words[i] != "--"; ++i) {
    if (!words[i].starts_with('-')) {
      if (has_name) return i;
      has_name = true;
    } else if (words[i].starts_with("--") && words[i].find('=') == std::string_view::npos) {
      const auto option = std::ranges::find(known, words[i].substr(2), &Known::name);
      if (option != known.end() && !option->flag) ++i;
    }
  }
  return words.size();
}

std::string verb_help(const Verb& verb) {
  std::string text =
      concat("usage: ", verb.program, " ", verb.name, verb.arguments.empty() ? "" : " ",
             verb.arguments, "\n\n", verb.summary, ".\n");
  if (!verb.options.empty()) text += "\n";
  for (const auto& option : verb.options) {
    const std::string_view value = option.value;
    std::string line = concat(option.letter == 0 ? "  --" : concat("  -", option.letter, ", --"),
                              std::string_view(option.name), value.empty() ? "" : " ", value);
    line.append(line.size() < kHelpColumn ? kHelpColumn - line.size() : 1, ' ');
    text += concat(line, std::string_view(option.help), "\n");
  }
  if (verb.takes_container_options)
    text += "\nand the options of a container: userns-run --help all lists them\n";
  return text;
}

}  // namespace userns::frontend
