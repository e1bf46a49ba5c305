#include "frontend/images/commit_image.h"

#include <fcntl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "frontend/container/facts.h"
#include "frontend/container/make/instant.h"
#include "frontend/rootfs/archive/digest.h"
#include "frontend/rootfs/archive/image_json.h"
#include "frontend/rootfs/pack.h"
#include "frontend/start/ids/callers_ids.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

using Json = nlohmann::json;

constexpr const char* kLayer = "application/vnd.oci.image.layer.v1.tar";
constexpr const char* kConfig = "application/vnd.oci.image.config.v1+json";
constexpr const char* kManifest = "application/vnd.oci.image.manifest.v1+json";

Json described(const Blob& blob, const char* type) {
  return {{"mediaType", type}, {"digest", blob.digest}, {"size", blob.size}};
}

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', true, Json::error_handler_t::replace);
}

// What the container's settings say that an image can say.
Json settings_of(const Spec& spec) {
  Json config = Json::object();
  if (!spec.command.empty()) config["Cmd"] = spec.command;
  if (!spec.cwd.empty()) config["WorkingDir"] = spec.cwd;
  if (spec.uid != 0 || spec.gid != 0) config["User"] = concat(spec.uid, ":", spec.gid);
  for (const auto& wish : spec.env)
    if (wish.value) config["Env"].push_back(concat(wish.name, "=", *wish.value));
  if (spec.stop_signal) config["StopSignal"] = concat(*spec.stop_signal);
  return config;
}

std::string config_text(const Spec& spec, const Blob& layer) {
  utsname facts{};
  Json config;
  config["architecture"] = ::uname(&facts) == 0 ? oci_architecture(facts.machine) : "";
  config["os"] = "linux";
  config["config"] = settings_of(spec);
  config["rootfs"] = {{"type", "layers"}, {"diff_ids", Json::array({layer.digest})}};
  return text_of(config);
}

std::string manifest_text(const Blob& config, const Blob& layer) {
  Json manifest;
  manifest["schemaVersion"] = 2;
  manifest["mediaType"] = kManifest;
  manifest["config"] = described(config, kConfig);
  manifest["layers"] = Json::array({described(layer, kLayer)});
  return text_of(manifest);
}

}  // namespace

Result<StoredImage> commit_image(ImageStore& images, const Container& container,
                                 std::string_view reference) {
  const auto name = TRY(name_of_image(reference));
  const auto lock = TRY(container.lock());
  if (is_running(container))
    return fail({}, concat(container.name(), " is running, and its files change: userns-run stop ",
                           container.name(), " first"));
  const auto spec = container.spec();
  const auto ids = spec ? find_ids(*spec) : std::unexpected(spec.error());
  const auto layers = TRY(ids ? tree_layers(*spec, *ids) : std::unexpected(ids.error()));
  auto writing = TRY(images.begin_blobs());
  const auto layer = writing.add([&](const Fd& out) { return pack_tree(*ids, layers, out); });
  const auto config =
      layer ? writing.add(config_text(*spec, *layer)) : std::unexpected(layer.error());
  const auto manifest =
      TRY(config ? writing.add(manifest_text(*config, *layer)) : std::unexpected(config.error()));
  return images.add(
      {.name = name, .digest = manifest.digest, .media_type = kManifest, .size = manifest.size});
}

}  // namespace userns::frontend
