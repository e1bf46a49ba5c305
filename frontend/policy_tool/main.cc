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
#include "frontend/policy_tool/record.h"
#include "frontend/policy_tool/tool.h"
#include "frontend/spec/nearest.h"
#include "policy/text.h"

namespace {

using namespace userns;
using namespace userns::frontend;

constexpr std::string_view kProgram = "userns-policy";
constexpr std::array kCheckOptions{
    VerbOption{"json", "", "one JSON document instead of text"},
    VerbOption{"root", "DIR", "the files below DIR, which holds another system"},
    VerbOption{"errors-only", "", "no warnings: for validators, before bridges are there"},
    VerbOption{"as", "KIND", "what the named files are: subuid, subgid, net.conf, cgroup.conf"},
};
constexpr std::array kGrantOptions{
    VerbOption{"ids", "N", "N subordinate uids and gids in a row, from where nobody has any"},
    VerbOption{"from", "FIRST", "the first of these ids, instead of the first that is free"},
    VerbOption{"net", "BRIDGE:COUNT",
               "so many interfaces on a bridge; ,key=value adds settings of net.conf(5)", true},
    VerbOption{"cgroup", "KEY=VALUE", "limits of cgroup.conf(5); more may follow as words", true},
    VerbOption{"dry-run", "", "show what would change, as a diff"},
    VerbOption{"root", "DIR", "the policy and accounts of another system below DIR"},
};
constexpr std::array kRevokeOptions{
    VerbOption{"ids", "N|all", "lines of exactly N ids, or all"},
    VerbOption{"force", "", "ids that a process still has, too"},
    VerbOption{"net", "BRIDGE", "the lines for a bridge", true},
    VerbOption{"cgroup", "KEY|all", "a limit, or the whole line; more may follow as words", true},
    VerbOption{"dry-run", "", "show what would change, as a diff"},
    VerbOption{"root", "DIR", "the policy and accounts of another system below DIR"},
};
constexpr std::array kImportOptions{
    VerbOption{"usernet", "FILE", "an lxc-usernet(5) file, for net.conf(5)", true},
    VerbOption{"config", "FILE", "an lxc.container.conf(5) file, for userns-run(1)", true},
    VerbOption{"output", "DIR",
               "write files there instead of standard output; nothing is overwritten"},
    VerbOption{"merge", "", "add the lines of --usernet that net.conf lacks, under its lock"},
    VerbOption{"dry-run", "", "with --merge: show what would change, as a diff"},
};

constexpr std::array kApplyOptions{
    VerbOption{"from", "FILE", "what users and groups are to have; - is standard input"},
    VerbOption{"check", "", "write nothing: 0 nothing to do, 3 something would change"},
    VerbOption{"diff", "", "show what changes, as a diff"},
    VerbOption{"force", "", "take away ids that a process still has, too"},
    VerbOption{"root", "DIR", "the policy and accounts of another system below DIR"},
};
constexpr std::array kExplainOptions{
    VerbOption{"json", "", "one JSON document instead of text"},
    VerbOption{"root", "DIR", "the policy and accounts of another system below DIR"},
};
constexpr std::array kReportOptions{
    VerbOption{"json", "", "one JSON document instead of text"},
};
constexpr std::array kExportOptions{
    VerbOption{"root", "DIR", "the policy of another system below DIR"},
};

constexpr std::array kGuardOptions{
    VerbOption{"print", "", "show the packet filter, for nft -f (the default)"},
    VerbOption{"apply", "", "load it in place of the one of before, at once"},
    VerbOption{"check", "", "say whether it is loaded: 0 from these lines, 1 from others, 2 not"},
};
constexpr std::array kLogOptions{
    VerbOption{"user", "USER", "of this login name or uid alone"},
    VerbOption{"since", "TIME", "30m, 2h or 7d ago, 2026-11-30, \"2026-11-30 14:00\""},
    VerbOption{"refused", "", "without what was granted"},
    VerbOption{"json", "", "one JSON document instead of text"},
    VerbOption{"file", "FILE", "a log of auditd's that was kept elsewhere"},
};

constexpr std::array<Verb, 11> kVerbs{
    Verb{"check", "[--json] [--errors-only] [--root DIR | [--as KIND] FILE...]",
         "Says what is wrong with the policy files: 0 nothing, 1 warnings, 2 errors", kCheckOptions,
         false, check_verb, kProgram},
    Verb{"explain", "USER [map [INSIDE:OUTSIDE:COUNT...] | net [BRIDGE] | cgroup] [--json]",
         "Says what a user may do, and because of which line: 0 allowed, 1 not", kExplainOptions,
         false, explain_verb, kProgram},
    Verb{"report", "[--json]",
         "Says who has what, through which line, and what of it is used: 0; 1 if a file is refused",
         kReportOptions, false, report_verb, kProgram},
    Verb{"edit",
         "subuid | subgid | net.conf | cgroup.conf",
         "Opens a copy in an editor, checks it, and puts it in place whole",
         {},
         false,
         edit_verb,
         kProgram},
    Verb{"grant", "USER --ids N | --net BRIDGE:COUNT[,key=value...] | --cgroup KEY=VALUE...",
         "Gives a user something, if he does not have it yet", kGrantOptions, false, grant_verb,
         kProgram},
    Verb{"revoke", "USER --ids N|all | --net BRIDGE | --cgroup KEY|all...", "Takes it away again",
         kRevokeOptions, false, revoke_verb, kProgram},
    Verb{"apply", "--from FILE [--check] [--diff] [--force] [--root DIR]",
         "Makes it so that users and groups have what FILE says, and changes nothing else",
         kApplyOptions, false, apply_verb, kProgram},
    Verb{"export", "[--root DIR]", "Writes what users and groups have, for apply", kExportOptions,
         false, export_verb, kProgram},
    Verb{"log", "[--user USER] [--since TIME] [--refused] [--json] [--file FILE]",
         "Says what the helpers granted and refused, to whom, by which rule", kLogOptions, false,
         log_verb, kProgram},
    Verb{"guard", "[--print | --apply | --check] [FILE]",
         "The packet filter that holds ports to what net.conf gives them", kGuardOptions, false,
         guard_verb, kProgram},
    Verb{"import-lxc", "[--usernet FILE [--merge [--dry-run]]] [--config FILE...] [--output DIR]",
         "Says in our words what files of LXC say, and what has no counterpart", kImportOptions,
         false, import_lxc_verb, kProgram},
};

std::string help() {
  std::string text = "usage: userns-policy VERB ...\n\n";
  for (const auto& verb : kVerbs)
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
  for (const auto& verb : kVerbs) names.push_back(verb.name);
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
  const auto* const verb = std::ranges::find(kVerbs, first, &Verb::name);
  if (verb == kVerbs.end()) return no_such_verb(first);
  const auto rest = std::span(words).subspan(1);
  if (std::ranges::find(rest, "--help") != rest.end()) return put(verb_help(*verb));
  const auto taken = parse_words(*verb, rest, {}, false);
  if (!taken) return tool_failure(taken.error());
  const auto misspelt = misspelt_option(*verb, *taken);
  set_command(words);
  return misspelt ? tool_failure(*misspelt) : verb->run(*taken);
}
