#include "frontend/start/ids/inside_names.h"

#include <array>

#include "policy/ids.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kMostGroups = 256;

std::optional<std::uint32_t> id_of(std::string_view text) {
  const auto number = parse_decimal(text);
  if (!number || *number > kLargestId) return std::nullopt;
  return static_cast<std::uint32_t>(*number);
}

struct PasswdEntry {
  std::string_view name;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::string_view home;
  std::string_view shell;
};

std::optional<PasswdEntry> find_user(std::string_view passwd, std::string_view user) {
  const auto wanted = id_of(user);
  while (!passwd.empty()) {
    auto line = take_until(passwd, '\n');
    const auto name = take_until(line, ':');
    take_until(line, ':');
    const auto uid = id_of(take_until(line, ':'));
    const auto gid = id_of(take_until(line, ':'));
    if (uid && gid && !name.empty() && (wanted ? *uid == *wanted : name == user)) {
      (void)take_until(line, ':');
      const auto home = take_until(line, ':');
      return PasswdEntry{.name = name, .uid = *uid, .gid = *gid, .home = home, .shell = line};
    }
  }
  return std::nullopt;
}

bool lists(std::string_view members, std::string_view name) {
  while (!members.empty())
    if (take_until(members, ',') == name) return true;
  return false;
}

std::optional<std::uint32_t> find_group(std::string_view file, std::string_view group) {
  if (const auto number = id_of(group)) return number;
  while (!file.empty()) {
    auto line = take_until(file, '\n');
    const auto name = take_until(line, ':');
    take_until(line, ':');
    const auto gid = id_of(take_until(line, ':'));
    if (gid && name == group && !name.empty()) return gid;
  }
  return std::nullopt;
}

std::vector<std::uint32_t> groups_of(std::string_view file, std::string_view name) {
  std::vector<std::uint32_t> groups;
  while (!file.empty() && groups.size() < kMostGroups) {
    auto line = take_until(file, '\n');
    take_until(line, ':');
    take_until(line, ':');
    const auto gid = id_of(take_until(line, ':'));
    if (gid && lists(line, name)) groups.push_back(*gid);
  }
  return groups;
}

}  // namespace

std::optional<InsideIds> inside_ids(std::string_view passwd, std::string_view group_file,
                                    std::string_view user, std::string_view group) {
  const auto entry = find_user(passwd, user);
  const auto number = id_of(user);
  if (!entry && !number) return std::nullopt;
  InsideIds ids{.uid = entry ? entry->uid : *number, .gid = entry ? entry->gid : 0};
  // Root in most systems is listed in many groups to no effect; who is named by a group is in it.
  if (entry && group.empty()) ids.groups = groups_of(group_file, entry->name);
  if (group.empty()) return ids;
  const auto gid = find_group(group_file, group);
  if (!gid) return std::nullopt;
  ids.gid = *gid;
  return ids;
}

InsideLogin inside_login(std::string_view passwd, std::string_view user) {
  InsideLogin login;
  const auto entry = find_user(passwd, user);
  if (entry && entry->home.starts_with('/')) login.home = entry->home;
  if (entry && entry->shell.starts_with('/')) login.shell = entry->shell;
  return login;
}

}  // namespace userns::frontend
