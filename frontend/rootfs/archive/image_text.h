// What an image says, as a text of our own and back: between processes, and on disk. Pure.
#pragma once

#include <string>
#include <string_view>

#include "frontend/rootfs/archive/image_config.h"
#include "policy/error.h"

namespace userns::frontend {

std::string to_text(const ImageConfig& image);
// Total: nothing in it is trusted.
Result<ImageConfig> image_from_text(std::string_view text);

}  // namespace userns::frontend
