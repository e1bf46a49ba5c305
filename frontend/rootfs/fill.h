// Makes a root file system out of something: what `create` calls. From outside, as the caller; the
// work is done in a map of its own (in_map()) as root of the container's ids.
//
// `target` is an empty directory of the caller's, open for reading. On a failure (or a signal:
// EINTR) what was made so far is still there, and remove_tree() removes it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "common/fd.h"
#include "frontend/rootfs/archive/image_config.h"
#include "frontend/rootfs/template_debian.h"
#include "frontend/rootfs/unpack.h"
#include "frontend/start/ids/choose_ids.h"
#include "policy/error.h"

namespace userns::frontend {

struct FillHow {
  std::optional<std::uint64_t>
      max_bytes;  // --max-size; none: half of what is free (default_limits())
  // Whether a plain archive may have its root file system one level down (root_place.h), and
  // whether it must hold one.
  bool looks_for_root = false;
  bool wants_root = false;
  bool is_export = false;  // one of userns-run export: Filled::settings are needed
  std::optional<std::chrono::seconds> max_cpu;  // --max-cpu; none: as CpuBudget has it
  std::function<void(const UnpackCounts&)> on_progress;
  std::function<void(std::string_view)>
      on_stage;  // what a template does before there is anything to unpack
};
struct Filled {
  UnpackCounts counts;
  ImageConfig image;       // of an image; else empty
  std::string settings;    // of an export; a stranger's text
  std::string root_place;  // the directory of the archive that became the root; empty: its top
};

// A tar of a root file system; an image as `docker save` or `podman save` writes it; an OCI layout,
// as a tar or as a directory. `path`: "-" is standard input.
Result<Filled> fill_from_archive(const ChosenIds& ids, const Fd& target, const std::string& path,
                                 const FillHow& how);

// The parts of an OCI layout, opened with the caller's rights by `opener` ("oci-layout",
// "index.json", "blobs/sha256/...", no name is to be trusted).
Result<Filled> fill_from_parts(const ChosenIds& ids, const Fd& target,
                               const std::function<Result<Fd>(const std::string&)>& opener,
                               const FillHow& how);

// A tar of a root file system from an open file or pipe: never taken for an image.
Result<Filled> fill_from_tar(const ChosenIds& ids, const Fd& target, const Fd& tar,
                             const FillHow& how);

// The busybox template (template_busybox.h).
Result<Filled> fill_from_busybox(const ChosenIds& ids, const Fd& target);

// The debian template (template_debian.h). Takes a minute or so.
Result<Filled> fill_from_debian(const ChosenIds& ids, const Fd& target, const DebianWish& wish,
                                const FillHow& how);

// A copy of the tree of another container, whose ids are `from_ids`. Of a snapshot, `from` are its
// layers: the changes first, then what they are on (frontend/start/mounts/overlay.h).
Result<Filled> fill_from_copy(const ChosenIds& ids, const Fd& target, const ChosenIds& from_ids,
                              std::span<const Fd> from, const FillHow& how);
// A copy of such changes alone, which hides what they hide.
Result<Filled> fill_from_layer(const ChosenIds& ids, const Fd& target, const ChosenIds& from_ids,
                               const Fd& from, const FillHow& how);

}  // namespace userns::frontend
