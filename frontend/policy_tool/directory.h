// Accounts that the name service has and does not list: a directory (SSSD, LDAP, winbind) answers
// for a name or an id, but getpwent(3) need not show it. They are found by what is known: names in
// policy files, ids.conf (userns-policy(8)), the owners of homes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "frontend/policy_tool/check/facts.h"
#include "frontend/policy_tool/check/ids_conf.h"
#include "policy/ids.h"

namespace userns::frontend {

struct Accounts {
  std::vector<Account> users;
  struct Group {
    Account account;
    bool has_listed = false;
  };
  std::vector<Group> groups;
};

// Sources of passwd: and group: in nsswitch.conf(5) text that may have accounts which they do not
// list: all but files, compat, db and systemd.
std::vector<std::string> quiet_sources(std::string_view nsswitch);

// Adds what is known and not listed. `ask`: whether the running system's name service is meant;
// else only homes count.
void add_unlisted(Accounts& accounts, const std::string& root, const IdsConf& conf, bool ask);

// Who has an id, by the name service.
std::optional<Account> ask_id(IdKind kind, std::uint32_t id);

}  // namespace userns::frontend
