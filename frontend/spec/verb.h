// The verbs of a program: one table, from which come the dispatch, --help and the shell
// completions.
//
//   userns-run VERB [NAME...] [OPTIONS] [-- COMMAND...]
//
// A verb is a row: what it is called, what it takes, and the function that carries it out. What
// stands after "--" is a command of the user's and is never looked at here.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "policy/error.h"

namespace userns::frontend {

// An option of a verb's own. Options of a container (frontend/spec/options.h) need no row here.
struct VerbOption {
  const char* name;   // without the dashes
  const char* value;  // placeholder; empty: a flag
  const char* help;
  bool many = false;  // may be given again
  char letter = 0;    // "-f"; 0: none
};

// A verb's words, taken apart.
struct Words {
  std::vector<std::string> names;  // what is not an option, in order
  std::vector<std::pair<std::string, std::string>>
      given;                           // the verb's own options; a flag's value is "yes"
  std::vector<std::string> container;  // options of a container, in order, each as "--name=value"
  std::vector<std::string> command;    // after "--"
  bool has_command = false;            // whether there was a "--"

  [[nodiscard]] bool has(std::string_view option) const {
    return one(option).value_or("no") != "no";
  }
  // The value of an option that may be given once.
  [[nodiscard]] std::optional<std::string_view> one(std::string_view option) const;
  [[nodiscard]] std::vector<std::string_view> all(std::string_view option) const;
};

// Under which heading --help lists it.
enum class VerbKind : unsigned char { kMake, kLook, kRun, kInside, kImages };

struct Verb {
  std::string_view name;
  std::string_view arguments;  // "NAME... [OPTIONS]", for --help
  std::string_view summary;    // one line, no full stop
  std::span<const VerbOption> options;
  bool takes_container_options = false;
  int (*run)(const Words&);  // returns the exit status of userns-run(1); has reported its errors
  std::string_view program = "userns-run";
  VerbKind kind = VerbKind::kMake;
  // After the NAME may stand a command without "--": its first word that is not an option, and all
  // that follow.
  bool command_follows_name = false;
};

// Another word for a verb, as other tools call it, or, without a verb, what to do instead.
struct OtherWord {
  std::string_view word;
  std::string_view verb;  // empty: there is none
  std::string_view hint;  // of those: a clause that goes on after "there is no verb WORD: "
};
std::span<const OtherWord> other_words();

// In the order of --help.
std::span<const Verb> verbs();

// Where among the words after the verb its command begins, where that stands without "--"; their
// number where none does. What follows a "--" before that is none of it.
std::size_t command_begins(const Verb& verb, std::span<const std::string_view> words);

// Takes the words after the verb apart. Errors name the option or the word, and the nearest one
// that exists.
Result<Words> parse_words(const Verb& verb, std::span<const std::string_view> words,
                          std::span<const std::string_view> command, bool has_command);

// What `userns-run VERB --help` prints.
std::string verb_help(const Verb& verb);

}  // namespace userns::frontend
