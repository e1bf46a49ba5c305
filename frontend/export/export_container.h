// userns-run export: a container's files and settings in one archive.
//
//   userns-export/settings   the config file, without what only this host and these ids mean
//   rootfs/...               the tree, with the owners inside
//
// tar(1) reads it, and create --tar takes its tree alone.
#pragma once

#include <cstdint>
#include <functional>

#include "common/fd.h"
#include "frontend/store/store.h"
#include "policy/error.h"

namespace userns::frontend {

struct ExportHow {
  bool compress = true;  // by zstd
  // Bytes of the tar so far; some ten times a second.
  std::function<void(std::uint64_t)> on_progress;
};

// The container is stopped, and stays so meanwhile. A signal: EINTR.
Result<void> export_container(const Container& container, const Fd& out, const ExportHow& how);

}  // namespace userns::frontend
