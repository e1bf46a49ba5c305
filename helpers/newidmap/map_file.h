// The privileged act: opening a process's map file and writing it once.
#pragma once

#include "common/capability.h"
#include "common/process.h"
#include "helpers/newidmap/traits.h"
#include "policy/idmap_rules.h"

namespace userns::newidmap {

// The open map of one process. The kernel judges a write by the capabilities of whoever opened the
// file *and* of whoever writes it, and pins the user namespace at open.
class MapFile {
 public:
  // The traits' capability, and CAP_SETFCAP where outside id 0 may be mapped: for root.
  static CapSet needs(const Traits& traits, bool by_root);
  // Opens it with what it needs effective, as the
  // caller's uid: so the kernel itself checks that the caller owns the namespace.
  static Result<MapFile> open(const Traits& traits, const Process& process, bool by_root);

  // Writes the granted map, all of it or nothing; for gids that were not delegated denies
  // setgroups(2) first (IM-SETGROUPS), which cannot be taken back.
  Result<void> write(const Traits& traits, const MapGrant& grant) const;

 private:
  MapFile(Fd file, Result<Fd> setgroups)
      : file_(std::move(file)), setgroups_(std::move(setgroups)) {}
  Fd file_;
  Result<Fd> setgroups_;  // open for gid maps: no file can be opened any more when it is written
};

}  // namespace userns::newidmap
