// What users and groups are to have: the file of userns-policy apply, which export writes. Pure.
//
//   line   = who ( "ids" ( count [ "from" first ] | "none" )
//                | "net" ( bridge ":" count { "," key "=" value } { blanks ... } | "none" )
//                | "cgroup" ( key "=" value { blanks ... } | "none" ) ) ;
//   who    = login-name | decimal-uid | "@" group-name | "*" ;        (* ids: users alone *)
//
// A line says all that `who` is to have of that kind; a kind that no line speaks of stays as it is,
// and so does everybody whom no line names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/policy_tool/check/checks.h"
#include "policy/error.h"

namespace userns::frontend {

struct DesiredLine {
  enum class Kind : std::uint8_t { kIds, kNet, kCgroup } kind = Kind::kIds;
  std::string who;
  std::vector<std::string> words;      // bridges with their terms, or settings; none: nothing
  std::uint64_t ids = 0;               // 0: none
  std::optional<std::uint64_t> first;  // of the ids
  std::size_t number = 0;              // from 1
};

// Fails with PATH:LINE:COLUMN: and what is wrong (DS-LINE), also where two lines are for the same.
Result<std::vector<DesiredLine>> read_desired(std::string_view path, std::string_view text);

// The same from texts of the policy files. What has no counterpart there is a comment that says
// why.
// A line of net.conf as a word of it: "br0:2,mtu=1400".
std::string net_wish_of(std::string_view line);

struct WholePolicy {
  std::string_view subuid, subgid;
  PolicyTexts net, cgroup;
};
std::string to_desired(const WholePolicy& policy);

}  // namespace userns::frontend
