#include "frontend/policy_tool/verbs/answer.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/policy_files.h"
#include "common/report.h"
#include "frontend/spec/user_database.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

nlohmann::ordered_json json_of_lines(std::span<const SourceLine> lines) {
  auto all = nlohmann::ordered_json::array();
  for (const auto& line : lines) all.push_back(json_of(line));
  return all;
}

}  // namespace

const Result<std::optional<Gid>>& group_id_once(std::string_view name) {
  static std::map<std::string, Result<std::optional<Gid>>, std::less<>> known;
  const auto found = known.find(name);
  if (found != known.end()) return found->second;
  return known.emplace(name, group_id(name)).first->second;
}

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
  auto name = TRY(login_name(user.uid));
  user.name = std::move(name);
  return user;
}

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

Result<std::vector<PolicyText>> read_as_helpers_do(PolicyFile kind) {
  const auto rule = kind == PolicyFile::kNet ? "NC-READ" : "CC-READ";
  auto texts = TRY(PolicyFiles::read(installed_path(kind), rule));
  std::vector<PolicyText> all;
  for (auto& [path, text, is_secret] : texts)
    all.push_back({kind, std::move(path), std::move(text)});
  return all;
}

void Answer::refuse(std::string_view what, const Error& error) {
  auto& item = say(what, concat("refused: ", to_text(error)));
  item.allowed = false;
  item.rule = error.rule;
  item.reason = to_text(error);
  allowed = false;
}

Item& Answer::say(std::string_view what, std::string_view sentence) {
  text += concat(what, ": ", sentence, "\n");
  items.push_back({.what = std::string(what), .allowed = true});
  return items.back();
}

void Answer::line(const TextLine& line, std::string_view note) {
  text += concat("  ", line.file, ":", line.number, ": ", line.text, note.empty() ? "" : "   -- ",
                 note, "\n");
  items.back().lines.push_back({std::string(line.file), line.number, std::string(line.text)});
}

void Answer::malformed(std::string_view how, std::vector<Finding> findings, std::uint64_t named,
                       std::string_view file) {
  constexpr std::size_t kMost = 5;
  for (const auto& finding : findings)
    items.back().malformed.push_back({finding.file, finding.line, finding.what});
  std::erase_if(findings, [&](const Finding& f) {
    return f.line == named && (file.empty() || f.file == file);
  });
  for (const auto& finding : std::span(findings).first(std::min(findings.size(), kMost)))
    text += concat("  ", finding.file, ":", finding.line, ": ", how, ": ", finding.what, "\n");
  if (findings.size() > kMost)
    text +=
        concat("  and ", findings.size() - kMost, " more: userns-policy check names all of them\n");
}

void Answer::malformed(std::vector<Finding> findings) {
  // The others of that number are in other files.
  const auto first = findings.empty() ? 0 : findings.front().line;
  const auto file = findings.empty() ? std::string{} : findings.front().file;
  malformed("malformed, too", std::move(findings), first, file);
}

nlohmann::ordered_json json_of(const SourceLine& line) {
  return {{"file", line.file}, {"line", line.number}, {"text", line.text}};
}

nlohmann::ordered_json json_of(IdRange range) {
  return {{"first", range.first()}, {"count", range.count()}};
}

nlohmann::ordered_json json_of(const Item& item) {
  nlohmann::ordered_json one{{"what", item.what}};
  one["allowed"] = item.allowed ? nlohmann::ordered_json(*item.allowed) : nlohmann::ordered_json();
  if (!item.rule.empty()) one["rule"] = item.rule;
  if (!item.reason.empty()) one["reason"] = item.reason;
  if (item.most) one["most"] = *item.most;
  if (item.used) one["used"] = *item.used;
  for (const auto range : item.ranges) one["ranges"].push_back(json_of(range));
  for (const auto& limit : item.limits) {
    nlohmann::ordered_json as_json{{"file", limit.file}, {"value", limit.text}};
    if (!limit.used.empty()) as_json["used"] = limit.used;
    if (!limit.controller.empty()) as_json["v1"] = limit.controller;
    one["limits"].push_back(std::move(as_json));
  }
  one["lines"] = json_of_lines(item.lines);
  if (!item.malformed.empty()) one["malformed"] = json_of_lines(item.malformed);
  return one;
}

std::string dumped(const nlohmann::ordered_json& json) {
  return json.dump(2, ' ', true, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace userns::frontend
