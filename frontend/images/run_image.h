// A throw-away container of an image: an overlay in memory over the image's base tree.
#pragma once

#include <string>

#include "common/fd.h"
#include "frontend/images/image_store.h"
#include "frontend/spec/spec.h"
#include "frontend/spec/verb.h"
#include "policy/error.h"

namespace userns::frontend {

struct ImageRun {
  Spec spec;
  std::vector<std::string> notes;  // what the image asks for and does not get
  Fd held;                         // nobody deletes the base tree meanwhile
};
// `words`: options of a container, which the image has no say about, and the command; without one,
// the image's. The image is pulled, and unpacked, if it is not there.
Result<ImageRun> spec_of_image(const std::string& reference, const Words& words);

}  // namespace userns::frontend
