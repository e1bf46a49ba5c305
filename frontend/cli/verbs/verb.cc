#include "frontend/cli/verbs/verb.h"

#include <algorithm>
#include <boost/program_options/cmdline.hpp>
#include <boost/program_options/errors.hpp>
#include <boost/program_options/options_description.hpp>
#include <boost/program_options/parsers.hpp>
#include <boost/program_options/value_semantic.hpp>

#include "frontend/spec/nearest.h"
#include "frontend/spec/options.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

namespace po = boost::program_options;

// What --help of every verb lists last.
constexpr std::size_t kHelpColumn = 27;

struct Known {
  std::string_view name;
  bool flag = false;
  bool many = false;
  bool own = false;  // the verb's, not the container's
  char letter = 0;
};

std::vector<Known> known_options(const Verb& verb) {
  std::vector<Known> known;
  for (const auto& option : verb.options)
    known.push_back({.name = option.name,
                     .flag = option.value[0] == '\0',
                     .many = option.many,
                     .own = true,
                     .letter = option.letter});
  if (!verb.takes_container_options) return known;
  for (const auto& option : container_options())
    if (std::ranges::find(known, option.name, &Known::name) == known.end())
      known.push_back({.name = option.name, .flag = option.value.empty(), .many = true});
  return known;
}

const Known* find_known(std::span<const Known> known, std::string_view name) {
  const auto found = std::ranges::find(known, name, &Known::name);
  return found == known.end() ? nullptr : &*found;
}

// A flag is written out, so that the word after it is never taken for its value.
std::string written_out(std::span<const Known> known, std::string_view word) {
  if (word.size() == 2 && word.starts_with('-'))
    for (const auto& option : known)
      if (option.letter == word[1]) return written_out(known, cat("--", option.name));
  const auto* const option = word.starts_with("--") ? find_known(known, word.substr(2)) : nullptr;
  return option != nullptr && option->flag ? cat(word, "=yes") : std::string(word);
}

Error no_such_option(const Verb& verb, std::span<const Known> known, std::string name) {
  name.erase(0, name.find_first_not_of('-'));
  name.resize(std::min(name.find('='), name.size()));
  std::vector<std::string_view> names;
  for (const auto& option : known) names.push_back(option.name);
  return {.rule = {},
          .code = 0,
          .text = cat(verb.name, " has no option ", quoted(cat("--", name)), did_you_mean(name, names, "--"), " (",
                      verb.program, " ", verb.name, " --help lists them)")};
}

Result<std::vector<po::option>> split(const Verb& verb, std::span<const Known> known,
                                      std::span<const std::string_view> words) {
  using namespace po::command_line_style;
  po::options_description all;
  auto adder = all.add_options();
  for (const auto& option : known) adder(std::string(option.name).c_str(), po::value<std::string>());
  std::vector<std::string> full;
  for (const auto word : words) full.push_back(written_out(known, word));
  try {
    return po::command_line_parser(full)
        .options(all)
        .style(allow_long | long_allow_adjacent | long_allow_next)
        .run()
        .options;
  } catch (const po::unknown_option& error) {
    return std::unexpected(no_such_option(verb, known, error.get_option_name()));
  } catch (const po::invalid_command_line_syntax& error) {
    return fail({}, cat(error.get_option_name(), " needs a value: see ", verb.program, " ", verb.name, " --help"));
  } catch (const po::error& error) {
    return fail({}, cat("the options make no sense: ", std::string_view(error.what())));
  }
}

Result<void> check_flag(const Known& option, std::string_view value) {
  if (!option.flag || value == "yes" || value == "no") return {};
  return fail({}, cat("--", option.name, " is yes or no, not ", quoted(value)));
}

Result<void> take(Words& words, std::span<const Known> known, const po::option& given) {
  const std::string value = given.value.empty() ? std::string{} : given.value.front();
  const auto* const option = find_known(known, given.string_key);
  if (option == nullptr) {
    words.names.push_back(value);
    return {};
  }
  if (given.original_tokens.size() > 1 && value.starts_with("--"))
    return fail({}, cat("--", option->name, " needs a value, and ", quoted(value),
                        " looks like an option; if it is the value: --", option->name, "=", quoted(value)));
  if (!option->own) {
    words.container.push_back(cat("--", option->name, "=", value));
    return {};
  }
  if (!option->many && words.one(option->name))
    return fail({}, cat("--", option->name, " is given twice: decide for one"));
  words.given.emplace_back(option->name, value);
  return check_flag(*option, value);
}

}  // namespace

std::optional<std::string_view> Words::one(std::string_view option) const {
  const auto found = std::ranges::find(given, option, [](const auto& pair) { return std::string_view(pair.first); });
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
  const auto options = split(verb, known, words);
  if (!options) return std::unexpected(options.error());
  Words taken;
  for (const auto& option : *options)
    if (auto done = take(taken, known, option); !done) return std::unexpected(done.error());
  taken.command.assign(command.begin(), command.end());
  taken.has_command = has_command;
  return taken;
}

std::string verb_help(const Verb& verb) {
  std::string text = cat("usage: ", verb.program, " ", verb.name, verb.arguments.empty() ? "" : " ", verb.arguments,
                         "\n\n", verb.summary, ".\n");
  if (!verb.options.empty()) text += "\n";
  for (const auto& option : verb.options) {
    const std::string_view value = option.value;
    std::string line = cat(option.letter == 0 ? "  --" : cat("  -", option.letter, ", --"),
                           std::string_view(option.name), value.empty() ? "" : " ", value);
    line.append(line.size() < kHelpColumn ? kHelpColumn - line.size() : 1, ' ');
    text += cat(line, std::string_view(option.help), "\n");
  }
  if (verb.takes_container_options) text += "\nand the options of a container: userns-run --help all lists them\n";
  return text;
}

}  // namespace userns::frontend
