// The options of a container: one table, read from the command line here and, for a named
// container, from its config file (the keys are the options' names). Both end in a Spec.
//
// Manual: userns-run(1).
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "frontend/spec/spec.h"
#include "policy/error.h"

namespace userns::frontend {

// From the words before "--" (options only: no program name, no verb) to a Spec with an empty
// command. Errors name the option and, where it is unknown, the nearest one. Order matters only
// for --bind and --tmpfs, which are mounted as given. An option that takes one value is given once.
Result<Spec> parse_options(std::span<const std::string_view> words);

// The options in groups, a line each, for --help.
std::string options_help();

// The table itself, for verbs that take these options and for shell completions.
struct ContainerOption {
  std::string_view name;   // without the dashes
  std::string_view value;  // placeholder; empty: a flag, which takes an optional =yes or =no
  std::string_view help;
  bool many;  // may be given again
};
std::span<const ContainerOption> container_options();

// Whether `value` is one of the option `name`'s, on its own: the error says why not. The option
// exists.
Result<void> check_option(std::string_view name, std::string_view value);

}  // namespace userns::frontend
