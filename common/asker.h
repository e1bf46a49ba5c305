// What the user database and the NSS source of subordinate ids say: asked in one child that has no
// privilege at all, so that no code of theirs runs in a process that could raise any.
//
// The child is killed with its parent, lives 10 seconds at most, holds no fd but its end of a
// socket, and is not dumpable. What it says is text and counts as NSS's word. Source: nss(5),
// unix(7), prctl(2).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/fd.h"
#include "policy/error.h"
#include "policy/ids.h"

namespace userns {

class Asker {
 public:
  // Forks the child, which becomes `uid` for good. Before a lock-down, and before anything is
  // opened that the child shall not have even for a moment.
  static Result<Asker> start(Uid uid);

  struct Login {
    std::string
        name;  // empty: the uid has none, or one of digits alone, which policy takes for uids
    std::optional<Gid> group;  // the login's primary one; none where the uid has no name
  };
  // All fail with SU-NAME where the database gave no usable answer in time.
  [[nodiscard]] Result<Login> login() const;
  // No value: there is no such group or user.
  [[nodiscard]] Result<std::optional<std::uint32_t>> group(std::string_view name) const;
  [[nodiscard]] Result<std::optional<std::uint32_t>> user(std::string_view name) const;
  // GRANT_AUX_GROUP_SUBIDS of login.defs(5).
  [[nodiscard]] Result<bool> grants_to_other_groups() const;
  // Lines of subuid(5) for `owner` from libsubid, whose module must be `module` (SU-NSS).
  [[nodiscard]] Result<std::string> subids(IdKind kind, std::string_view module,
                                           std::string_view owner) const;
  // Ends the child and leaves no zombie: where this process becomes the caller's command. SU-NAME
  // where it does not end: its user may have stopped it, and could have us wait for ever.
  Result<void> end();

 private:
  Asker(Fd socket, pid_t child) : socket_(std::move(socket)), child_(child) {}
  // `about`: for the message.
  [[nodiscard]] Result<std::string> ask(const std::string& question, std::string_view about) const;
  [[nodiscard]] Result<std::optional<std::uint32_t>> number(const std::string& question,
                                                            std::string_view about) const;
  // None once an answer did not come: it could come yet, and be taken for that to the next
  // question.
  mutable Fd socket_;
  pid_t child_;
};

}  // namespace userns
