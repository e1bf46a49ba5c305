#include "frontend/policy_tool/report/people.h"

#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <span>

#include "policy/text.h"

namespace userns::frontend {

People::People() {
  ::setpwent();
  while (const passwd* const entry = ::getpwent()) {
    by_name_.emplace(entry->pw_name, listed_.size());
    by_uid_[entry->pw_uid].push_back(listed_.size());
    listed_.push_back({entry->pw_name, entry->pw_uid, entry->pw_gid});
  }
  ::endpwent();
}

void People::add_account(const std::string& name, std::uint32_t uid, std::uint32_t gid) {
  auto& person = people_[uid];
  if (!contains(person.names, name)) person.names.push_back(name);
  if (person.names.size() > 1) return;
  person.user.uid = Uid{uid};
  person.user.gid = Gid{gid};
  // One of digits alone is taken for a uid.
  if (!parse_decimal(name)) person.user.name = name;
}

void People::add_uid(std::uint32_t uid) {
  if (people_.contains(uid)) return;
  const auto found = by_uid_.find(uid);
  if (found != by_uid_.end()) {
    for (const auto index : found->second)
      add_account(listed_[index].name, uid, listed_[index].group);
    return;
  }
  if (const passwd* const entry = ::getpwuid(uid))
    return add_account(entry->pw_name, uid, entry->pw_gid);
  people_[uid].user.uid = Uid{uid};  // without an account: lines with the number are for it
}

void People::add_owner(std::string_view owner) {
  const std::string name(owner);
  if (const auto found = by_name_.find(name); found != by_name_.end())
    return add_uid(listed_[found->second].id);
  if (const auto number = parse_decimal(owner); number && *number <= kLargestId)
    return add_uid(static_cast<std::uint32_t>(*number));
  if (gone_.contains(name)) return;
  if (const passwd* const entry = ::getpwnam(name.c_str()))
    return add_account(entry->pw_name, entry->pw_uid, entry->pw_gid);
  gone_.insert(name);
}

void People::add_group(std::string_view name) {
  if (groups_.contains(name)) return;
  const auto* const entry = ::getgrnam(std::string(name).c_str());
  if (entry == nullptr) return;
  auto& group = groups_[std::string(name)];
  group.gid = entry->gr_gid;
  for (char** member = entry->gr_mem; member != nullptr && *member != nullptr; ++member)
    group.members.insert(*member);
  for (const auto& account : listed_)
    if (account.group == group.gid) group.members.insert(account.name);
  for (const auto& member : group.members) add_owner(member);
}

void People::add_who(std::string_view who) {
  if (who == "*") return;
  if (who.starts_with('@')) return add_group(who.substr(1));
  add_owner(who);
}

void People::set_groups(Person& person) const {
  for (const auto& [name, group] : groups_) {
    const auto is_member = [&](const std::string& login) { return group.members.contains(login); };
    if (group.gid != person.user.gid.value() && std::ranges::none_of(person.names, is_member))
      continue;
    person.user.groups.emplace_back(group.gid);
    person.user.group_names += concat(person.user.group_names.empty() ? "" : " ", name);
  }
}

std::vector<Person> People::all() const {
  std::vector<Person> all;
  for (const auto& [uid, person] : people_) {
    all.push_back(person);
    // A uid without an account is in no group.
    if (!person.names.empty()) set_groups(all.back());
  }
  for (const auto& name : gone_)
    all.push_back({.user = {.name = name}, .names = {name}, .is_gone = true});
  return all;
}

}  // namespace userns::frontend
