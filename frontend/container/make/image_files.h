// What is made of an image's config besides settings.
#pragma once

#include <string>
#include <vector>

#include "common/fd.h"
#include "frontend/rootfs/archive/image_config.h"
#include "policy/error.h"

namespace userns::frontend {

// Kept beside the container's config, for `info`; a note of what is not done about it.
Result<void> keep_what_it_says(const Fd& container, const ImageConfig& image,
                               std::vector<std::string>& notes);

}  // namespace userns::frontend
