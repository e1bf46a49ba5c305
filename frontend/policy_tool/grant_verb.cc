// userns-policy grant and revoke: what changes is computed by pure functions, shown or written
// under the locks.
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <iterator>

#include "common/caller.h"
#include "common/fd.h"
#include "frontend/policy_tool/change.h"
#include "frontend/policy_tool/change_file.h"
#include "frontend/policy_tool/free_range.h"
#include "frontend/policy_tool/host_facts.h"
#include "frontend/policy_tool/lock.h"
#include "frontend/policy_tool/replace.h"
#include "frontend/policy_tool/subid_library.h"
#include "frontend/policy_tool/tool.h"
#include "policy/idmap.h"
#include "policy/subid.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

// Who is given something.
struct Owner {
  std::vector<std::string> forms;  // as lines name him; the first is how a new one does
  bool is_user = true;             // not a group or everyone
  bool is_gone = false;            // no such user or group, or no more
};

// Who is no more may still have lines, which can be taken away.
Result<Owner> find_gone(const std::string& word, std::string_view what, std::string_view name,
                        bool grants) {
  if (!grants) return Owner{{word}, !word.starts_with('@'), true};
  return fail({}, concat("there is no ", what, " ", quoted(name),
                         ": nothing is granted to a name that somebody may get later"));
}

Result<Owner> find_owner(const std::string& word, bool for_ids, bool grants) {
  if (word == "*" || word.starts_with('@')) {
    if (for_ids)
      return fail({}, concat(quoted(word), ": ids are given to users, one by one: name a user"));
    if (word.find_first_of(" \t#=\n") != std::string::npos || word == "@")
      return fail({}, concat(quoted(word), " is no group that a line can name"));
    const auto group =
        word == "*" ? std::optional<Gid>(Gid{0}) : group_id(word.substr(1)).value_or(std::nullopt);
    if (!group) return find_gone(word, "group", word.substr(1), grants);
    return Owner{{word}, false};
  }
  const auto number = parse_decimal(word);
  const auto* const entry = number && *number <= kLargestId
                                ? ::getpwuid(static_cast<uid_t>(*number))
                                : ::getpwnam(word.c_str());
  if (entry == nullptr) return find_gone(word, "user", word, grants);
  const Uid uid{entry->pw_uid};
  const auto name = login_name(uid);
  if (!name) return std::unexpected(name.error());
  // A name that lines would take for something else is left out.
  Owner owner{{concat(uid.value())}, true};
  if (!name->empty() && name->find_first_of(" \t#=\n") == std::string::npos)
    owner.forms.insert(owner.forms.begin(), *name);
  return owner;
}

// --- ids ------------------------------------------------------------------------------------

struct SubidFile {
  IdKind kind;
  Snapshot before;
};
struct Change {
  IdKind kind;
  IdRange range;
};

constexpr std::array kKinds{IdKind::kUid, IdKind::kGid};
std::string subid_path(IdKind kind) {
  return installed_path(kind == IdKind::kUid ? PolicyFile::kSubuid : PolicyFile::kSubgid);
}
std::string_view file_word(IdKind kind) { return kind == IdKind::kUid ? "subuid" : "subgid"; }

Result<std::vector<SubidFile>> read_subid_files() {
  std::vector<SubidFile> files;
  for (const auto kind : kKinds) {
    auto before = snapshot(subid_path(kind));
    if (!before) return std::unexpected(before.error());
    files.push_back({kind, std::move(*before)});
  }
  return files;
}

OwnedRanges owned_in(const SubidFile& file, const Owner& owner) {
  OwnedRanges owned;
  for (const auto& entry : subid_entries({}, file.before.text, file.kind, nullptr))
    if (contains(owner.forms, entry.parsed.owner))
      (void)owned.add(entry.parsed.range, entry.line.number);
  return owned;
}

std::unexpected<Error> no_room(std::uint64_t count, std::uint64_t first, std::uint64_t end) {
  const std::string bounds = "SUB_UID_MIN, SUB_UID_MAX and those of gids in /etc/login.defs";
  if (count > end - std::min(first, end))
    return fail({}, concat(count, " ids do not fit between ", first, " and ", end - 1,
                           ": grant fewer, or change ", bounds));
  return fail({}, concat("no ", count, " ids in a row are free from ", first, " to ", end - 1,
                         ": accounts and other lines of /etc/subuid and /etc/subgid are between; "
                         "grant fewer, take some "
                         "away from others, or change ",
                         bounds));
}

// What is missing: the same numbers for uids and gids, as useradd does, where they are free in
// both.
Result<std::vector<Change>> plan(std::span<const SubidFile> files, const HostFacts& facts,
                                 const Owner& owner, std::uint64_t count) {
  std::vector<IdKind> missing;
  std::optional<std::uint64_t> start;
  for (const auto& file : files) {
    const auto owned = owned_in(file, owner);
    const auto enough =
        std::ranges::find_if(owned.ranges(), [&](IdRange r) { return r.count() >= count; });
    if (enough == owned.ranges().end())
      missing.push_back(file.kind);
    else if (!start)
      start = enough->first();
  }
  std::vector<IdRange> taken;
  auto first = std::max(facts.uids.delegable.first(), facts.gids.delegable.first());
  const auto end = std::min(facts.uids.delegable.end(), facts.gids.delegable.end());
  for (const auto& file : files)
    if (contains(missing, file.kind))
      std::ranges::move(taken_ids(file.kind == IdKind::kUid ? facts.uids : facts.gids,
                                  file.before.text, file.kind),
                        std::back_inserter(taken));
  const auto where = first < end ? IdRange::make(first, end - first) : std::nullopt;
  auto range = start ? IdRange::make(*start, count) : std::nullopt;
  if (range && std::ranges::any_of(taken, [&](IdRange t) { return t.overlaps(*range); }))
    range.reset();
  if (!range && where) range = find_free(count, *where, std::move(taken));
  if (!range && !missing.empty()) return no_room(count, first, end);
  std::vector<Change> changes;
  for (const auto kind : missing) changes.push_back({kind, *range});
  return changes;
}

std::string line_of(const Owner& owner, IdRange range) {
  return concat(owner.forms.front(), ":", range.first(), ":", range.count());
}

std::string appended(std::string_view text, std::string_view line) {
  return concat(text, text.empty() || text.ends_with('\n') ? "" : "\n", line, "\n");
}

// Without each line of the owner's that `is_meant`.
std::string without(const SubidFile& file, const Owner& owner,
                    const std::function<bool(IdRange)>& is_meant) {
  std::string out;
  auto entries = subid_entries({}, file.before.text, file.kind, nullptr);
  std::erase_if(entries, [&](const SubidEntry& e) {
    return !contains(owner.forms, e.parsed.owner) || !is_meant(e.parsed.range);
  });
  for (const auto& line : lines_of(file.before.text))
    if (!contains(entries, line.number, [](const SubidEntry& e) { return e.line.number; }))
      out += concat(line.text, "\n");
  if (entries.empty()) return file.before.text;
  return out;
}

Result<void> check_source() {
  const auto nsswitch = text_of("/etc/nsswitch.conf");
  if (const auto source = nss_subid_source(nsswitch); source != "files")
    return fail(
        {},
        concat("subordinate ids come from ", quoted(source),
               " here (subid: in nsswitch.conf), and the files are not read: grant them there"));
  return {};
}

Result<std::string> write_ids(const Owner& owner, std::uint64_t count, const HostFacts& facts) {
  std::string said;
  const auto files = read_subid_files();
  const auto wishes = files ? plan(*files, facts, owner, count) : std::unexpected(files.error());
  if (!wishes) return std::unexpected(wishes.error());
  const auto say = [&](const Change& c) {
    said += concat(owner.forms.front(), ": ", file_word(c.kind), " ", to_text(c.range), "\n");
  };
  const std::vector<std::string> paths{subid_path(IdKind::kUid), subid_path(IdKind::kGid)};
  // What it chose is only what we meant, or is taken back. It waits for locks without a word.
  for (const auto& wish : *wishes) {
    if (!PolicyLock::is_free(paths)) break;
    const auto& file = *std::ranges::find(*files, wish.kind, &SubidFile::kind);
    if (!is_plain_for_library(file.before.text, file.before.path) ||
        !grant_by_library(wish.kind, owner.forms.front(), wish.range))
      break;
    say(wish);
  }
  const auto lock = PolicyLock::take(paths, Hold::kAccounts);
  if (!lock) return std::unexpected(lock.error());
  const auto now = read_subid_files();
  const auto rest = now ? plan(*now, facts, owner, count) : std::unexpected(now.error());
  if (!rest) return std::unexpected(rest.error());
  for (const auto& change : *rest) {
    const auto& file = *std::ranges::find(*now, change.kind, &SubidFile::kind);
    if (auto done = replace(file.before, appended(file.before.text, line_of(owner, change.range)));
        !done)
      return fail({},
                  concat(said.empty() ? ""
                                      : concat("half is done (", said.substr(0, said.size() - 1),
                                               "); say it again: "),
                         done.error().text),
                  done.error().code);
    say(change);
  }
  return said;
}

Result<std::string> show_ids(const Owner& owner, std::uint64_t count, const HostFacts& facts) {
  const auto files = read_subid_files();
  const auto wishes = files ? plan(*files, facts, owner, count) : std::unexpected(files.error());
  if (!wishes) return std::unexpected(wishes.error());
  std::string text;
  for (const auto& wish : *wishes) {
    const auto& before = std::ranges::find(*files, wish.kind, &SubidFile::kind)->before;
    text += diff(before.path, before.text, appended(before.text, line_of(owner, wish.range)));
  }
  return text;
}

Result<std::string> grant_ids(const Owner& owner, std::string_view number, bool dry) {
  const auto count = parse_decimal(number);
  if (!count || *count == 0 || *count > kLargestId)
    return fail({}, concat("--ids ", quoted(number), " ",
                           count ? "is no number of ids" : why_not_decimal(number),
                           ": write how many, from 1 to 4294967294, as in --ids 65536"));
  if (auto source = check_source(); !source) return std::unexpected(source.error());
  const auto facts = host_facts({});
  if (const auto bad = std::ranges::find(facts.login_defs, Severity::kError, &Finding::severity);
      bad != facts.login_defs.end())
    return fail({}, concat(bad->file, ":", bad->line, ": ", bad->what, ": ", bad->fix,
                           "; ids are not granted from a range that may not be the one meant"));
  return dry ? show_ids(owner, *count, facts) : write_ids(owner, *count, facts);
}

Result<std::string> revoke_ids(const Owner& owner, std::string_view number, bool dry) {
  const auto count = parse_decimal(number);
  if (number != "all" && (!count || *count == 0))
    return fail(
        {}, concat("--ids ", quoted(number), " is neither all nor the number of ids of a line"));
  if (auto source = check_source(); !source) return std::unexpected(source.error());
  const std::vector<std::string> paths{subid_path(IdKind::kUid), subid_path(IdKind::kGid)};
  const auto lock =
      dry ? Result<PolicyLock>(PolicyLock::none()) : PolicyLock::take(paths, Hold::kAccounts);
  if (!lock) return std::unexpected(lock.error());
  const auto files = read_subid_files();
  if (!files) return std::unexpected(files.error());
  std::string said;
  for (const auto& file : *files) {
    const auto after =
        without(file, owner, [&](IdRange r) { return !count || r.count() == *count; });
    const auto shown = diff(file.before.path, file.before.text, after);
    if (dry) said += shown;
    if (dry || shown.empty()) continue;
    if (auto done = replace(file.before, after); !done) return std::unexpected(done.error());
    said += concat(owner.forms.front(), ": ", file_word(file.kind),
                   " taken away: files that these ids own stay theirs\n");
  }
  return said;
}

// --- the verbs ------------------------------------------------------------------------------

struct Wish {
  std::vector<std::string_view> ids, nets;
  std::vector<std::string> cgroups;
  bool dry = false;
};

// What stands without the option that it is of.
std::string likely_meant(std::string_view word) {
  const std::string_view option = word.contains('=')                     ? "--cgroup "
                                  : word.contains(':')                   ? "--net "
                                  : parse_decimal(word) || word == "all" ? "--ids "
                                                                         : "";
  return option.empty() ? "" : concat("; did you mean ", option, word, "?");
}

Result<Wish> wish_of(const Words& words, std::string_view verb) {
  Wish wish{words.all("ids"), words.all("net"), {}, words.has("dry-run")};
  for (const auto word : words.all("cgroup")) wish.cgroups.emplace_back(word);
  if (words.names.empty())
    return fail({}, concat(verb, " needs a user: userns-policy ", verb, " --help"));
  for (std::size_t i = 1; i < words.names.size(); ++i) {
    if (wish.cgroups.empty())
      return fail({}, concat(quoted(words.names[i]), " is a word too many",
                             likely_meant(words.names[i]), " (userns-policy ", verb, " --help)"));
    wish.cgroups.push_back(words.names[i]);
  }
  if (wish.ids.empty() && wish.nets.empty() && wish.cgroups.empty())
    return fail({}, concat("what to ", verb, "? --ids, --net or --cgroup (userns-policy ", verb,
                           " --help)"));
  if (!wish.dry && ::geteuid() != 0)
    return fail({}, concat(verb, " writes policy files, which only root may: sudo userns-policy ",
                           verb, " ..., or --dry-run to see what it would do"));
  return wish;
}

// What check has to say about lines that were not there before.
std::string findings_of(PolicyFile kind, std::string_view before, const std::string& after) {
  std::string text;
  const auto old = lines_of(before);
  if (before == after) return text;
  for (const auto& finding : check({kind, installed_path(kind), after}, host_facts({}), nullptr))
    if (finding.line > 0 && !contains(old, finding.source, &TextLine::text))
      text += to_text(finding, wants_colour(STDERR_FILENO));
  return text;
}

// `findings`: where what check says goes; nullptr where nobody asks.
Result<std::string> change(PolicyFile kind, const Edit& edit, bool dry, std::string* findings) {
  std::string found;
  const auto noted = [&](std::string_view before) {
    auto after = edit(before);
    if (after && findings != nullptr) found = findings_of(kind, before, *after);
    return after;
  };
  auto shown = change_file(kind, noted, dry);
  if (shown && findings != nullptr) *findings += found;
  return shown;
}

// All bridges in one step.
Result<std::string> change_nets(std::string_view before, Who who, const Wish& wish, bool grants) {
  Result<std::string> text(before);
  for (const auto net : wish.nets)
    if (text) text = grants ? grant_net(*text, who, net) : revoke_net(*text, who, net);
  return text;
}

std::string nothing_said(const Owner& owner, bool grants, bool dry) {
  return concat(owner.forms.front(),
                grants ? " has that already: nothing " : " does not have that: nothing ",
                dry ? "would be changed\n" : "was changed\n");
}

int carry_out(const Words& words, bool grants) {
  const auto wish = wish_of(words, grants ? "grant" : "revoke");
  if (!wish) return tool_failure(wish.error());
  const auto owner = find_owner(words.names[0], !wish->ids.empty(), grants);
  if (!owner) return tool_failure(owner.error());
  const Who who = owner->forms;
  std::string said;
  Result<std::string> done;
  const auto take = [&](Result<std::string> one) {
    done = std::move(one);
    if (done) said += *done;
    return done.has_value();
  };
  for (const auto number : wish->ids)
    if (!take(grants ? grant_ids(*owner, number, wish->dry)
                     : revoke_ids(*owner, number, wish->dry)))
      break;
  std::string findings;
  std::string* const noted = grants ? &findings : nullptr;
  if (done && !wish->nets.empty())
    take(change(
        PolicyFile::kNet,
        [&](std::string_view before) { return change_nets(before, who, *wish, grants); }, wish->dry,
        noted));
  if (done && !wish->cgroups.empty())
    take(change(
        PolicyFile::kCgroup,
        [&](std::string_view before) {
          return grants ? grant_cgroup(before, who, wish->cgroups)
                        : revoke_cgroup(before, who, wish->cgroups);
        },
        wish->dry, noted));
  if (said.empty() && done && owner->is_gone)
    done = fail(
        {},
        concat("there is no ", owner->is_user ? "user " : "group ", quoted(words.names[0]),
               ", and no such line names one: userns-policy check shows whose lines there are"));
  if (said.empty() && done) said = nothing_said(*owner, grants, wish->dry);
  const int written = put(said);
  (void)write_all(Fd(::dup(STDERR_FILENO)), findings);
  return done ? written : tool_failure(done.error());
}

}  // namespace

int grant_verb(const Words& words) { return carry_out(words, true); }
int revoke_verb(const Words& words) { return carry_out(words, false); }

}  // namespace userns::frontend
