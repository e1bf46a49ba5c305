// A container's tree as a tar. By tar(1), as root of the container's ids.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "common/fd.h"
#include "frontend/start/ids/choose_ids.h"
#include "policy/error.h"

namespace userns::frontend {

// How a tree is to be packed: what is below one directory of it, by one name.
struct PackWhat {
  std::string name = ".";         // an entry of the directory, or the directory itself
  std::string below;              // names begin with this directory instead of "."; empty: with "."
  bool may_change = false;        // a container's that runs: tar says so, and it is not a failure
  bool as_callers_files = false;  // owned by root in the archive; user attributes only
  bool as_layer = false;          // of an image: a name that would be a whiteout there is refused
};

// The same words for any tree: runs tar in `top`, as who this process is. What is mounted below is
// left out.
Result<void> pack_with_tar(const Fd& top, const PackWhat& what, const Fd& out);

// `layers`: the topmost first, each shown with these ids. Owners are those inside. Written to
// `out`, a file of the caller's. A signal: EINTR.
Result<void> pack_tree(const ChosenIds& ids, std::span<const Fd> layers, const Fd& out);

}  // namespace userns::frontend
