#include "frontend/policy_tool/verbs/desired.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "frontend/policy_tool/check/checks.h"
#include "policy/conf_line.h"
#include "policy/subid.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::string_view kRule = "DS-LINE";
using Kind = DesiredLine::Kind;

std::optional<Kind> kind_of_word(std::string_view word) {
  if (word == "ids") return Kind::kIds;
  if (word == "net") return Kind::kNet;
  if (word == "cgroup") return Kind::kCgroup;
  return std::nullopt;
}

Result<std::uint64_t> number_in(ConfLine& line, std::string_view word, std::uint64_t least) {
  const auto number = parse_decimal(word);
  if (number && *number >= least && *number <= kLargestId) return *number;
  return line.refuse(kRule, word, concat(quoted(word), " is not a number of ids"));
}

Result<void> take_ids(ConfLine& line, std::string_view word, DesiredLine& wish) {
  if (word == "none") return {};
  const auto count = TRY(number_in(line, word, 1));
  wish.ids = count;
  const auto from = line.next();
  if (from.empty()) return {};
  if (from != "from") return line.refuse(kRule, from, "write \"ids COUNT from FIRST\"");
  const auto first = TRY(number_in(line, line.next(), 0));
  wish.first = first;
  return {};
}

Result<void> take_rest(ConfLine& line, DesiredLine& wish) {
  const auto word = line.next();
  if (word.empty()) return line.refuse(kRule, word, "say what, or none");
  if (wish.kind == Kind::kIds) {
    if (auto taken = take_ids(line, word, wish); !taken) return taken;
  } else if (word != "none") {
    wish.words.emplace_back(word);
    for (auto more = line.next(); !more.empty(); more = line.next()) wish.words.emplace_back(more);
  }
  if (const auto more = line.next(); !more.empty())
    return line.refuse(kRule, more, concat("unexpected word ", quoted(more)));
  return {};
}

// Lines of one user's ranges, both files.
struct Ids {
  std::vector<IdRange> uids, gids;
};

std::map<std::string, Ids, std::less<>> ids_in(const WholePolicy& texts) {
  std::map<std::string, OwnedRanges, std::less<>> uids, gids;
  const auto take = [](std::string_view text, IdKind kind, auto& owners) {
    for (const auto& entry : subid_entries({}, text, kind, nullptr))
      (void)owners[std::string(entry.parsed.owner)].add(entry.parsed.range, entry.line.number);
  };
  take(texts.subuid, IdKind::kUid, uids);
  take(texts.subgid, IdKind::kGid, gids);
  std::map<std::string, Ids, std::less<>> all;
  for (const auto& [owner, owned] : uids)
    all[owner].uids = {owned.ranges().begin(), owned.ranges().end()};
  for (const auto& [owner, owned] : gids)
    all[owner].gids = {owned.ranges().begin(), owned.ranges().end()};
  return all;
}

std::string ids_text(const WholePolicy& texts) {
  std::string out;
  for (const auto& [owner, ids] : ids_in(texts)) {
    if (ids.uids.size() == 1 && ids.uids == ids.gids)
      out += concat(owner, "  ids ", ids.uids[0].count(), " from ", ids.uids[0].first(), "\n");
    else
      out += concat("# ", owner, ": its uids and gids are not one range of the same numbers; see ",
                    "subuid and subgid\n");
  }
  return out;
}

std::string net_text(PolicyTexts net) {
  std::map<std::string, std::string, std::less<>> lines;
  std::vector<std::string> order;
  std::set<std::pair<std::string, std::string>> seen;
  std::string comments;
  for (const auto& entry : net_entries(net, nullptr)) {
    const auto who = std::string(entry.parsed.who), bridge = std::string(entry.parsed.bridge);
    if (!seen.insert({who, bridge}).second) {
      comments += concat("# ", entry.line.file, ":", entry.line.number, ": a second line for ", who,
                         " on ", bridge, ": counts add up there\n");
      continue;
    }
    if (!lines.contains(who)) order.push_back(who);
    lines[who] += concat(" ", net_wish_of(entry.line.text));
  }
  std::string out;
  for (const auto& who : order) out += concat(who, "  net", lines[who], "\n");
  return out + comments;
}

std::string cgroup_text(PolicyTexts cgroup) {
  std::set<std::string> seen;
  std::string out;
  const auto all = cgroup_entries(cgroup, nullptr);
  if (all.base_line.number > 0)
    out +=
        concat("# ", all.base_line.file, ":", all.base_line.number, ": ", all.base_line.text, "\n");
  for (const auto& entry : all.lines) {
    if (!seen.insert(entry.parsed.who).second) {
      out += concat("# ", entry.line.file, ":", entry.line.number, ": a second line for ",
                    entry.parsed.who, " never decides\n");
      continue;
    }
    ConfLine words({}, entry.line.text, entry.line.number);
    (void)words.next();
    std::string settings;
    for (auto word = words.next(); !word.empty(); word = words.next())
      settings += concat(" ", word);
    if (settings.empty())
      out += concat("# ", entry.line.file, ":", entry.line.number, ": ", entry.parsed.who,
                    " has a line without settings\n");
    else
      out += concat(entry.parsed.who, "  cgroup", settings, "\n");
  }
  return out;
}

}  // namespace

std::string net_wish_of(std::string_view line) {
  ConfLine words({}, line, 0);
  for (int i = 0; i < 2; ++i) (void)words.next();
  const auto bridge = words.next();
  std::string wish = concat(bridge, ":", words.next());
  for (auto word = words.next(); !word.empty(); word = words.next()) wish += concat(",", word);
  return wish;
}

Result<std::vector<DesiredLine>> read_desired(std::string_view path, std::string_view text) {
  std::vector<DesiredLine> all;
  std::map<std::pair<Kind, std::string>, std::size_t> seen;
  TRY(each_conf_line(path, text, kRule, [&](std::string_view who, ConfLine& line) -> Result<void> {
    const auto word = line.next();
    const auto kind = kind_of_word(word);
    if (!kind)
      return line.refuse(kRule, word,
                         concat(quoted(word), " is none of ids, net, cgroup: WHO comes first"));
    DesiredLine wish{.kind = *kind, .who = std::string(who), .words = {}, .first = {}};
    wish.number = line.number();
    if (auto rest = take_rest(line, wish); !rest) return rest;
    const auto [first, is_new] = seen.try_emplace({*kind, wish.who}, wish.number);
    if (!is_new)
      return line.refuse(kRule, who,
                         concat("line ", first->second, " is for the same: unite the two"));
    all.push_back(std::move(wish));
    return {};
  }));
  return all;
}

std::string to_desired(const WholePolicy& texts) {
  return concat("# Written by userns-policy export; userns-policy apply --from reads it.\n",
                ids_text(texts), net_text(texts.net), cgroup_text(texts.cgroup));
}

}  // namespace userns::frontend
