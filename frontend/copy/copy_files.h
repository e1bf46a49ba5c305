// userns-run cp: files from one place to another, by way of a tar that one process makes and
// another unpacks.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "frontend/copy/place.h"
#include "frontend/store/store.h"
#include "policy/error.h"

namespace userns::frontend {

struct CopyWish {
  CopyPlace from;
  CopyPlace to;
  // In a container, of what comes from the host; none: root. From a container or an archive the
  // owners come with the files.
  std::optional<std::pair<std::uint32_t, std::uint32_t>> owner;
};
struct Copied {
  std::uint64_t devices = 0;  // left out
};

// As cp -a has it: a directory that is there gets it under its own name, else it is made under the
// name that `to` says. A signal: EINTR.
Result<Copied> copy_files(const Store& store, const CopyWish& wish);

}  // namespace userns::frontend
