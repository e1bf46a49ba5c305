// What a shift changes of one inode, and what it makes of it. Pure.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "frontend/shift/blobs.h"
#include "frontend/shift/id_shift.h"
#include "policy/error.h"

namespace userns::shift {

struct InodeKey {
  std::uint64_t dev = 0;
  std::uint64_t ino = 0;
  friend auto operator<=>(const InodeKey&, const InodeKey&) = default;
};

// A directory as it was before its names were read.
struct Seen {
  InodeKey key;
  std::int64_t modified = 0;  // ns since the epoch
  friend bool operator==(const Seen&, const Seen&) = default;
};

struct InodeState {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t mode = 0;  // st_mode
  // Blobs of getxattr(2); empty: none.
  std::string access_acl;
  std::string default_acl;
  std::string capability;
  friend bool operator==(const InodeState&, const InodeState&) = default;

  [[nodiscard]] bool same_owner(const InodeState& other) const {
    return uid == other.uid && gid == other.gid;
  }
  // chown(2) takes it away: the setuid and setgid bits, and file capabilities.
  [[nodiscard]] bool is_fragile() const;
};

struct Shifted {
  InodeState state;
  Tally tally;
};
// Fails where a blob makes no sense.
Result<Shifted> shifted(const InodeState& state, const Shift& shift);

}  // namespace userns::shift
