// userns-policy explain: the helpers' own decisions about a user, and the lines that they come
// from.
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "common/fd.h"
#include "common/report.h"
#include "common/subid_source.h"
#include "common/trusted_file.h"
#include "frontend/policy_tool/check/login_defs.h"
#include "frontend/policy_tool/host_facts.h"
#include "frontend/policy_tool/tool.h"
#include "frontend/spec/user_database.h"
#include "policy/cgroup_rules.h"
#include "policy/idmap_rules.h"
#include "policy/net_rules.h"
#include "policy/text.h"
#include "policy/who.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kLargestConf = 1UL << 20U;

struct User {
  Uid uid{0};
  Gid gid{0};
  std::string name;  // as policy files can tell it; may be empty
  std::vector<Gid> groups;
  std::string group_names;

  // A lookup that fails is "no", and remembered, as in the helpers.
  bool is_in(std::string_view group, std::optional<Error>& failed) const {
    const auto id = group_id(group);
    if (!id) failed = id.error();
    return id && *id && contains(groups, **id);
  }
  [[nodiscard]] bool is_meant_by(std::string_view who, std::optional<Error>& failed) const {
    return is_for(who, uid, name, [&](std::string_view group) { return is_in(group, failed); });
  }
  [[nodiscard]] std::string text() const {
    return name.empty() ? concat("uid ", uid.value()) : name;
  }
};

Result<User> find_user(const std::string& word) {
  const auto number = parse_decimal(word);
  const auto* entry = number && *number <= kLargestId ? ::getpwuid(static_cast<uid_t>(*number))
                                                      : ::getpwnam(word.c_str());
  if (entry == nullptr)
    return fail(
        {}, concat("there is no user ", quoted(word), ": give a login name, or the uid of one"));
  User user{.uid = Uid{entry->pw_uid},
            .gid = Gid{entry->pw_gid},
            .name = {},
            .groups = {},
            .group_names = {}};
  const std::string login = entry->pw_name;
  std::vector<gid_t> groups(64);
  int count = static_cast<int>(groups.size());
  while (::getgrouplist(login.c_str(), user.gid.value(), groups.data(), &count) < 0) {
    groups.resize(static_cast<std::size_t>(std::max(count, 0)) + groups.size());
    count = static_cast<int>(groups.size());
  }
  groups.resize(static_cast<std::size_t>(count));
  for (const auto gid : groups) {
    user.groups.emplace_back(gid);
    const auto* const group = ::getgrgid(gid);
    user.group_names += concat(user.group_names.empty() ? "" : " ",
                               group == nullptr ? concat(gid) : std::string(group->gr_name));
  }
  auto name = login_name(user.uid);
  if (!name) return std::unexpected(name.error());
  user.name = std::move(*name);
  return user;
}

// As the helpers are when they read: so that a file which only root can read is as shut to us as to
// them.
Result<void> become(const User& user) {
  if (::geteuid() != 0) return {};
  std::vector<gid_t> groups;
  for (const auto gid : user.groups) groups.push_back(gid.value());
  if (::setgroups(groups.size(), groups.data()) != 0 ||
      ::setresgid(user.gid.value(), user.gid.value(), user.gid.value()) != 0 ||
      ::setresuid(user.uid.value(), user.uid.value(), user.uid.value()) != 0)
    return fail_errno(concat("cannot take the place of ", user.text()));
  return {};
}

Result<std::string> read_trusted(const std::string& path, std::string_view rule) {
  const auto file = open_trusted_file(path);
  if (!file) return std::unexpected(file.error());
  auto text = *file ? read_all(**file, kLargestConf) : Result<std::string>{};
  if (!text) return fail(rule, concat("cannot read ", path), text.error().code);
  return text;
}

struct Answer {
  std::string text;
  bool allowed = true;

  void refuse(std::string_view what, const Error& error) {
    text += concat(what, ": refused: ", to_text(error), "\n");
    allowed = false;
  }
  void line(std::string_view path, const TextLine& line, std::string_view note = {}) {
    text += concat("  ", path, ":", line.number, ": ", line.text, note.empty() ? "" : "   -- ",
                   note, "\n");
  }
};

// Malformed lines, in check's words, but for one that was named already.
void name_malformed(Answer& answer, std::string_view how, std::vector<Finding> findings,
                    std::uint64_t named) {
  constexpr std::size_t kMost = 5;
  std::erase_if(findings, [&](const Finding& f) { return f.line == named; });
  for (const auto& finding : std::span(findings).first(std::min(findings.size(), kMost)))
    answer.text +=
        concat("  ", finding.file, ":", finding.line, ": ", how, ": ", finding.what, "\n");
  if (findings.size() > kMost)
    answer.text +=
        concat("  and ", findings.size() - kMost, " more: userns-policy check names all of them\n");
}

// Of a file that one of them refuses whole; the refusal names the first.
void name_malformed(Answer& answer, std::vector<Finding> findings) {
  const auto first = findings.empty() ? 0 : findings.front().line;
  name_malformed(answer, "malformed, too", std::move(findings), first);
}

// --- ids ------------------------------------------------------------------------------------

constexpr std::string_view kGivesNothing = "gives nothing";

// INSIDE:OUTSIDE:COUNT for uids and gids, or with u: or g: before it for one of them.
Result<std::vector<std::string>> numbers_of(std::span<const std::string> requests, char kind) {
  std::vector<std::string> numbers;
  for (const std::string_view request : requests) {
    auto rest = request;
    const bool has_kind =
        rest.size() > 2 && rest[1] == ':' && (rest[0] == 'u' || rest[0] == 'g' || rest[0] == 'b');
    if (std::ranges::count(rest, ':') != (has_kind ? 3 : 2))
      return fail(
          {},
          concat(quoted(request),
                 " is not INSIDE:OUTSIDE:COUNT, with u: or g: before it for uids or gids alone"));
    if (has_kind && rest[0] != kind && rest[0] != 'b') continue;
    if (has_kind) rest.remove_prefix(2);
    for (int i = 0; i < 3; ++i) numbers.emplace_back(take_until(rest, ':'));
  }
  return numbers;
}

// The lines of the file that give the user something of `wanted`, or anything.
void show_sources(Answer& answer, const SubidRanges& subids, const User& user, IdKind kind,
                  const IdMap* wanted) {
  if (!subids.source.starts_with('/')) return;
  const auto text = text_of(subids.source);
  for (const auto& entry : subid_entries(subids.source, text, kind, nullptr)) {
    if (entry.parsed.owner != user.name && entry.parsed.owner != concat(user.uid.value())) continue;
    if (wanted == nullptr || std::ranges::any_of(wanted->extents(), [&](const Extent& e) {
          return e.outside().overlaps(entry.parsed.range);
        }))
      answer.line(subids.source, entry.line, to_text(entry.parsed.range));
  }
}

// The user's lines that give nothing.
std::vector<Finding> malformed_of(const User& user, IdKind kind, const std::string& path) {
  std::vector<Finding> findings;
  if (path.starts_with('/')) (void)subid_entries(path, text_of(path), kind, &findings);
  std::erase_if(findings, [&](const Finding& f) {
    return !f.source.starts_with(concat(user.uid.value(), ":")) &&
           (user.name.empty() || !f.source.starts_with(concat(user.name, ":")));
  });
  return findings;
}

// The ids that login.defs has for the user and they have not.
std::string deterministic_text(const User& user, IdKind kind, const OwnedRanges& owned) {
  std::vector<Finding> ignored;
  const auto text = text_of("/etc/login.defs");
  const auto of_uids = read_login_defs({}, text, "U", ignored);
  const auto defs = kind == IdKind::kUid ? of_uids : read_login_defs({}, text, "G", ignored);
  const auto block = defs.deterministic ? deterministic_block(defs, of_uids.least, user.uid.value())
                                        : std::nullopt;
  if (!block || owned.covers(*block)) return {};
  return concat("  userns-policy grant and useradd would give ", to_text(*block), ", by SUB_",
                kind == IdKind::kUid ? "UID" : "GID", "_DETERMINISTIC of /etc/login.defs\n");
}

void explain_kind(Answer& answer, const User& user, IdKind kind,
                  std::span<const std::string> numbers, bool asked) {
  const bool is_uid = kind == IdKind::kUid;
  const std::string_view program = is_uid ? "newuidmap" : "newgidmap";
  const auto own = is_uid ? user.uid.value() : user.gid.value();
  // In the helper's order: words first.
  const std::vector<std::string_view> words(numbers.begin(), numbers.end());
  const auto map = IdMap::parse(words);
  if (asked && !numbers.empty() && !map) return answer.refuse(program, map.error());
  const auto subids = find_subids(kind, user.name, user.uid);
  if (!subids) return answer.refuse(program, subids.error());
  if (!asked) {
    std::string ranges;
    for (const auto range : subids->owned.ranges())
      ranges += concat(ranges.empty() ? "" : ", ", to_text(range));
    answer.text +=
        concat(program, ": ", ranges.empty() ? concat("nothing in ", subids->source) : ranges,
               "; and one's own ", is_uid ? "uid " : "gid ", own, " alone\n");
    answer.text += deterministic_text(user, kind, subids->owned);
    name_malformed(answer, kGivesNothing, malformed_of(user, kind, subids->source), 0);
    return show_sources(answer, *subids, user, kind, nullptr);
  }
  if (numbers.empty()) return;
  const MapFacts facts{.kind = kind,
                       .caller_uid = user.uid,
                       .caller_gid = user.gid,
                       .caller_name = user.name,
                       .target_uid = user.uid,
                       .target_gid = user.gid,
                       .owned = &subids->owned,
                       .owned_source = subids->source,
                       .skipped = &subids->skipped};
  const auto grant = decide(facts, *map);
  if (!grant) {
    answer.refuse(program, grant.error());
    return name_malformed(answer, kGivesNothing, malformed_of(user, kind, subids->source),
                          subids->skipped.line);
  }
  answer.text += concat(program, ": allowed");
  for (const auto& extent : map->extents()) answer.text += concat(" ", to_text(extent));
  answer.text += concat(
      " by ", subids->source,
      grant->deny_setgroups() ? "; setgroups(2) will be denied, as no delegated gid is mapped" : "",
      "\n");
  show_sources(answer, *subids, user, kind, &*map);
  for (const auto& extent : map->extents())
    if (!subids->owned.covers(extent.outside()))
      answer.text += concat("  the user's own ", is_uid ? "uid " : "gid ", own, " needs no line\n");
}

Result<Answer> explain_map(const User& user, std::span<const std::string> requests) {
  Answer answer;
  for (const auto kind : {IdKind::kUid, IdKind::kGid}) {
    const auto numbers = numbers_of(requests, kind == IdKind::kUid ? 'u' : 'g');
    if (!numbers) return std::unexpected(numbers.error());
    explain_kind(answer, user, kind, *numbers, !requests.empty());
  }
  return answer;
}

// --- network --------------------------------------------------------------------------------

std::string address_text(const NetTerms& terms) {
  std::string text;
  for (const auto& block : terms.blocks)
    text += concat(text.empty() ? ", with an address of " : " and ", block.text());
  return text;
}

std::string terms_text(const NetTerms& terms) {
  return concat(terms.mtu > 0 ? concat(" mtu=", terms.mtu) : "",
                terms.vlan > 0 ? concat(" vlan=", terms.vlan) : "",
                terms.isolated ? " isolated" : "",
                terms.spoof ? " any sender address" : " locked to its MAC address",
                terms.any_mac ? ", which the user may choose" : "", address_text(terms),
                terms.needs_guard() ? ", refused unless the guard is loaded (NR-GUARD)" : "");
}

void explain_bridge(Answer& answer, const User& user, const std::string& path,
                    std::span<const NetEntry> entries, std::string_view bridge) {
  const auto what = concat("net ", bridge);
  NetFacts facts{.caller = user.uid, .netns_owner = user.uid, .bridge = {}, .lines = {}};
  std::vector<const NetEntry*> used;
  std::optional<Error> failed;
  for (const auto& entry : entries) {
    if (entry.parsed.bridge != bridge || !user.is_meant_by(entry.parsed.who, failed)) continue;
    facts.lines.push_back(entry.parsed);
    used.push_back(&entry);
  }
  if (failed) return answer.refuse(what, *failed);
  const auto found = interface_facts(std::string(bridge));
  if (found.index > 0)
    facts.bridge = {found.index, found.is_bridge, found.up, found.filters_vlans, found.mtu, {}};
  facts.has_guard = true;  // only root sees whether it is; the lines say who needs it
  const auto grant =
      decide(facts, {.netns = {}, .bridge = bridge, .name = {}, .container = {}, .mac = {}});
  if (!grant) {
    answer.refuse(what, grant.error());
  } else {
    const auto slots = grant->slots_to_try([](std::uint32_t) { return false; }).size();
    answer.text += concat(what, ": allowed: ", slots, slots == 1 ? " interface" : " interfaces",
                          " at a time\n");
  }
  for (const auto* const entry : used)
    answer.line(path, entry->line,
                concat(entry->parsed.count, ":", terms_text(entry->parsed.terms)));
}

Result<Answer> explain_net(const User& user, std::optional<std::string_view> asked) {
  Answer answer;
  // In the helper's order: words first.
  if (asked && !is_interface_name(*asked)) {
    answer.refuse(
        concat("net ", *asked),
        {.rule = "NR-NAME", .code = 0, .text = concat(quoted(*asked), " is no name of a bridge")});
    return answer;
  }
  const auto path = installed_path(PolicyFile::kNet);
  const auto text = read_trusted(path, "NC-READ");
  const auto lines = text ? parse_net_conf(path, *text) : std::unexpected(text.error());
  if (!lines) {
    answer.refuse("net", lines.error());
    std::vector<Finding> findings;
    if (text) (void)net_entries(path, *text, &findings);
    name_malformed(answer, std::move(findings));
    return answer;
  }
  const auto entries = net_entries(path, *text, nullptr);
  if (asked) {
    explain_bridge(answer, user, path, entries, *asked);
    return answer;
  }
  std::vector<std::string_view> bridges;
  std::optional<Error> failed;  // told of each bridge
  for (const auto& entry : entries)
    if (user.is_meant_by(entry.parsed.who, failed) && !contains(bridges, entry.parsed.bridge))
      bridges.push_back(entry.parsed.bridge);
  if (bridges.empty()) {
    answer.text = concat("net: nothing: no line of ", path, " is for ", user.text(), "\n");
    answer.allowed = false;
  }
  for (const auto bridge : bridges) explain_bridge(answer, user, path, entries, bridge);
  return answer;
}

// --- cgroups --------------------------------------------------------------------------------

// What only root may be able to read; the helper is root when it reads it.
struct CgroupSources {
  std::string path;
  Result<std::string> text;
  Result<CgroupConf> conf;
  Result<CgroupBase> base;
};

CgroupSources read_cgroup_sources(Uid uid) {
  CgroupSources all;
  all.path = installed_path(PolicyFile::kCgroup);
  all.text = read_trusted(all.path, "CC-READ");
  all.conf = all.text ? parse_cgroup_conf(*all.text, all.path) : std::unexpected(all.text.error());
  all.base = cgroup_base(all.conf.value_or(CgroupConf{}), uid);
  return all;
}

Result<void> check_v1(const CgroupGrant& grant, const CgroupConf& conf, Uid uid) {
  for (const auto& part : grant.parts().subspan(1))
    if (const auto v1 = v1_base(part.controller, conf, uid); !v1)
      return std::unexpected(v1.error());
  return {};
}

// From which cgroups the user may come (CG-FROM).
std::string from_text(Uid uid, const CgroupLine& line, const CgroupBase& base) {
  if (!base.hierarchy.empty()) return {};
  const auto from = line.text_of("from");
  if (from == "any") return "  from any cgroup, whatever its limits\n";
  return concat("  from the user's sessions (/user.slice/user-", uid.value(),
                ".slice), their containers, and cgroups above the base", from.empty() ? "" : ", ",
                from, "\n");
}

Answer explain_cgroup(const User& user, const CgroupSources& sources) {
  Answer answer;
  const auto refuse = [&](const Error& error) {
    answer.refuse("cgroup", error);
    return answer;
  };
  if (!sources.text && sources.text.error().code == EACCES) {
    answer.text = concat("cgroup: not known to you: only root can read ", sources.path,
                         ": sudo userns-policy explain ",
                         user.name.empty() ? concat(user.uid.value()) : user.name, " cgroup\n");
    return answer;
  }
  if (!sources.conf) {
    answer.refuse("cgroup", sources.conf.error());
    std::vector<Finding> findings;
    if (sources.text) (void)cgroup_entries(sources.path, *sources.text, &findings);
    name_malformed(answer, std::move(findings));
    return answer;
  }
  if (!sources.base) return refuse(sources.base.error());
  std::optional<Error> failed;
  const auto* const line =
      matching_line(*sources.conf, user.uid, user.name,
                    [&](std::string_view group) { return user.is_in(group, failed); });
  if (failed) return refuse(*failed);
  const auto grant = decide({.caller = user.uid,
                             .line = line,
                             .conf_path = sources.path,
                             .base = sources.base->path,
                             .base_is_systemds = sources.base->is_systemds,
                             .hierarchy = sources.base->hierarchy,
                             .controllers = sources.base->controllers,
                             .place = place_of(*sources.base, user.uid)},
                            *ContainerName::parse("x"));
  const auto v1 = grant ? check_v1(*grant, *sources.conf, user.uid) : Result<void>{};
  if (!grant || !v1) {
    answer.refuse("cgroup", grant ? v1.error() : grant.error());
  } else {
    answer.text = concat("cgroup: allowed: ", grant->containers(), " at a time, below ",
                         sources.base->path, "/", user.uid.value(), "\n");
    for (const auto& part : grant->parts())
      for (const auto& write : part.writes)
        if (write.required && write.text != "\n")
          answer.text +=
              concat("  ", write.file, " = ", write.text,
                     part.controller.empty() ? "" : concat(" (v1 ", part.controller, ")"), "\n");
    answer.text += from_text(user.uid, *line, *sources.base);
  }
  if (line != nullptr) answer.line(sources.path, lines_of(*sources.text)[line->number - 1]);
  return answer;
}

bool is_topic(std::string_view word) { return word == "map" || word == "net" || word == "cgroup"; }

int failure(std::string text) {
  return tool_failure({.rule = {}, .code = 0, .text = std::move(text)});
}

}  // namespace

int explain_verb(const Words& words) {
  const auto count = words.names.size();
  const auto topic = count > 1 ? std::string_view(words.names[1]) : std::string_view{};
  if (count == 0)
    return failure(
        "explain needs a user: userns-policy explain USER [map ... | net BRIDGE | cgroup]");
  if (count > 1 && !is_topic(topic))
    return failure(is_topic(words.names[0]) ? concat("the user comes first: userns-policy explain ",
                                                     topic, " ", words.names[0])
                                            : concat("there is nothing to explain about ",
                                                     quoted(topic), ": say map, net or cgroup"));
  if ((topic == "net" && count > 3) || (topic == "cgroup" && count > 2))
    return failure(
        concat(quoted(words.names.back()), " is a word too many: userns-policy explain --help"));
  if (auto entered = enter_root(words); !entered) return tool_failure(entered.error());
  const auto user = find_user(words.names[0]);
  if (!user) return tool_failure(user.error());
  const bool all = topic.empty();
  const auto sources =
      all || topic == "cgroup" ? std::optional(read_cgroup_sources(user->uid)) : std::nullopt;
  // A user who asks for himself may not be able to read what the helper reads as root.
  if (sources && !sources->text && sources->text.error().code == EACCES && !all)
    return tool_failure({.rule = {},
                         .code = EACCES,
                         .text = concat("cannot read ", sources->path,
                                        ", which only root may: sudo userns-policy explain ",
                                        words.names[0], " cgroup")});
  if (const auto done = become(*user); !done) return tool_failure(done.error());
  std::string text =
      concat(user->text(), ": uid ", user->uid.value(), ", groups ", user->group_names,
             " (by NSS; a running session keeps those of its login)\n");
  bool allowed = true;
  const auto take = [&](const Answer& answer) {
    text += answer.text;
    allowed = allowed && answer.allowed;
  };
  if (all || topic == "map") {
    const auto requests = all ? std::span<const std::string>{} : std::span(words.names).subspan(2);
    const auto answer = explain_map(*user, requests);
    if (!answer) return tool_failure(answer.error());
    take(*answer);
  }
  if (all || topic == "net") {
    const auto answer = explain_net(
        *user, count > 2 ? std::optional<std::string_view>(words.names[2]) : std::nullopt);
    if (!answer) return tool_failure(answer.error());
    take(*answer);
  }
  if (sources) take(explain_cgroup(*user, *sources));
  return put(text, all || allowed ? 0 : 1);
}

}  // namespace userns::frontend
