// userns-policy apply and export: a desired state for many users and groups at once. Every text is
// worked out and judged under the locks of all four files; then each that differs is written, or
// none.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
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
#include "frontend/policy_tool/tool.h"
#include "frontend/policy_tool/verbs/desired.h"
#include "frontend/spec/tell.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr int kWouldChange = 3;
constexpr std::array kAll{PolicyFile::kSubuid, PolicyFile::kSubgid, PolicyFile::kNet,
                          PolicyFile::kCgroup};
using Kind = DesiredLine::Kind;

struct Job {
  std::vector<Proposal> files;  // of kAll: subuid and subgid first
  std::vector<PolicyText> net_texts, cgroup_texts;
  HostFacts facts;
  std::vector<LivingIds> living_uids, living_gids;
  bool force = false;
  std::string notes;

  [[nodiscard]] std::vector<SubidSide> sides() const {
    return {{IdKind::kUid, files[0].after, &facts.uids, living_uids},
            {IdKind::kGid, files[1].after, &facts.gids, living_gids}};
  }
  // Ranges by owner, so that those who have what they shall have cost one look.
  std::array<std::map<std::string, OwnedRanges, std::less<>>, 2> owned;

  // Who has what in net.conf: "br0 2 ..." as lines have it, by who. Not used where a line names a
  // uid, which may be anybody's second name.
  std::map<std::string, std::vector<std::string>, std::less<>> nets;
  bool names_uids = false;

  void index_nets() {
    for (const auto& entry : net_entries(net_texts, nullptr)) {
      names_uids = names_uids || parse_decimal(entry.parsed.who).has_value();
      nets[std::string(entry.parsed.who)].push_back(net_wish_of(entry.line.text));
    }
  }
  // Without a look at accounts: with many users each look costs.
  [[nodiscard]] bool plainly_has(const DesiredLine& wish) const {
    if (wish.kind == Kind::kIds && wish.ids > 0)
      return has(Owner{.forms = {wish.who}, .account = {}}, wish);
    if (wish.kind != Kind::kNet || names_uids) return false;
    const auto found = nets.find(wish.who);
    return found == nets.end() ? wish.words.empty() : found->second == wish.words;
  }

  void index() {
    for (std::size_t i = 0; i < owned.size(); ++i)
      for (const auto& entry :
           subid_entries({}, files[i].before.text, i == 0 ? IdKind::kUid : IdKind::kGid, nullptr))
        (void)owned[i][std::string(entry.parsed.owner)].add(entry.parsed.range, entry.line.number);
  }
  [[nodiscard]] bool has(const Owner& owner, const DesiredLine& wish) const {
    const auto wanted = wish.first ? IdRange::make(*wish.first, wish.ids) : std::nullopt;
    return std::ranges::all_of(owned, [&](const auto& lines) {
      return std::ranges::any_of(owner.forms, [&](const std::string& form) {
        const auto found = lines.find(form);
        return found != lines.end() && std::ranges::any_of(found->second.ranges(), [&](IdRange r) {
                 return wanted ? r.contains(*wanted) : r.count() >= wish.ids;
               });
      });
    });
  }
};

Result<void> take_ids_away(Job& job, const Owner& owner) {
  const auto sides = job.sides();
  for (std::size_t i = 0; i < sides.size(); ++i) {
    auto without = without_ranges(sides[i], owner.forms, std::nullopt);
    if (!job.force)
      if (auto unused = check_unused(sides[i], without.taken_away, owner); !unused) return unused;
    if (!without.taken_away.empty()) job.files[i].after = std::move(without.text);
  }
  return {};
}

Result<void> want_ids(Job& job, const Owner& owner, const DesiredLine& wish) {
  if (wish.ids == 0) return take_ids_away(job, owner);
  if (job.has(owner, wish)) return {};
  if (auto well = check_login_defs(job.facts); !well) return well;
  HostFacts facts = job.facts;
  facts.uids.taken.push_back(*owner.account);
  facts.gids.taken.push_back({owner.account->name, owner.account->group, 0});
  const std::vector<SubidSide> sides{
      {IdKind::kUid, job.files[0].after, &facts.uids, job.living_uids},
      {IdKind::kGid, job.files[1].after, &facts.gids, job.living_gids}};
  const auto ranges =
      TRY(plan_vetted_ids(sides, {owner.forms, wish.ids, wish.first, owner.account->id}, facts));
  for (const auto& [kind, range] : ranges) {
    auto& file = job.files[kind == IdKind::kUid ? 0 : 1];
    file.after = with_range(file.after, owner.forms.front(), range);
  }
  if (!ranges.empty() && job.notes.empty()) job.notes = what_is_not_known(facts);
  return {};
}

std::string_view bridge_of(std::string_view wish) { return wish.substr(0, wish.find(':')); }

// The owner's lines of net.conf are these and no others.
Result<void> want_nets(Job& job, const Owner& owner, const DesiredLine& wish) {
  std::vector<std::string> bridges;
  for (const auto& entry : net_entries(job.net_texts, nullptr))
    if (contains(owner.forms, entry.parsed.who)) bridges.emplace_back(entry.parsed.bridge);
  for (const auto& bridge : bridges) {
    if (std::ranges::find(wish.words, bridge, bridge_of) != wish.words.end()) continue;
    if (auto without = revoke_net(job.net_texts, owner.forms, bridge); !without) return without;
  }
  for (const auto& word : wish.words)
    if (auto with = set_net(job.net_texts, owner.forms, word); !with) return with;
  return {};
}

// The owner's line of cgroup.conf has these settings and no others.
Result<void> want_cgroup(Job& job, const Owner& owner, const DesiredLine& wish) {
  auto& files = job.cgroup_texts;
  std::vector<std::string> others;
  for (const auto& entry : cgroup_entries(files, nullptr).lines) {
    if (!contains(owner.forms, entry.parsed.who)) continue;
    others = settings_not_in(entry.line.text, wish.words);
    break;
  }
  if (wish.words.empty()) others = {"all"};
  Result<void> done;
  if (!others.empty()) done = revoke_cgroup(files, owner.forms, others);
  if (done && !wish.words.empty()) done = grant_cgroup(files, owner.forms, wish.words);
  if (done && !wish.words.empty()) done = check_cgroup_decides(files, owner);
  return done;
}

Result<void> want(Job& job, const DesiredLine& wish) {
  if (job.plainly_has(wish)) return {};
  const bool grants = wish.ids > 0 || !wish.words.empty();
  const auto owner = TRY(find_owner(wish.who, wish.kind == Kind::kIds, grants));
  if (wish.kind == Kind::kIds) return want_ids(job, owner, wish);
  return wish.kind == Kind::kNet ? want_nets(job, owner, wish) : want_cgroup(job, owner, wish);
}

Result<std::string> text_to_apply(std::string_view from) {
  if (from != "-") return read_policy(std::string(from));
  return read_all(Fd(::dup(STDIN_FILENO)), kLargestPolicy);
}

// Works out all texts; nothing is written yet.
Result<Job> work_out(std::string_view path, std::span<const DesiredLine> wishes, bool force) {
  Job job{.files = {}, .facts = host_facts({}), .living_uids = {}, .living_gids = {}};
  job.force = force;
  auto files = TRY(read_files(kAll));
  job.files = std::move(files);
  job.net_texts = texts_of(job.files, PolicyFile::kNet);
  job.cgroup_texts = texts_of(job.files, PolicyFile::kCgroup);
  if (contains(wishes, Kind::kIds, &DesiredLine::kind)) {
    TRY(check_source());
    if (!is_other_root())
      job.living_uids = living_ids(IdKind::kUid), job.living_gids = living_ids(IdKind::kGid);
    job.index();
  }
  job.index_nets();
  for (const auto& wish : wishes)
    if (auto done = want(job, wish); !done)
      return fail(done.error().rule,
                  concat(path, ":", wish.number, ": ", done.error().text, "; nothing was changed"),
                  done.error().code);
  put_texts(job.files, job.net_texts);
  put_texts(job.files, job.cgroup_texts);
  return job;
}

int tell_outcome(const Job& job, const Words& words) {
  std::string out;
  bool changes = false;
  for (const auto& file : job.files) {
    if (file.before.text == file.after) continue;
    changes = true;
    out += words.has("diff")
               ? diff(file.before.path, file.before.text, file.after)
               : concat(file.before.path, words.has("check") ? " would change\n" : " is changed\n");
  }
  const int written = put(out.empty() ? "nothing to do\n" : out);
  if (written != 0) return written;
  if (!job.notes.empty())
    tell(
        "userns-policy",
        {.rule = {}, .code = 0, .text = job.notes.substr(0, job.notes.find_last_not_of('\n') + 1)});
  return changes && words.has("check") ? kWouldChange : 0;
}

int failure(std::string text) {
  return tool_failure({.rule = {}, .code = 0, .text = std::move(text)});
}

}  // namespace

int apply_verb(const Words& words) {
  const auto from = words.one("from");
  if (!from || !words.names.empty())
    return failure("apply needs --from FILE, and no other words: userns-policy apply --help");
  const bool check = words.has("check");
  const auto text = text_to_apply(*from);
  if (!text) return tool_failure(text.error());
  const auto path = *from == "-" ? std::string("standard input") : std::string(*from);
  const auto wishes = read_desired(path, *text);
  if (!wishes) return tool_failure(wishes.error());
  if (auto entered = enter_root(words); !entered) return tool_failure(entered.error());
  if (!check && ::geteuid() != 0)
    return failure("apply writes policy files, which only root may: add sudo, or --check");
  std::vector<std::string> paths;
  for (const auto kind : kAll) {
    paths.push_back(installed_path(kind));
    if (check) continue;
    if (auto made = make_directory_of(paths.back()); !made) return tool_failure(made.error());
  }
  const auto lock =
      check ? Result<PolicyLock>(PolicyLock::none()) : PolicyLock::take(paths, Hold::kAccounts);
  if (!lock) return tool_failure(lock.error());
  const auto job = work_out(path, *wishes, words.has("force"));
  if (!job) return tool_failure(job.error());
  if (!check)
    if (auto written = write_files(job->files); !written) return tool_failure(written.error());
  return tell_outcome(*job, words);
}

int export_verb(const Words& words) {
  if (!words.names.empty())
    return failure(
        "export takes no words: userns-policy export >FILE; userns-policy apply --from "
        "FILE");
  if (auto entered = enter_root(words); !entered) return tool_failure(entered.error());
  std::map<PolicyFile, std::vector<PolicyText>> texts;
  for (const auto kind : kAll)
    for (const auto& path : installed_paths(kind)) {
      auto text = read_policy(path);
      if (!text && text.error().code != ENOENT) return tool_failure(text.error());
      texts[kind].push_back({kind, path, std::move(text).value_or("")});
    }
  return put(
      to_desired({texts[PolicyFile::kSubuid].front().text, texts[PolicyFile::kSubgid].front().text,
                  texts[PolicyFile::kNet], texts[PolicyFile::kCgroup]}));
}

}  // namespace userns::frontend
