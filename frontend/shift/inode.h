// One inode: what it is, and changing it, by an fd that nothing can be put in the place of.
//
// Nothing here opens what it looks at: a device or a FIFO is never woken. Symlinks are inodes of
// their own. Source: open(2) O_PATH, statx(2), listxattrat(2) (Linux 6.13; before that
// /proc/self/fd), fchmodat2(2).
#pragma once

#include <cstdint>
#include <string>

#include "common/fd.h"
#include "frontend/shift/state.h"
#include "policy/error.h"

namespace userns::shift {

// `name` in the directory `at`, or with an empty name what `at` itself is (O_PATH is enough).
struct Spot {
  int at;
  const char* name;
};

struct Facts {
  InodeKey key;
  std::uint64_t born = 0;     // ns since the epoch, 0: not known
  std::int64_t modified = 0;  // ns since the epoch
  std::uint64_t mount = 0;    // mnt_id; 0 where the kernel does not say
  std::uint64_t links = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t mode = 0;
  bool device = false;  // not the whiteout of an overlay, which nobody can open
  bool fixed = false;   // immutable, or append-only: chattr(1)
};

// O_PATH, of the thing itself.
Result<Fd> hold(int directory, const char* name);
Result<Facts> look(Spot spot);

// Which of the attributes that hold ids are there.
struct Attributes {
  bool access_acl = false;
  bool default_acl = false;
  bool capability = false;
  [[nodiscard]] bool any() const { return access_acl || default_acl || capability; }
};
Result<Attributes> attributes(Spot spot, std::uint32_t mode);

// With an error that says why where an attribute cannot be read (EOVERFLOW: capabilities of a root
// who has no number here).
Result<InodeState> read_state(Spot spot, const Facts& facts, Attributes which);

// Makes what differs as it is in `target`. The owner goes first but for ACLs; what chown(2) took
// away comes last.
Result<void> make(Spot spot, const InodeState& now, const InodeState& target);

}  // namespace userns::shift
