// The text of a shift's undo log. Pure; what is read back may be cut anywhere by a crash.
//
//   log    = "userns-shift 1" end head { old | done } ;
//   head   = "self" uid gid end "cross" ( "yes" | "no" ) end { map } "root" key end "count" decimal
//   end ; map    = "map" ( "u" | "g" ) from to count end ; old    = "old" key uid gid mode blob
//   blob blob end ;      (* access ACL, default ACL, capabilities *) done   = "done" dev ino end ;
//   key    = dev ino born ;                                   (* born: ns since the epoch, 0: not
//   known *) blob   = "-" | hex { hex } ; end    = "#" 8 hex "\n" ; (* CRC-32 of the line before
//   the "#" *)
//
// Words are separated by one blank; numbers are decimals. `count` is how many `old` lines come
// first: those of the survey, without which the log was never complete. See session.h for what the
// lines mean.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "frontend/shift/state.h"
#include "policy/error.h"

namespace userns::shift {

struct OldState {
  std::uint64_t born = 0;  // tells an inode from a later one of the same number
  InodeState state;
  bool done = false;
};

struct LogHead {
  std::uint32_t own_uid = 0;  // of whom 0 stands for: the caller's own in a namespace; 0 for root
  std::uint32_t own_gid = 0;
  bool cross_mounts = false;
  Shift shift;  // in the host's numbers
  InodeKey root;
  std::uint64_t root_born = 0;
};

struct LogContent {
  LogHead head;
  std::map<InodeKey, OldState> old;  // a later line replaces an earlier one
  std::size_t sound_bytes = 0;  // up to the first line that a crash cut; the rest is worth nothing
};

// Fails where the head or the survey is not whole or not ours; a bad line after that ends the log.
Result<LogContent> parse_log(std::string_view text);

std::string print_head(const LogHead& head, std::uint64_t surveyed);
std::string print_old(const InodeKey& key, const OldState& old);
std::string print_done(const InodeKey& key);

}  // namespace userns::shift
