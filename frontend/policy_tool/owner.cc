#include "frontend/policy_tool/owner.h"

#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "frontend/policy_tool/tool.h"
#include "frontend/spec/user_database.h"
#include "policy/text.h"
#include "policy/try.h"
#include "policy/who.h"

namespace userns::frontend {
namespace {

// Who is no more may still have lines, which can be taken away.
Result<Owner> find_gone(const std::string& word, std::string_view what, std::string_view name,
                        bool grants) {
  if (!grants) return Owner{{word}, !word.starts_with('@'), true};
  return fail({}, concat("there is no ", what, " ", quoted(name),
                         ": nothing is granted to a name that somebody may get later"));
}

std::vector<Gid> groups_of(const Account& account) {
  int count = 64;
  std::vector<gid_t> raw(static_cast<std::size_t>(count));
  while (::getgrouplist(account.name.c_str(), account.group, raw.data(), &count) < 0)
    raw.resize(static_cast<std::size_t>(count));
  raw.resize(static_cast<std::size_t>(count));
  std::vector<Gid> groups;
  for (const auto gid : raw) groups.emplace_back(gid);
  return groups;
}

}  // namespace

Result<Owner> find_owner(const std::string& word, bool for_ids, bool grants) {
  if (word == "*" || word.starts_with('@')) {
    if (for_ids)
      return fail({}, concat(quoted(word), ": ids are given to users, one by one: name a user"));
    if (word.find_first_of(" \t#=\n") != std::string::npos || word == "@")
      return fail({}, concat(quoted(word), " is not a group that a line can name"));
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
  const auto name = TRY(login_name(uid));
  // A name that lines would take for something else is left out.
  Owner owner{{concat(uid.value())}, true, false, Account{name, uid.value(), entry->pw_gid}};
  if (!name.empty() && name.find_first_of(" \t#=\n") == std::string::npos)
    owner.forms.insert(owner.forms.begin(), name);
  return owner;
}

Membership::Membership(const Owner& owner) : owner_(owner) {
  if (owner.account) groups_ = groups_of(*owner.account);
}

bool Membership::is_for_owner(std::string_view who) const {
  if (!owner_.account) return contains(owner_.forms, who);
  const auto in_group = [&](std::string_view name) {
    const auto gid = group_id(name).value_or(std::nullopt);
    return gid && contains(groups_, *gid);
  };
  return is_for(who, Uid{owner_.account->id}, owner_.account->name, in_group);
}

}  // namespace userns::frontend
