// What the user database and the NSS source of subordinate ids say. This process reads the
// database's own files, passwd and group, if nsswitch.conf names them first. Everything else is
// asked in one child that has no privilege at all, by a program of its own (userns-names), so that
// no code of others is in a process that could raise any, or ever could.
//
// The child does nothing until it is asked, for which it waits 10 seconds at most. It is killed
// with its parent and with the last word to it, lives 10 seconds at most from the first one on,
// holds no fd but its end of a socket, and is not dumpable: it becomes the program only if users
// cannot read its file. What it says is text, in the form of
// the files, and counts as NSS's word. Source: nss(5), nsswitch.conf(5), unix(7).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/fd.h"
#include "policy/error.h"
#include "policy/ids.h"
#include "policy/names.h"

namespace userns {

class Asker {
 public:
  // Reads the files, and forks the child, which will become `uid` for good, unless the files alone
  // answer all. Before a lock-down, and before anything is opened that the child shall not have
  // even for a moment. Of what is read only nsswitch.conf is interpreted before the lock.
  enum class Asks : bool { kUsers, kUsersAndGroups };
  static Result<Asker> start(Uid uid, Asks asks);

  struct Login {
    // Empty: the uid has none, or one of digits alone, which policy takes for uids.
    std::string name;
    std::optional<Gid> group;  // the login's primary one; none if the uid has no name
  };
  // All fail with SU-NAME if the database gave no usable answer in time.
  [[nodiscard]] Result<Login> login(Uid uid) const;
  // No value: there is no such group or user.
  [[nodiscard]] Result<std::optional<std::uint32_t>> group(std::string_view name) const;
  [[nodiscard]] Result<std::optional<std::uint32_t>> user(std::string_view name) const;
  // "files", or the module that nsswitch.conf names for subordinate ids. SU-READ, TF-*.
  [[nodiscard]] Result<std::string> subid_source() const;
  // Lines of subuid(5) for `owner` from libsubid, whose module must be `module` (SU-NSS).
  [[nodiscard]] Result<std::string> subids(IdKind kind, std::string_view module,
                                           std::string_view owner) const;
  // Ends the child and leaves no zombie: where this process becomes the caller's command. SU-NAME
  // if it does not end: its user may have stopped it, and could have us wait for ever.
  Result<void> end();

 private:
  // A file of the database. What cannot be read or trusted, or is not asked first, has no text.
  struct Database {
    std::optional<std::string> text;
    bool is_alone = false;  // nobody else is asked
  };
  static Database read(const char* path, std::string_view nsswitch, std::string_view key);
  // The user with the uid (kind 'u') or name ('n') `key`, or the group of that name ('g').
  [[nodiscard]] Result<std::optional<NameEntry>> entry(const Database& file, std::size_t fields,
                                                       char kind, std::string_view key,
                                                       std::string_view about) const;
  // `about`: for the message.
  [[nodiscard]] Result<std::string> ask(const std::string& question, std::string_view about) const;

  Result<std::string> nsswitch_;
  Database passwd_, group_;
  mutable Result<std::string> answer_;  // the last one, which an entry views
  // None once an answer did not come: it could come yet, and be taken for that to the next
  // question.
  mutable Fd socket_;
  pid_t child_ = -1;
};

}  // namespace userns
