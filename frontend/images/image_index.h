// The index.json of the store of images, and names of images. Pure.
//
// Source: the OCI image specification, image-layout and image-index; the annotation
// org.opencontainers.image.ref.name is the image's name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/error.h"

namespace userns::frontend {

struct StoredImage {
  std::string name;
  std::string digest;  // of its manifest: is_digest()
  std::string media_type;
  std::uint64_t size = 0;  // of the manifest
  // It was fetched for a container: once its tree is unpacked, its layers are deleted.
  bool is_tree_alone = false;

  friend bool operator==(const StoredImage&, const StoredImage&) = default;
};

// Entries without a name or a digest are left out. A text that is not an index is an error.
Result<std::vector<StoredImage>> parse_image_index(std::string_view json);
std::string index_text(const std::vector<StoredImage>& images);
// An index that leads to this one alone.
std::string index_text(const StoredImage& image);

// "docker://...", "oci:...", "docker-archive:...", "oci-archive:...", "dir:..."; skopeo knows
// others, which reach into what is not the caller's to name here.
bool has_transport(std::string_view reference);

// What an image is called in the store: of "docker://HOST/NAME" that is "HOST/NAME", with ":latest"
// if there is neither a tag nor a digest; of a file or directory its whole reference. Fails if the
// reference could not be told to skopeo.
Result<std::string> name_of_image(std::string_view reference);

// The ID of the base tree that an image becomes: from the digest of its manifest.
std::string base_id_of(const StoredImage& image);

}  // namespace userns::frontend
