// What an administrator says about the ids of a directory (SSSD, LDAP, winbind): ids.conf
// (userns-policy(8)). Only userns-policy reads it; no helper does. Pure.
//
//   line  = ( "ranges" "=" range { range } ) | ( "user_names" "=" login-name { login-name } ) ;
//   range = first "-" last ;                              (* decimal ids, the last included *)
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "frontend/policy_tool/check/finding.h"
#include "policy/id_range.h"

namespace userns::frontend {

struct IdsConf {
  std::vector<IdRange> ranges;          // of its uids and gids
  std::vector<std::string> user_names;  // accounts that it does not list
};

// A malformed line is an error in `found`, with its place (IC-LINE).
IdsConf read_ids_conf(std::string_view path, std::string_view text, std::vector<Finding>& found);

}  // namespace userns::frontend
