// userns-policy(8): checks, explains and safely changes the policy files. Runs with the rights of
// whoever calls it.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include "common/config.h"
#include "common/fd.h"
#include "frontend/policy_tool/program/verb_table.h"
#include "frontend/policy_tool/record.h"
#include "frontend/policy_tool/tool.h"
#include "frontend/spec/nearest.h"
#include "policy/text.h"

namespace {

using namespace userns;
using namespace userns::frontend;

std::string help() {
  std::string text = "usage: userns-policy VERB ...\n\n";
  for (const auto& verb : policy_verbs())
    text += concat("  ", verb.name, " ", verb.arguments, "\n      ", verb.summary, "\n");
  return text +
         "\n  --help, --version; VERB --help\n\n"
         "Exit status 125: userns-policy itself failed, and nothing was changed.  Manual: "
         "userns-policy(8), with "
         "examples.\n";
}

int no_verb() {
  (void)write_all(Fd(::dup(STDERR_FILENO)), help());
  return tool_failure({.rule = {}, .code = 0, .text = "which verb? one of those above"});
}

int no_such_option(std::string_view word) {
  constexpr std::array<std::string_view, 2> kOwn{"help", "version"};
  return tool_failure(
      {.rule = {},
       .code = 0,
       .text = concat("there is no option ", quoted(word),
                      did_you_mean(word.substr(std::min(word.find_first_not_of('-'), word.size())),
                                   kOwn, "--"),
                      "; a verb comes before its options, as in userns-policy check --json "
                      "(userns-policy --help lists them)")});
}

int no_such_verb(std::string_view word) {
  if (word.starts_with('-')) return no_such_option(word);
  std::vector<std::string_view> names;
  for (const auto& verb : policy_verbs()) names.push_back(verb.name);
  return tool_failure({.rule = {},
                       .code = 0,
                       .text = concat("there is no verb ", quoted(word), did_you_mean(word, names),
                                      " (userns-policy --help lists them)")});
}

// "-json" is an option to who writes it, and a file or a user to nobody.
std::optional<Error> misspelt_option(const Verb& verb, const Words& words) {
  const auto word = std::ranges::find_if(
      words.names, [](const std::string& n) { return n.size() > 1 && n.starts_with('-'); });
  if (word == words.names.end() || verb.options.empty() || verb.name == "explain")
    return std::nullopt;  // a bridge may have such a name

  std::vector<std::string_view> names;
  for (const auto& option : verb.options) names.emplace_back(option.name);
  const auto name = std::string_view(*word).substr(1);
  return Error{.rule = {},
               .code = 0,
               .text = concat(verb.name, " has no option ", quoted(*word),
                              did_you_mean(name, names, "--"), " (userns-policy ", verb.name,
                              " --help lists them; a file of that name is ./", *word, ")")};
}

// What is opened later must not be taken for standard output or error, and be written to.
bool open_standard_fds() {
  int fd = ::open("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO) fd = ::open("/dev/null", O_RDWR);
  if (fd > STDERR_FILENO) ::close(fd);
  return fd > STDERR_FILENO;
}

}  // namespace

int main(int argc, char** argv) {
  if (!open_standard_fds()) return kToolFailed;
  const std::vector<std::string_view> words(argv + std::min(argc, 1), argv + argc);
  if (words.empty()) return no_verb();
  const auto first = words.front();
  if (first == "--help") return put(help());
  if (first == "--version")
    return put(concat("userns-policy (userns suite) ", std::string_view(kVersion), "\n"));
  const auto table = policy_verbs();
  const auto verb = std::ranges::find(table, first, &Verb::name);
  if (verb == table.end()) return no_such_verb(first);
  const auto rest = std::span(words).subspan(1);
  if (std::ranges::find(rest, "--help") != rest.end()) return put(verb_help(*verb));
  const auto taken = parse_words(*verb, rest, {}, false);
  if (!taken) return tool_failure(taken.error());
  const auto misspelt = misspelt_option(*verb, *taken);
  set_command(words);
  return misspelt ? tool_failure(*misspelt) : verb->run(*taken);
}
