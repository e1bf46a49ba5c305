// Who is given something, and which lines are for them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/policy_tool/check/facts.h"
#include "policy/error.h"
#include "policy/ids.h"

namespace userns::frontend {

// Who is given something.
struct Owner {
  std::vector<std::string> forms;  // as lines name them; the first is how a new one does
  bool is_user = true;             // not a group or everyone
  bool is_gone = false;            // no such user or group, or no more
  std::optional<Account> account;  // of a user
};

// By the word of a command line or a file. `for_ids`: users alone can have them. `grants`: who is
// no more is refused; else they may still have lines, which can be taken away.
Result<Owner> find_owner(const std::string& word, bool for_ids, bool grants);

// Whether a line that says `who` is for the owner, as the helpers see it.
class Membership {
 public:
  explicit Membership(const Owner& owner);
  [[nodiscard]] bool is_for_owner(std::string_view who) const;

 private:
  const Owner& owner_;
  std::vector<Gid> groups_;
};

}  // namespace userns::frontend
