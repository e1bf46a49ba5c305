#include "frontend/policy_tool/check/checks.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "frontend/spec/shell_words.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

std::string_view kWhyWhole =
    "one malformed line invalidates all files of this policy; nothing is granted until it is fixed";

// The words of a line with one blank between them, without its comment.
std::string essence(std::string_view line) {
  std::string out;
  for (auto rest = line.substr(0, line.find('#')); !rest.empty();) {
    const auto at = std::min(rest.find_first_of(" \t"), rest.size());
    if (at > 0) out += concat(out.empty() ? "" : " ", rest.substr(0, at));
    rest.remove_prefix(std::min(at + 1, rest.size()));
  }
  return out;
}

// What takes the line away of a user or group that is no more.
std::string revoke_command(PolicyFile kind, const TextLine& line, std::string_view who) {
  std::vector<std::string> words{"userns-policy", "revoke", std::string(who)};
  if (kind == PolicyFile::kNet) {
    const auto plain = essence(line.text);
    std::string_view rest = plain;
    for (int i = 0; i < 2; ++i) (void)take_until(rest, ' ');
    words.insert(words.end(), {"--net", std::string(take_until(rest, ' '))});
  } else {
    words.insert(words.end(), {kind == PolicyFile::kCgroup ? "--cgroup" : "--ids", "all"});
  }
  return join_words(words);
}

void check_ends(const PolicyText& file, std::vector<Finding>& found) {
  if (file.text.empty() || file.text.ends_with('\n')) return;
  const auto last = lines_of(file.text, file.path).back();
  auto& f = found.emplace_back(
      finding_at(Severity::kWarning, "no-final-newline", last, last.text.substr(last.text.size())));
  f.what = "the last line has no newline";
  f.why = "a program that appends a line would join it to this one, and both would be lost";
  f.fix = "end the line";
}

}  // namespace

std::optional<PolicyFile> kind_of(std::string_view file_name) {
  const auto name = file_name.substr(file_name.find_last_of('/') + 1);
  if (name == "subuid") return PolicyFile::kSubuid;
  if (name == "subgid") return PolicyFile::kSubgid;
  if (name == "net.conf" || name == "lxc-usernet") return PolicyFile::kNet;
  if (name == "cgroup.conf") return PolicyFile::kCgroup;
  const auto directory = file_name.substr(0, file_name.size() - name.size());
  for (const auto& [of, kind] : {std::pair{"net.conf.d/", PolicyFile::kNet},
                                 std::pair{"cgroup.conf.d/", PolicyFile::kCgroup}})
    if (directory == of || directory.ends_with(concat("/", std::string_view(of)))) return kind;
  return std::nullopt;
}

Finding from_parser(const TextLine& line, const Error& error, std::string_view why) {
  std::string_view text = error.text;
  (void)take_until(text, ':');
  (void)take_until(text, ':');
  const auto column = std::clamp<std::uint64_t>(parse_decimal(take_until(text, ':')).value_or(1), 1,
                                                line.text.size() + 1);
  const auto rest = line.text.substr(static_cast<std::size_t>(column - 1));
  const bool is_crlf = line.text.ends_with('\r') && rest == "\r";
  auto finding = finding_at(
      Severity::kError, is_crlf ? "crlf" : "malformed", line,
      rest.substr(0, std::max<std::size_t>(1, std::min(rest.find_first_of(" \t"), rest.size()))));
  finding.what =
      is_crlf ? "the line ends as in DOS, with a carriage return"
              : concat(text.substr(std::min<std::size_t>(1, text.size())), " (", error.rule, ")");
  finding.why = why.empty() ? kWhyWhole : why;
  if (is_crlf)
    finding.fix = concat("take the carriage returns away: sed -i 's/\\r$//' ", line.file);
  return finding;
}

void Reporter::say(Severity severity, std::string_view id, const TextLine& line,
                   std::string_view part, std::string what, std::string why,
                   std::string fix) const {
  auto& f = found.emplace_back(finding_at(severity, id, line, part));
  f.what = std::move(what);
  f.why = std::move(why);
  f.fix = std::move(fix);
}

void check_who(PolicyFile kind, const TextLine& line, std::string_view who, const HostFacts& facts,
               std::vector<Finding>& found) {
  const auto say = [&](std::string_view id, std::string what, std::string why, std::string fix) {
    Reporter{found}.say(Severity::kWarning, id, line, who, std::move(what), std::move(why),
                        std::move(fix));
  };
  if (who == "*") return;
  if (who.starts_with('@')) {
    const auto group = facts.group_by_name(who.substr(1));
    if (!group)
      say("group-missing", concat("there is no group ", quoted(who.substr(1))),
          "the line is for nobody",
          concat("make the group, correct its name, or ", revoke_command(kind, line, who)));
    else if (!group->has_members)
      say("group-empty", concat("the group ", quoted(who.substr(1)), " has no members"),
          "the line is for nobody", concat("usermod --append --groups ", who.substr(1), " USER"));
    return;
  }
  const auto uid = parse_decimal(who);
  if (uid && *uid > kLargestId)
    say("unknown-owner", concat(who, " is not a uid: the largest is ", kLargestId),
        "the line is for nobody", "correct it");
  else if (uid ? !facts.user_by_uid(static_cast<std::uint32_t>(*uid)) : !facts.user_by_name(who))
    say("unknown-owner", concat("there is no user ", uid ? concat("with uid ", who) : quoted(who)),
        uid ? "the next user with this uid gets what the line gives"
            : "the next user with this name gets what the line gives",
        concat(revoke_command(kind, line, who), ", or correct who it is for"));
}

void check_duplicates(PolicyFile kind, const std::vector<TextLine>& lines,
                      std::vector<Finding>& found) {
  std::map<std::string, TextLine> seen;
  for (const auto& line : lines) {
    const auto [first, is_new] = seen.try_emplace(essence(line.text), line);
    if (is_new) continue;
    auto& f = found.emplace_back(finding_at(Severity::kWarning, "duplicate", line, line.text));
    f.what = concat("the same as ", place_seen_from(first->second, line));
    f.why = kind == PolicyFile::kNet
                ? "counts of lines add up: together they grant more than either says"
                : "only one of them can be meant; who takes one away believes it is gone";
    f.fix = "remove one of them";
  }
}

std::vector<Finding> check(PolicyTexts files, const HostFacts& facts, const PolicyText* other) {
  std::vector<Finding> found;
  switch (files.front().kind) {
    case PolicyFile::kSubuid:
    case PolicyFile::kSubgid:
      check_subid(files.front(), facts, other, found);
      break;
    case PolicyFile::kNet:
      check_net(files, facts, found);
      break;
    case PolicyFile::kCgroup:
      check_cgroup(files, facts, found);
      break;
  }
  for (const auto& file : files) check_ends(file, found);
  std::map<std::string_view, std::size_t> order;
  for (const auto& file : files) order.emplace(file.path, order.size());
  std::ranges::sort(found, {}, [&](const Finding& f) {
    return std::tuple(order[f.file], f.line, f.column, f.severity != Severity::kError, f.id);
  });
  return found;
}

std::vector<Finding> check(const PolicyText& file, const HostFacts& facts,
                           const PolicyText* other) {
  return check(PolicyTexts(&file, 1), facts, other);
}

Result<void> parse(PolicyTexts files) {
  std::vector<NetLine> nets;
  CgroupConf cgroups;
  for (const auto& [kind, path, text] : files) {
    auto added = kind == PolicyFile::kNet      ? add_net_conf(nets, path, text)
                 : kind == PolicyFile::kCgroup ? add_cgroup_conf(cgroups, text, path)
                                               : Result<void>{};
    if (!added) return added;
  }
  return {};
}

}  // namespace userns::frontend
