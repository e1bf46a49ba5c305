// userns-run(1). The words before "--" are a verb and options; the rest is a command of the
// user's, never looked at: so verbs and options can grow.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <string_view>
#include <utility>
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
    "Runs COMMAND, or a shell, as a root who is nobody on the host; or does VERB.\n";
constexpr std::string_view kMostUsed =
    "Options (--help all: every option, and what each verb does):\n"
    "  --rootfs DIR         the root file system (the host's own tree)\n"
    "  --image REF          an image's: docker://HOST/NAME:TAG, or a pulled one\n"
    "  --bind SRC:DST[:ro]  SRC of the host appears as DST inside\n"
    "  --net NET            none (default) | host | user[=NAME] | auto | bridge=BR\n"
    "  --map-self           only the caller's own id; no delegated ones needed\n"
    "  --overlay            changes to the root file system are thrown away\n"
    "  --memory SIZE        and --pids, --cpus: limits of the whole container\n"
    "  --dry-run            print what would be done and do nothing\n"
    "\n"
    "First steps: userns-run create web --template busybox; userns-run start web;\n"
    "userns-run shell web.  Manuals: userns-run(1), userns-run-VERB(1).\n";
constexpr std::string_view kEnd =
    "\n"
    "  --help [all], -h, --version\n"
    "\n"
    "Exit status: the command's; 125 userns-run failed, 126 the command cannot be executed, 127 it "
    "was not\n"
    "found, 128+N it was ended by signal N.  Manual: userns-run(1), with examples.\n";

bool asked_for(std::span<const std::string_view> words, std::string_view word) {
  return std::ranges::find(words, word) != words.end();
}

bool asks_for_help(std::span<const std::string_view> words) {
  return asked_for(words, "--help") || asked_for(words, "-h");
}

std::string list_of_verbs() {
  constexpr std::size_t kColumn = 13;
  std::string text = "\nVerbs, each with its own --help:\n";
  for (const auto& verb : verbs()) {
    std::string line = concat("  ", verb.name);
    line.append(line.size() < kColumn ? kColumn - line.size() : 1, ' ');
    text += concat(line, verb.summary, "\n");
  }
  return text;
}

// Names alone: they fit on a screen.
std::string verbs_by_kind() {
  constexpr std::array<std::pair<VerbKind, std::string_view>, 5> kHeadings{
      {{VerbKind::kMake, "make   "},
       {VerbKind::kRun, "run    "},
       {VerbKind::kInside, "inside "},
       {VerbKind::kLook, "look   "},
       {VerbKind::kImages, "images "}}};
  std::string text = "Verbs (userns-run VERB --help):\n";
  for (const auto& [kind, heading] : kHeadings) {
    text += concat("  ", heading);
    for (const auto& verb : verbs())
      if (verb.kind == kind) text += concat(" ", verb.name);
    text += "\n";
  }
  return text;
}

std::string own_options_help() {
  constexpr std::size_t kColumn = 27;
  std::string text = "\nThrow-away containers:\n";
  for (const auto& option : run_options()) {
    std::string line = concat("  --", option.name, " ", option.value);
    line.append(line.size() < kColumn ? kColumn - line.size() : 1, ' ');
    text += concat(line, option.help, "\n");
  }
  return text;
}

std::string help(bool all) {
  if (all) return concat(kUsage, list_of_verbs(), options_help(), own_options_help(), kEnd);
  return concat(kUsage, verbs_by_kind(), kMostUsed);
}

const Verb* find_verb(std::string_view word) {
  const auto other = std::ranges::find(other_words(), word, &OtherWord::word);
  if (other != other_words().end() && !other->verb.empty()) word = other->verb;
  const auto verb = std::ranges::find(verbs(), word, &Verb::name);
  return verb == verbs().end() ? nullptr : &*verb;
}

int unknown_word(std::string_view word) {
  std::vector<std::string_view> names;
  for (const auto& verb : verbs()) names.push_back(verb.name);
  for (const auto& other : other_words())
    if (other.word == word)
      return own_failure(
          {.rule = {}, .code = 0, .text = concat("there is no verb ", word, ": ", other.hint)});
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
  if (asks_for_help(words)) return print(verb_help(verb));
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
    const auto* const verb = find_verb(ours.front());
    if (verb == nullptr) return unknown_word(ours.front());
    const auto after = std::span(words).subspan(1);
    if (const auto begin = command_begins(*verb, after); begin < after.size())
      return carry_out(*verb, after.first(begin), after.subspan(begin), true);
    return carry_out(*verb, ours.subspan(1), command, has_command);
  }
  if (asks_for_help(ours)) return print(help(asked_for(ours, "all")));
  if (asked_for(ours, "--version"))
    return print(concat("userns-run (userns suite) ", std::string_view(kVersion), "\n"));
  return run_command(ours, command, has_command);
}
