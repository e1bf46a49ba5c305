#include "frontend/spec/given.h"

#include <algorithm>
#include <boost/program_options/cmdline.hpp>
#include <boost/program_options/errors.hpp>
#include <boost/program_options/options_description.hpp>
#include <boost/program_options/parsers.hpp>
#include <boost/program_options/value_semantic.hpp>

#include "frontend/spec/nearest.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

namespace po = boost::program_options;

// A flag is written out, so that the word after it is never taken for its value.
std::string written_out(std::span<const KnownOption> known, std::string_view word) {
  if (word.size() == 2 && word.starts_with('-'))
    for (const auto& option : known)
      if (option.letter == word[1]) return written_out(known, concat("--", option.name));
  if (!word.starts_with("--")) return std::string(word);
  const auto option = std::ranges::find(known, word.substr(2), &KnownOption::name);
  return option != known.end() && option->flag ? concat(word, "=yes") : std::string(word);
}

Error no_such_option(std::span<const KnownOption> known, std::string name, const Speech& speech) {
  name.erase(0, name.find_first_not_of('-'));
  name.resize(std::min(name.find('='), name.size()));
  std::vector<std::string_view> names;
  for (const auto& option : known) names.push_back(option.name);
  return {.rule = {},
          .code = 0,
          .text = concat(speech.has, " no option ", quoted(concat("--", name)),
                         did_you_mean(name, names, "--"), " (", speech.help, " lists them)")};
}

Result<std::vector<po::option>> parse(std::span<const KnownOption> known,
                                      std::span<const std::string_view> words,
                                      const Speech& speech) {
  using namespace po::command_line_style;
  po::options_description all;
  auto adder = all.add_options();
  for (const auto& option : known)
    adder(std::string(option.name).c_str(), po::value<std::string>());
  std::vector<std::string> full;
  for (const auto word : words) full.push_back(written_out(known, word));
  try {
    return po::command_line_parser(full)
        .options(all)
        .style(allow_long | long_allow_adjacent | long_allow_next)
        .run()
        .options;
  } catch (const po::unknown_option& error) {
    return std::unexpected(no_such_option(known, error.get_option_name(), speech));
  } catch (const po::invalid_command_line_syntax& error) {
    return fail({}, concat(error.get_option_name(), " needs a value: see ", speech.help));
  } catch (const po::error& error) {
    return fail({}, concat("the options make no sense: ", std::string_view(error.what())));
  }
}

}  // namespace

Result<std::vector<Given>> split_options(std::span<const KnownOption> known,
                                         std::span<const std::string_view> words,
                                         const Speech& speech) {
  const auto options = TRY(parse(known, words, speech));
  std::vector<Given> all;
  for (const auto& option : options) {
    Given given{.name = option.string_key,
                .value = option.value.empty() ? std::string{} : option.value.front()};
    if (!given.name.empty() && option.original_tokens.size() > 1 && given.value.starts_with("--"))
      return fail({}, concat("--", given.name, " needs a value, and ", quoted(given.value),
                             " looks like an option; if it is the value: --", given.name, "=",
                             quoted(given.value)));
    all.push_back(std::move(given));
  }
  return all;
}

std::string wrong_value(std::string_view name, std::string_view value, std::string_view reason) {
  const auto shown = quoted(value);
  return reason.contains(shown) ? concat(name, ": ", reason)
                                : concat(name, " ", shown, ": ", reason);
}

}  // namespace userns::frontend
