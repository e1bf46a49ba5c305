#pragma once

#include <string>
#include <vector>

#include "frontend/rootfs/archive/image_config.h"
#include "frontend/spec/config_file.h"
#include "frontend/start/ids/choose_ids.h"
#include "policy/error.h"

namespace userns::frontend {

// What an image says, as settings: those that `config` has no opinion about yet. `notes`: what is
// left out. A user that the image itself does not know is an error. Pure.
Result<void> take_image_config(ConfigFile& config, const ImageConfig& image,
                               std::vector<std::string>& notes);
// Whether the user of the image, if it decides, is one of the container's ids. Pure.
Result<void> check_user_fits(const ConfigFile& config, const ImageConfig& image,
                             const ChosenIds& ids);

}  // namespace userns::frontend
