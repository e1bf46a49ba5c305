#include "frontend/policy_tool/program/verb_table.h"

#include <array>
#include <string_view>

#include "frontend/policy_tool/tool.h"

namespace userns::frontend {
namespace {

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
    VerbOption{"root", "DIR", "with --merge: the policy and accounts of another system below DIR"},
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
constexpr std::array kEditOptions{
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
constexpr std::array kReattachOptions{
    VerbOption{"dry-run", "", "say what would be done"},
};
constexpr std::array kLogOptions{
    VerbOption{"user", "USER", "of this login name or uid alone"},
    VerbOption{"since", "TIME", "30m, 2h or 7d ago, 2026-11-30, \"2026-11-30 14:00\""},
    VerbOption{"refused", "", "without what was granted"},
    VerbOption{"json", "", "one JSON document instead of text"},
    VerbOption{"file", "FILE", "a log of auditd's that was kept elsewhere"},
};

constexpr std::array<Verb, 12> kVerbs{
    Verb{"check", "[--json] [--errors-only] [--root DIR | [--as KIND] FILE...]",
         "Says what is wrong with the policy files: 0 nothing, 1 warnings, 2 errors", kCheckOptions,
         false, check_verb, kProgram},
    Verb{"explain", "USER [map [INSIDE:OUTSIDE:COUNT...] | net [BRIDGE] | cgroup] [--json]",
         "Says what a user may do, and because of which line: 0 allowed, 1 not", kExplainOptions,
         false, explain_verb, kProgram},
    Verb{"report", "[--json]",
         "Says who has what, through which line, and what of it is used: 0; 1 if a file is refused",
         kReportOptions, false, report_verb, kProgram},
    Verb{"edit", "subuid | subgid | net.conf | cgroup.conf | net.conf.d/NAME.conf",
         "Opens a copy in an editor, checks it, and puts it in place whole", kEditOptions, false,
         edit_verb, kProgram},
    Verb{"grant", "USER --ids N | --net BRIDGE:COUNT[,key=value...] | --cgroup KEY=VALUE...",
         "Gives a user something that they do not have yet", kGrantOptions, false, grant_verb,
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
    Verb{"reattach", "[--dry-run] [BRIDGE]",
         "Puts ports whose bridge was made anew back on it, as net.conf says: 0; 1 if one stays",
         kReattachOptions, false, reattach_verb, kProgram},
    Verb{"import-lxc",
         "[--usernet FILE [--merge [--dry-run] [--root DIR]]] [--config FILE...] [--output DIR]",
         "Says in our words what files of LXC say, and what has no counterpart", kImportOptions,
         false, import_lxc_verb, kProgram},
};

}  // namespace

std::span<const Verb> policy_verbs() { return kVerbs; }

}  // namespace userns::frontend
