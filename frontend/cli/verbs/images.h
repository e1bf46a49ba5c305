// userns-run pull, push, images, rmi, prune: images, by way of skopeo(1).
#pragma once

#include <string_view>

#include "frontend/images/image_store.h"
#include "frontend/spec/verb.h"

namespace userns::frontend {

extern const Verb kPullVerb;
extern const Verb kPushVerb;
extern const Verb kCommitVerb;
extern const Verb kImagesVerb;
extern const Verb kRmiVerb;
extern const Verb kPruneVerb;

struct ImageInUse {
  ImageStore images;
  StoredImage image;
};
// For create --image: the image, pulled if need be, for a container of `store`.
Result<ImageInUse> use_image(std::string_view reference, const Words& words, const Store& store);

}  // namespace userns::frontend
