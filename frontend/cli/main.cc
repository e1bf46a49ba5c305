// userns-run(1). The words before "--" are a verb and options; the rest is a command of the
// user's, never looked at: so verbs and options can grow.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <span>
#include <string_view>
#include <vector>

#include "common/config.h"
#include "frontend/cli/run_command.h"
#include "frontend/cli/terminal.h"
#include "frontend/container/starter.h"
#include "frontend/monitor/handover.h"
#include "frontend/spec/nearest.h"
#include "frontend/spec/options.h"
#include "frontend/spec/verb.h"
#include "policy/text.h"

namespace {

using namespace userns;
using namespace userns::frontend;

constexpr std::string_view kUsage =
    "usage: userns-run [OPTIONS] [-- COMMAND [ARG...]]\n"
    "       userns-run VERB [NAME...] [OPTIONS] [-- COMMAND [ARG...]]\n"
    "\n"
    "Runs COMMAND (or a shell) in a new container, as a root who is nobody on the host.\n"
    "Nothing of the container is left when it ends but the files it wrote.\n";
constexpr std::string_view kMostUsed =
    "\n"
    "Options (all of them: userns-run --help all):\n"
    "  --rootfs DIR             the root file system (the host's own tree)\n"
    "  --image REF              an image's: docker://HOST/NAME:TAG, or one that was pulled\n"
    "  --bind SRC:DST[:ro]      SRC of the host appears as DST inside\n"
    "  --net NET                none (default) | host | user | auto | "
    "bridge=BR[,address=CIDR,...]\n"
    "  --map-self               only the caller's own id; no delegated ones needed\n"
    "  --overlay                changes to the root file system are thrown away at the end\n"
    "  --memory SIZE            and --pids, --cpus: limits of the whole container\n"
    "  --dry-run                print what would be done and do nothing\n";
constexpr std::string_view kEnd =
    "\n"
    "  --help [all], --version\n"
    "\n"
    "Exit status: the command's; 125 userns-run failed, 126 the command cannot be executed, 127 it "
    "was not\n"
    "found, 128+N it was ended by signal N.  Manual: userns-run(1), with examples.\n";

bool asked_for(std::span<const std::string_view> words, std::string_view word) {
  return std::ranges::find(words, word) != words.end();
}

std::string list_of_verbs() {
  if (verbs().empty()) return {};
  constexpr std::size_t kColumn = 13;
  std::string text = "\nVerbs, each with its own --help:\n";
  for (const auto& verb : verbs()) {
    std::string line = concat("  ", verb.name);
    line.append(line.size() < kColumn ? kColumn - line.size() : 1, ' ');
    text += concat(line, verb.summary, "\n");
  }
  return text;
}

int unknown_word(std::string_view word) {
  std::vector<std::string_view> names;
  for (const auto& verb : verbs()) names.push_back(verb.name);
  return own_failure(
      {.rule = {},
       .code = 0,
       .text = concat("there is no verb ", quoted(word), did_you_mean(word, names, ""),
                      "; to run it as a command in a container: userns-run -- ",
                      word.size() < 64 ? word : "...")});
}

// What a verb opens never takes the place of a standard fd. Used, they fail as before: they are
// open the wrong way.
void occupy_standard_fds() {
  for (const int number : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(number, F_GETFD) < 0)  // lower ones are open: it gets this number
        [[maybe_unused]]
      const int fd = ::open("/dev/null", number == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

// A umask may hide the files of a store from others, not from their owner.
void keep_own_files_usable() { ::umask(::umask(077) & 077U); }

int carry_out(const Verb& verb, std::span<const std::string_view> words,
              std::span<const std::string_view> command, bool has_command) {
  occupy_standard_fds();
  keep_own_files_usable();
  if (asked_for(words, "--help")) return print(verb_help(verb));
  const auto taken = parse_words(verb, words, command, has_command);
  return taken ? verb.run(*taken) : own_failure(taken.error());
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string_view> words(argv + std::min(argc, 1), argv + argc);
  const auto dashes = std::ranges::find(words, "--");
  const bool has_command = dashes != words.end();
  const std::span<const std::string_view> ours(words.begin(), dashes);
  const std::span<const std::string_view> command(has_command ? dashes + 1 : dashes, words.end());
  if (!ours.empty() && ours.front() == kStarterWord) return be_starter(ours.subspan(1), command);
  if (!ours.empty() && !ours.front().starts_with('-')) {
    const auto verb = std::ranges::find(verbs(), ours.front(), &Verb::name);
    return verb == verbs().end() ? unknown_word(ours.front())
                                 : carry_out(*verb, ours.subspan(1), command, has_command);
  }
  if (asked_for(ours, "--help"))
    return print(concat(kUsage, list_of_verbs(),
                        asked_for(ours, "all") ? options_help() : std::string(kMostUsed), kEnd));
  if (asked_for(ours, "--version"))
    return print(concat("userns-run (userns suite) ", std::string_view(kVersion), "\n"));
  return run_command(ours, command, has_command);
}
