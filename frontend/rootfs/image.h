// Recognises what an archive is, and unpacks it: a root file system, or an image of several layers.
// Runs inside (in_map()).
#pragma once

#include <functional>
#include <string>

#include "common/fd.h"
#include "frontend/rootfs/archive/blobs.h"
#include "frontend/rootfs/archive/image_config.h"
#include "frontend/rootfs/unpack.h"
#include "policy/error.h"

namespace userns::frontend {

// `archive`: a regular file, or a pipe. Where an image is compressed or comes through a pipe, its
// uncompressed tar is kept in a nameless file in `top` meanwhile: at most `limits.bytes` twice.
Result<ImageConfig> unpack_anything(const Fd& archive, const Fd& top, UnpackLimits limits,
                                    Unpacker& unpacker);

// An OCI layout, or an archive of `docker save`. Digests are checked where the format has them.
Result<ImageConfig> unpack_image(Blobs& blobs, Unpacker& unpacker);

}  // namespace userns::frontend
