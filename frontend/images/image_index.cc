#include "frontend/images/image_index.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "frontend/rootfs/archive/digest.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

using Json = nlohmann::json;

constexpr const char* kRefName = "org.opencontainers.image.ref.name";
constexpr const char* kLayers = "userns.layers";
constexpr const char* kUnpacked = "unpacked";
constexpr std::array<std::string_view, 5> kTransports{
    "docker://", "oci:", "docker-archive:", "oci-archive:", "dir:"};
constexpr std::size_t kLongestName = 512;
constexpr std::string_view kLetters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@+";

std::optional<StoredImage> parse_entry(const Json& entry) {
  StoredImage image;
  try {
    entry.at("digest").get_to(image.digest);
    entry.at("mediaType").get_to(image.media_type);
    entry.at("size").get_to(image.size);
    const auto annotations = entry.find("annotations");
    if (annotations != entry.end() && annotations->contains(kRefName))
      annotations->at(kRefName).get_to(image.name);
    if (annotations != entry.end() && annotations->contains(kLayers))
      image.is_tree_alone = annotations->at(kLayers) == kUnpacked;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
  return is_digest(image.digest) ? std::optional(std::move(image)) : std::nullopt;
}

Json entry_of(const StoredImage& image) {
  Json entry;
  entry["mediaType"] = image.media_type;
  entry["digest"] = image.digest;
  entry["size"] = image.size;
  entry["annotations"][kRefName] = image.name;
  if (image.is_tree_alone) entry["annotations"][kLayers] = kUnpacked;
  return entry;
}

std::string text_of(const Json& manifests) {
  Json index;
  index["schemaVersion"] = 2;
  index["manifests"] = manifests;
  return index.dump(1, ' ', true, Json::error_handler_t::replace) + "\n";
}

// Whether the last part of a name has a tag or a digest.
bool is_tagged(std::string_view name) {
  return name.contains('@') || name.substr(name.rfind('/') + 1).contains(':');
}

}  // namespace

Result<std::vector<StoredImage>> parse_image_index(std::string_view json) {
  const auto index = Json::parse(json, nullptr, false);
  if (!index.is_object() || !index.contains("manifests") || !index.at("manifests").is_array())
    return fail({}, "it is not an index of images");
  std::vector<StoredImage> images;
  for (const auto& entry : index.at("manifests"))
    if (auto image = parse_entry(entry)) images.push_back(std::move(*image));
  return images;
}

std::string index_text(const std::vector<StoredImage>& images) {
  auto manifests = Json::array();
  for (const auto& image : images) manifests.push_back(entry_of(image));
  return text_of(manifests);
}

std::string index_text(const StoredImage& image) { return index_text(std::vector{image}); }

bool has_transport(std::string_view reference) {
  return std::ranges::any_of(kTransports, [&](auto one) { return reference.starts_with(one); });
}

Result<std::string> name_of_image(std::string_view reference) {
  auto name = reference;
  const bool from_registry = name.starts_with(kTransports.front()) || !has_transport(name);
  if (name.starts_with(kTransports.front())) name.remove_prefix(kTransports.front().size());
  if (name.empty() || name.size() > kLongestName || name.front() == '-' ||
      (from_registry && name.find_first_not_of(kLetters) != std::string_view::npos) ||
      std::ranges::any_of(name, [](char c) { return static_cast<unsigned char>(c) < 0x20; }))
    return fail({}, concat(quoted(reference),
                           " is not a valid reference of an image: write "
                           "docker://HOST/NAME:TAG, oci:DIR:TAG, "
                           "docker-archive:FILE or dir:DIR"));
  return from_registry && !is_tagged(name) ? concat(name, ":latest") : std::string(name);
}

std::string base_id_of(const StoredImage& image) {
  return concat("i", std::string_view(image.digest).substr(7, 31));
}

}  // namespace userns::frontend
