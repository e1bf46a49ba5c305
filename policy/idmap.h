// A uid_map or gid_map as requested on a command line: bounded, well-formed, without overlaps.
//
// An IdMap that exists is one that the kernel accepts as text; whether the caller may have it is
// idmap_rules.h's question. Source: user_namespaces(7), "User and group ID mappings".
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "policy/error.h"
#include "policy/id_range.h"

namespace userns {

// The kernel's limits on one map (UID_GID_MAP_MAX_EXTENTS; a write must be shorter than a page).
inline constexpr std::size_t kMaxExtents = 340;
inline constexpr std::size_t kMaxMapBytes = 4095;

class IdMap {
 public:
  // Words are the triples INSIDE OUTSIDE COUNT, one after the other. Rules: IM-ARGS (at least one
  // whole triple), IM-NUMBER (strict decimals), IM-BOUNDS (ranges within the id space), IM-EXTENTS
  // (the kernel's size limits), IM-OVERLAP (no id mapped twice on either side).
  static Result<IdMap> parse(std::span<const std::string_view> words);
  // The same rules for extents that a program made itself.
  static Result<IdMap> from_extents(std::vector<Extent> extents);

  [[nodiscard]] std::span<const Extent> extents() const { return extents_; }
  // What is written to /proc/PID/uid_map: a line per extent, at most kMaxMapBytes.
  [[nodiscard]] std::string kernel_text() const;
  // The first extent with outside id 0, or nullptr.
  [[nodiscard]] const Extent* outside_root() const;

 private:
  explicit IdMap(std::vector<Extent> extents) : extents_(std::move(extents)) {}
  std::vector<Extent> extents_;
};

// "[100000-165536)", as all our messages write ranges: first included, end not.
std::string to_text(IdRange range);
// "[0-65536) -> [100000-165536)"
std::string to_text(Extent extent);

}  // namespace userns
