// userns-run(1). The words before "--" are a verb and options; the rest is a command of the
// user's, never looked at: so verbs and options can grow.
#include <algorithm>
#include <span>
#include <string_view>
#include <vector>

#include "common/config.h"
#include "frontend/cli/terminal.h"
#include "frontend/cli/verbs/run_command.h"
#include "frontend/spec/options.h"
#include "policy/text.h"

namespace {

using namespace userns;
using namespace userns::frontend;

constexpr std::string_view kUsage =
    "usage: userns-run [OPTIONS] [-- COMMAND [ARG...]]\n"
    "\n"
    "Runs COMMAND (or a shell) in a new container, as a root who is nobody on the host.\n"
    "Nothing of the container is left when it ends but the files it wrote.\n";
constexpr std::string_view kEnd =
    "\n"
    "  --help, --version\n"
    "\n"
    "Exit status: the command's; 125 userns-run failed, 126 the command cannot be executed, 127 it was not\n"
    "found, 128+N it was ended by signal N.  Manual: userns-run(1), with examples.\n";

bool asked_for(std::span<const std::string_view> words, std::string_view word) {
  return std::ranges::find(words, word) != words.end();
}

int unknown_word(std::string_view word) {
  return own_failure(
      {.rule = {},
       .code = 0,
       .text = cat("there is no verb ", quoted(word), "; to run it as a command in a container: userns-run -- ",
                   word.size() < 64 ? word : "...")});
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string_view> words(argv + std::min(argc, 1), argv + argc);
  const auto dashes = std::ranges::find(words, "--");
  const bool has_command = dashes != words.end();
  const std::span<const std::string_view> ours(words.begin(), dashes);
  const std::span<const std::string_view> command(has_command ? dashes + 1 : dashes, words.end());
  if (asked_for(ours, "--help")) return print(cat(kUsage, options_help(), kEnd));
  if (asked_for(ours, "--version")) return print(cat("userns-run (userns suite) ", std::string_view(kVersion), "\n"));
  if (!ours.empty() && !ours.front().starts_with('-')) return unknown_word(ours.front());
  return run_command(ours, command, has_command);
}
