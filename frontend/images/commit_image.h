// A container's files and settings as an image of one layer.
#pragma once

#include <string>

#include "frontend/images/image_store.h"
#include "frontend/store/store.h"
#include "policy/error.h"

namespace userns::frontend {

// Does not run while its lock is held; an error if it runs. `name`: as name_of_image() takes it, of
// an image that is there or not.
Result<StoredImage> commit_image(ImageStore& images, const Container& container,
                                 std::string_view name);

}  // namespace userns::frontend
