// Policy files as they are and as they shall be: worked out and judged first, then all written or
// none. What verbs that change them share.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "frontend/policy_tool/check/checks.h"
#include "frontend/policy_tool/check/facts.h"
#include "frontend/policy_tool/check/subid_change.h"
#include "frontend/policy_tool/owner.h"
#include "frontend/policy_tool/replace.h"
#include "policy/error.h"

namespace userns::frontend {

// A policy file as it is, and as it shall be.
struct Proposal {
  PolicyFile kind;
  std::string path;  // as installed; that of the file itself, behind links, is before.path
  Snapshot before;
  std::string after;
};

bool is_subid(PolicyFile kind);
// By their installed paths, with the files of their directories.
Result<std::vector<Proposal>> read_files(std::span<const PolicyFile> kinds);
// The proposed texts of one kind, and their way back.
std::vector<PolicyText> texts_of(std::span<const Proposal> all, PolicyFile kind);
void put_texts(std::span<Proposal> all, std::span<const PolicyText> texts);
// Under the locks. Fails and puts back what was written before.
Result<void> write_files(std::span<const Proposal> all);

// --- refusals that are about no single line -----------------------------------------------------
// Ids come from files here.
Result<void> check_source();
// login.defs and ids.conf say nothing that is not understood.
Result<void> check_login_defs(const HostFacts& facts);
// A note on accounts that a grant of ids could not see; empty where it saw all.
std::string what_is_not_known(const HostFacts& facts);
// No process still has these ids: they must not come to somebody else.
Result<void> check_unused(const SubidSide& side, std::span<const IdRange> ranges,
                          const Owner& owner);
// After a grant the line of the owner's own is the one that decides.
Result<void> check_cgroup_decides(PolicyTexts files, const Owner& owner);
// "/etc/userns/net.conf:3 ('alice veth br0 1')"
std::string place_of_line(const TextLine& line);

}  // namespace userns::frontend
