// The JSON of container images. Pure: text in, what is needed of it out; nothing is taken on trust.
//
// Source: the OCI image specification (image-layout, image-index, manifest, config), and the
// archives that `docker save` and `podman save --format docker-archive` write (manifest.json).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "frontend/rootfs/archive/image_config.h"
#include "policy/error.h"

namespace userns::frontend {

inline constexpr std::size_t kLargestJson = 8UL << 20U;
// Other programs take 128 or fewer; each of ours may be a whole archive.
inline constexpr std::size_t kMostLayers = 1000;

// An index or a manifest of the OCI format.
struct OciNode {
  std::vector<std::string>
      next;  // an index: digests of the manifests for this platform (one, or the text fails)
  std::string config;  // a manifest: digests
  std::vector<std::string> layers;
};
// `architecture`: as the format spells it ("amd64"). Where an index has manifests for several
// platforms, the one for Linux on it is chosen; none or several are an error that lists them.
Result<OciNode> parse_oci_node(std::string_view json, std::string_view architecture);

// manifest.json: names in the archive.
struct DockerImage {
  std::string config;
  std::vector<std::string> layers;
};
// An archive of several images is an error that lists their tags.
Result<DockerImage> parse_docker_manifest(std::string_view json);
// Whether a text can be one at all: an array of objects with Config and Layers.
bool is_docker_manifest(std::string_view json);

// The image's config, of either format.
Result<ImageConfig> parse_image_config(std::string_view json);

// "blobs/sha256/HEX" of a digest that is_digest() takes; an error for any other.
Result<std::string> blob_path(std::string_view digest);

// This machine's, as OCI spells it.
std::string oci_architecture(std::string_view machine);

}  // namespace userns::frontend
