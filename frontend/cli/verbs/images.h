// userns-run pull, push, images, rmi, prune: images, by way of skopeo(1).
#pragma once

#include <optional>
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

// For create --image: the image, pulled if need be. `store` is opened, and must live as long.
Result<ImageParts> image_parts(std::optional<ImageStore>& store, std::string_view reference,
                               const Words& words);

}  // namespace userns::frontend
