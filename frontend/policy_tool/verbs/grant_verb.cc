// userns-policy grant and revoke. All texts are worked out and judged first, by pure functions
// under the locks of all files that they are for; then each is written, or none.
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/fd.h"
#include "frontend/policy_tool/check/change.h"
#include "frontend/policy_tool/check/living_ids.h"
#include "frontend/policy_tool/check/subid_change.h"
#include "frontend/policy_tool/check/vetted_ids.h"
#include "frontend/policy_tool/host_facts.h"
#include "frontend/policy_tool/lock.h"
#include "frontend/policy_tool/owner.h"
#include "frontend/policy_tool/proposal.h"
#include "frontend/policy_tool/replace.h"
#include "frontend/policy_tool/tool.h"
#include "frontend/spec/user_database.h"
#include "policy/idmap.h"
#include "policy/subid.h"
#include "policy/text.h"
#include "policy/try.h"
#include "policy/who.h"

namespace userns::frontend {
namespace {

// --- what changes ---------------------------------------------------------------------------

// What the command line asks for.
struct Request {
  bool grants = true;
  bool about_ids = false;
  std::optional<std::uint64_t> ids;   // how many; revoke: nothing means all
  std::optional<std::uint64_t> from;  // the first of them
  std::vector<std::string_view> nets;
  std::vector<std::string> cgroups;
  bool dry = false, force = false;

  [[nodiscard]] std::vector<PolicyFile> files() const {
    std::vector<PolicyFile> kinds;
    if (about_ids) kinds = {PolicyFile::kSubuid, PolicyFile::kSubgid};
    if (!nets.empty()) kinds.push_back(PolicyFile::kNet);
    if (!cgroups.empty()) kinds.push_back(PolicyFile::kCgroup);
    return kinds;
  }
};

// What is said when all is done.
struct Report {
  std::string out;    // standard output
  std::string notes;  // standard error
};

std::string_view file_word(PolicyFile kind) {
  return kind == PolicyFile::kSubuid ? "subuid" : "subgid";
}

// --- ids ------------------------------------------------------------------------------------

// Processes of this system have no ids of another's.
struct Living {
  std::vector<LivingIds> uids = of(IdKind::kUid), gids = of(IdKind::kGid);
  static std::vector<LivingIds> of(IdKind kind) {
    return is_other_root() ? std::vector<LivingIds>{} : living_ids(kind);
  }
};

// The two subid files of `all`, which come first.
std::vector<SubidSide> sides_of(std::span<const Proposal> all, const HostFacts& facts,
                                const Living& living) {
  return {{IdKind::kUid, all[0].before.text, &facts.uids, living.uids},
          {IdKind::kGid, all[1].before.text, &facts.gids, living.gids}};
}

Result<void> grant_ids(std::vector<Proposal>& all, const Owner& owner, const Request& request,
                       HostFacts facts, Report& report) {
  if (auto well = check_login_defs(facts); !well) return well;
  // A directory need not list them; their own ids are theirs all the same.
  facts.uids.taken.push_back(*owner.account);
  facts.gids.taken.push_back({owner.account->name, owner.account->group, 0});
  const Living living;
  const auto sides = sides_of(all, facts, living);
  const auto ranges = TRY(
      plan_vetted_ids(sides, {owner.forms, *request.ids, request.from, owner.account->id}, facts));
  if (!ranges.empty()) report.notes += what_is_not_known(facts);
  for (const auto& [kind, range] : ranges) {
    auto& file = all[kind == IdKind::kUid ? 0 : 1];
    file.after = with_range(file.before.text, owner.forms.front(), range);
    if (!request.dry)
      report.out +=
          concat(owner.forms.front(), ": ", file_word(file.kind), " ", to_text(range), "\n");
  }
  return {};
}

Result<void> revoke_ids(std::vector<Proposal>& all, const Owner& owner, const Request& request,
                        const HostFacts& facts, Report& report) {
  const Living living;
  const auto sides = sides_of(all, facts, living);
  for (std::size_t i = 0; i < sides.size(); ++i) {
    auto without = without_ranges(sides[i], owner.forms, request.ids);
    if (!request.force)
      if (auto unused = check_unused(sides[i], without.taken_away, owner); !unused) return unused;
    all[i].after = std::move(without.text);
    if (!request.dry && !without.taken_away.empty())
      report.out += concat(owner.forms.front(), ": ", file_word(all[i].kind),
                           " taken away: files that these ids own stay theirs\n");
  }
  return {};
}

// --- net.conf and cgroup.conf ---------------------------------------------------------------

// The texts of a policy before a change and after it.
struct Change {
  std::vector<PolicyText> before, after;
  [[nodiscard]] bool is_none() const {
    return std::ranges::equal(before, after, {}, &PolicyText::text, &PolicyText::text);
  }
};

// The line of net.conf that gives the owner NICs on a bridge after all.
std::optional<NetEntry> net_line_left(PolicyTexts files, std::string_view bridge,
                                      const Membership& membership) {
  for (auto& entry : net_entries(files, nullptr))
    if (entry.parsed.bridge == bridge && entry.parsed.count > 0 &&
        membership.is_for_owner(entry.parsed.who))
      return entry;
  return std::nullopt;
}

// What other lines still give, where lines of one's own were taken away; a refusal where there were
// none, since nothing would change.
Result<void> tell_net_left(const Change& change, const Owner& owner, const Request& request,
                           Report& report) {
  const Membership membership(owner);
  for (const auto net : request.nets) {
    const auto bridge = net.substr(0, net.find(':'));
    const auto left = net_line_left(change.after, bridge, membership);
    if (!left) continue;
    const auto text = concat(quoted(owner.forms.front()), " may have NICs on ", bridge, " through ",
                             place_of_line(left->line), "; to ban them: userns-policy grant ",
                             owner.forms.front(), " --net ", bridge, ":0");
    if (change.is_none()) return fail({}, text);
    report.notes += concat("note: ", text, "\n");
  }
  return {};
}

Result<void> tell_cgroup_left(const Change& change, const Owner& owner, Report& report) {
  const Membership membership(owner);
  for (const auto& entry : cgroup_entries(change.after, nullptr).lines) {
    if (!membership.is_for_owner(entry.parsed.who)) continue;
    if (contains(owner.forms, entry.parsed.who)) return {};
    const auto text =
        concat("for ", quoted(owner.forms.front()), " ", place_of_line(entry.line), " decides");
    if (change.is_none())
      return fail({}, concat(text,
                             ", and no line of their own: nothing was changed; to refuse "
                             "them: userns-policy grant ",
                             owner.forms.front(), " --cgroup containers=0"));
    report.notes += concat("note: from now on ", text, "\n");
    return {};
  }
  return {};
}

Result<void> change_nets(Change& change, const Owner& owner, const Request& request,
                         Report& report) {
  for (const auto net : request.nets) {
    auto done = request.grants ? grant_net(change.after, owner.forms, net)
                               : revoke_net(change.after, owner.forms, net);
    if (!done) return done;
  }
  return request.grants ? Result<void>{} : tell_net_left(change, owner, request, report);
}

Result<void> change_cgroups(Change& change, const Owner& owner, const Request& request,
                            Report& report) {
  auto done = request.grants ? grant_cgroup(change.after, owner.forms, request.cgroups)
                             : revoke_cgroup(change.after, owner.forms, request.cgroups);
  if (!done) return done;
  return request.grants ? check_cgroup_decides(change.after, owner)
                        : tell_cgroup_left(change, owner, report);
}

// What check has to say about lines that were not there before.
std::string findings_of(const Change& change, const HostFacts& facts) {
  std::string text;
  if (change.is_none()) return text;
  std::set<std::string_view> old;
  for (const auto& file : change.before)
    for (const auto& line : lines_of(file.text)) old.insert(line.text);
  for (const auto& finding : check(change.after, facts, nullptr))
    if (finding.line > 0 && !old.contains(finding.source))
      text += to_text(finding, wants_colour(STDERR_FILENO));
  return text;
}

// --- the verbs ------------------------------------------------------------------------------

// Works out every text; nothing is written yet.
Result<void> propose(std::vector<Proposal>& all, const Owner& owner, const Request& request,
                     Report& report) {
  const auto facts = host_facts({});
  if (request.about_ids) {
    auto done = request.grants ? grant_ids(all, owner, request, facts, report)
                               : revoke_ids(all, owner, request, facts, report);
    if (!done) return done;
  }
  for (const auto kind : request.files()) {
    if (is_subid(kind)) continue;
    Change change{texts_of(all, kind), texts_of(all, kind)};
    auto done = kind == PolicyFile::kNet ? change_nets(change, owner, request, report)
                                         : change_cgroups(change, owner, request, report);
    if (!done) return done;
    put_texts(all, change.after);
    if (request.grants) report.notes += findings_of(change, facts);
  }
  for (const auto& file : all)
    if (request.dry || !is_subid(file.kind))
      report.out += diff(file.before.path, file.before.text, file.after);
  return {};
}

// What stands without the option that it is of.
std::string likely_meant(std::string_view word) {
  const std::string_view option = word.contains('=')                     ? "--cgroup "
                                  : word.contains(':')                   ? "--net "
                                  : parse_decimal(word) || word == "all" ? "--ids "
                                                                         : "";
  return option.empty() ? "" : concat("; did you mean ", option, word, "?");
}

Result<void> take_id_words(Request& request, const Words& words) {
  const auto ids = words.all("ids");
  const auto from = words.one("from");
  if (from && ids.empty()) return fail({}, "--from says where --ids begin: give --ids, too");
  request.about_ids = !ids.empty();
  for (const auto number : ids) {
    const auto count = parse_decimal(number);
    if (request.grants && (!count || *count == 0 || *count > kLargestId))
      return fail({}, concat("--ids ", quoted(number), " ",
                             count ? "is not a number of ids" : why_not_decimal(number),
                             ": write how many, from 1 to 4294967294, as in --ids 65536"));
    if (!request.grants && number != "all" && (!count || *count == 0))
      return fail(
          {}, concat("--ids ", quoted(number), " is neither all nor the number of ids of a line"));
    request.ids = count;
  }
  if (from) request.from = parse_decimal(*from);
  if (from && !request.from)
    return fail({}, concat("--from ", quoted(*from), " ", why_not_decimal(*from),
                           ": write the first id, as in --from 200000"));
  return {};
}

Result<Request> request_of(const Words& words, bool grants) {
  const std::string_view verb = grants ? "grant" : "revoke";
  Request request{.grants = grants, .ids = {}, .from = {}, .nets = words.all("net"), .cgroups = {}};
  request.dry = words.has("dry-run");
  request.force = words.has("force");
  for (const auto word : words.all("cgroup")) request.cgroups.emplace_back(word);
  if (words.names.empty())
    return fail({}, concat(verb, " needs a user: userns-policy ", verb, " --help"));
  for (std::size_t i = 1; i < words.names.size(); ++i) {
    if (request.cgroups.empty())
      return fail({}, concat("unexpected argument ", quoted(words.names[i]),
                             likely_meant(words.names[i]), " (userns-policy ", verb, " --help)"));
    request.cgroups.push_back(words.names[i]);
  }
  TRY(take_id_words(request, words));
  if (request.files().empty())
    return fail({}, concat("what to ", verb, "? --ids, --net or --cgroup (userns-policy ", verb,
                           " --help)"));
  if (!request.dry && ::geteuid() != 0)
    return fail({}, concat(verb, " writes policy files, which only root may: sudo userns-policy ",
                           verb, " ..., or --dry-run to see what it would do"));
  return request;
}

// Under the locks of all files at once.
Result<Report> work_out_and_write(const Owner& owner, const Request& request) {
  if (request.about_ids) TRY(check_source());
  std::vector<std::string> paths;
  for (const auto kind : request.files()) {
    paths.push_back(installed_path(kind));
    if (!request.dry) TRY(make_directory_of(paths.back()));
  }
  const auto lock = TRY(request.dry ? Result<PolicyLock>(PolicyLock::none())
                                    : PolicyLock::take(paths, Hold::kAccounts));
  auto all = TRY(read_files(request.files()));
  Report report;
  TRY(propose(all, owner, request, report));
  if (!request.dry) TRY(write_files(all));
  return report;
}

std::string nothing_said(const Owner& owner, const Request& request) {
  return concat(owner.forms.front(),
                request.grants ? " has that already: nothing " : " does not have that: nothing ",
                request.dry ? "would be changed\n" : "was changed\n");
}

int carry_out(const Words& words, bool grants) {
  if (auto entered = enter_root(words); !entered) return tool_failure(entered.error());
  const auto request = request_of(words, grants);
  if (!request) return tool_failure(request.error());
  const auto owner = find_owner(words.names[0], request->about_ids, grants);
  if (!owner) return tool_failure(owner.error());
  auto report = work_out_and_write(*owner, *request);
  if (!report) return tool_failure(report.error());
  if (report->out.empty() && owner->is_gone)
    return tool_failure(
        {.rule = {},
         .code = 0,
         .text = concat(
             "there is no ", owner->is_user ? "user " : "group ", quoted(words.names[0]),
             ", and no such line names one: userns-policy check shows whose lines there are")});
  if (report->out.empty()) report->out = nothing_said(*owner, *request);
  const int written = put(report->out);
  (void)write_all(Fd(::dup(STDERR_FILENO)), report->notes);
  return written;
}

}  // namespace

int grant_verb(const Words& words) { return carry_out(words, true); }
int revoke_verb(const Words& words) { return carry_out(words, false); }

}  // namespace userns::frontend
