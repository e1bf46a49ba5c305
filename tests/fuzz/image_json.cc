// The JSON of images: digests that are names of blobs and nothing else, or an error.
#include "frontend/rootfs/archive/image_json.h"

#include <string>
#include <string_view>

#include "frontend/rootfs/archive/digest.h"
#include "tests/fuzz/property.h"

using namespace userns;
using namespace userns::frontend;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = as_text(data, size);
  if (const auto node = parse_oci_node(text, "amd64")) {
    must(node->next.size() == 1 || is_digest(node->config),
         "an index leads to one manifest, a manifest has a config");
    for (const auto& digest : node->next)
      must(is_digest(digest), "a manifest is named by its digest");
    for (const auto& digest : node->layers)
      must(is_digest(digest) && blob_path(digest), "a layer is named by its digest");
  } else {
    must(!node.error().text.empty(), "a refusal says why");
  }
  const auto docker = parse_docker_manifest(text);
  must(!docker || is_docker_manifest(text), "what is read as one is one");
  if (const auto config = parse_image_config(text))
    for (const auto& [name, value] : config->env)
      must(name.find_first_of(std::string_view("\0=", 2)) == std::string::npos &&
               value.find('\0') == std::string::npos,
           "a variable has a name, and no NUL");
  return 0;
}
