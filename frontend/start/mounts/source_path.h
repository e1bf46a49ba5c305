// Places of the host's that a start shows inside: the sources of binds, root file systems, layers.
//
// A container may have written to the directories on the way in an earlier run. Where it could have
// made a symbolic link, following the link would show what it chose and not what the caller meant
// (CVE-2021-30465 is the race, this is the patient form). So such links are refused by name.
//
// Not covered: ids of the caller's own (--map-self). What they make looks as if the caller made it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/fd.h"
#include "frontend/start/ids/choose_ids.h"
#include "policy/error.h"
#include "policy/id_range.h"

namespace userns::frontend {

// The ids that a container of the caller's can have, but for the caller's own.
class ContainerIds {
 public:
  // What is delegated to the caller, and the ids of this start.
  static ContainerIds find(const ChosenIds& chosen);
  [[nodiscard]] bool has_uid(std::uint32_t uid) const;
  [[nodiscard]] bool has_gid(std::uint32_t gid) const;

 private:
  std::vector<IdRange> uids_;
  std::vector<IdRange> gids_;
  bool only_trusts_root_ = false;  // the host's root maps any id, or nobody said what is delegated
};

// `path` without symbolic links: what it leads to now, if every link on the way is one that no
// container can have made. Relative stays relative.
Result<std::string> plain_source(const std::string& path, const ChosenIds& chosen);

// Whether a result of plain_source() is a device node that the caller may have meant. Refuses one
// that a container can have moved there: in a directory of its own it can move nodes that the
// host's root has made.
Result<bool> is_device_of_callers(const std::string& path, const ChosenIds& chosen);

// Opens a result of plain_source() (O_PATH): a link that has come to be there since is not
// followed.
Result<Fd> open_plain_source(const std::string& path);

}  // namespace userns::frontend
