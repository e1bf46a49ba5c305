#include "frontend/rootfs/archive/image_json.h"

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "frontend/rootfs/archive/digest.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

using Json = nlohmann::json;

Json parse(std::string_view text) { return Json::parse(text, nullptr, false); }

// A member that is there and of the type; a null of no type else.
const Json& member(const Json& object, const char* name) {
  static const Json kNothing;
  if (!object.is_object()) return kNothing;
  const auto found = object.find(name);
  return found == object.end() ? kNothing : *found;
}

std::string text_in(const Json& object, const char* name) {
  const auto& found = member(object, name);
  return found.is_string() ? found.get<std::string>() : std::string{};
}

// A text that may be missing; anything else in its place is an error.
Result<std::string> only_text_in(const Json& object, const char* name) {
  const auto& found = member(object, name);
  if (found.is_null()) return std::string{};
  if (!found.is_string())
    return fail({}, concat("the image is damaged: ", std::string_view(name), " is not a text"));
  auto text = found.get<std::string>();
  if (text.find('\0') != std::string::npos)
    return fail({}, concat("the image is damaged: ", std::string_view(name), " has a NUL in it"));
  return text;
}

// Strings of an array; other things in it are an error.
Result<std::vector<std::string>> texts_in(const Json& object, const char* name) {
  const auto& found = member(object, name);
  std::vector<std::string> texts;
  if (found.is_null()) return texts;
  if (!found.is_array())
    return fail({}, concat("the image is damaged: ", std::string_view(name), " is not a list"));
  for (const auto& one : found) {
    if (!one.is_string())
      return fail({}, concat("the image is damaged: ", std::string_view(name), " holds no text"));
    auto text = one.get<std::string>();
    if (text.find('\0') != std::string::npos)
      return fail(
          {}, concat("the image is damaged: ", std::string_view(name), " has a text with a NUL"));
    texts.push_back(std::move(text));
  }
  return texts;
}

Result<std::string> digest_in(const Json& descriptor) {
  auto digest = text_in(descriptor, "digest");
  if (is_digest(digest)) return digest;
  return fail({}, concat("the image names a part by the digest ", userns::quoted(digest),
                         ": only sha256 is known"));
}

std::string platform_of(const Json& descriptor) {
  const auto& platform = member(descriptor, "platform");
  if (!platform.is_object()) return {};
  return concat(text_in(platform, "os"), "/", text_in(platform, "architecture"));
}

// The manifests that are for this platform, or say nothing of one.
Result<std::vector<std::string>> choose(const Json& manifests, std::string_view architecture) {
  const auto wanted = concat("linux/", architecture);
  std::vector<std::string> exact;
  std::vector<std::string> silent;
  std::string seen;
  for (const auto& one : manifests) {
    const auto platform = platform_of(one);
    if (platform == "unknown/unknown") continue;  // an attestation
    const auto name = text_in(member(one, "annotations"), "org.opencontainers.image.ref.name");
    seen += concat(seen.empty() ? "" : ", ", userns::quoted(platform.empty() ? name : platform));
    auto digest = TRY(digest_in(one));
    if (platform == wanted)
      exact.push_back(std::move(digest));
    else if (platform.empty())
      silent.push_back(std::move(digest));
  }
  auto& chosen = exact.empty() ? silent : exact;
  if (chosen.size() == 1) return std::move(chosen);
  if (chosen.empty())
    return fail(
        {}, concat("the image is not for ", wanted, ", but for ", seen.empty() ? "nothing" : seen));
  return fail({}, concat("there are several images in it (", seen, "): save one alone"));
}

Result<void> check_count(std::size_t layers) {
  if (layers <= kMostLayers) return {};
  return fail({}, concat("the image has ", layers, " layers; more than ", kMostLayers,
                         " are not unpacked"));
}

}  // namespace

Result<OciNode> parse_oci_node(std::string_view text, std::string_view architecture) {
  const auto json = parse(text);
  // What means one thing to this reader and another to the next was not looked at by anybody.
  if (!member(json, "manifests").is_null() && !member(json, "layers").is_null())
    return fail({}, "the image is damaged: a part of it is an index and a manifest at once");
  OciNode node;
  if (const auto& manifests = member(json, "manifests"); manifests.is_array()) {
    auto chosen = TRY(choose(manifests, architecture));
    node.next = std::move(chosen);
    return node;
  }
  const auto& layers = member(json, "layers");
  if (!layers.is_array())
    return fail({}, "the image is damaged: neither an index nor a manifest of the OCI format");
  TRY(check_count(layers.size()));
  auto config = TRY(digest_in(member(json, "config")));
  node.config = std::move(config);
  for (const auto& one : layers) {
    auto layer = TRY(digest_in(one));
    node.layers.push_back(std::move(layer));
  }
  return node;
}

bool is_docker_manifest(std::string_view text) {
  const auto json = parse(text);
  if (!json.is_array() || json.empty()) return false;
  for (const auto& one : json)
    if (!member(one, "Config").is_string() || !member(one, "Layers").is_array()) return false;
  return true;
}

Result<DockerImage> parse_docker_manifest(std::string_view text) {
  const auto json = parse(text);
  if (!is_docker_manifest(text)) return fail({}, "the image is damaged: its manifest.json is none");
  if (json.size() > 1) {
    std::string seen;
    for (const auto& one : json) {
      const auto tags = texts_in(one, "RepoTags");
      seen += concat(seen.empty() ? "" : ", ",
                     userns::quoted(tags && !tags->empty() ? tags->front() : "untagged"));
    }
    return fail({}, concat("there are several images in it (", seen, "): save one alone"));
  }
  auto layers = TRY(texts_in(json[0], "Layers"));
  TRY(check_count(layers.size()));
  return DockerImage{.config = text_in(json[0], "Config"), .layers = std::move(layers)};
}

namespace {

// What has no = in it would be, in a setting of the caller's, a variable of theirs to be passed on.
void sort_variables(std::vector<std::string> texts, ImageConfig& image) {
  for (auto& text : texts) {
    const auto at = text.find('=');
    if (at == std::string::npos)
      image.names_only.push_back(std::move(text));
    else
      image.env.push_back({.name = text.substr(0, at), .value = text.substr(at + 1)});
  }
}

}  // namespace

namespace {

// Of a stranger's text: not too long, and one line.
void add_line(std::vector<std::string>& lines, std::string_view kind, std::string_view text) {
  constexpr std::size_t kMostLines = 100;
  constexpr std::size_t kLongest = 200;
  if (lines.size() == kMostLines) return;
  auto line = concat(kind, " ", text.substr(0, kLongest));
  for (auto& c : line)
    if (c == '\n' || c == '\0') c = ' ';
  lines.push_back(std::move(line));
}

std::vector<std::string> what_it_says(const Json& config) {
  std::vector<std::string> lines;
  for (const auto& [kind, name] : {std::pair{"volume", "Volumes"}, {"port", "ExposedPorts"}})
    if (const auto& object = member(config, name); object.is_object())
      for (const auto& [key, value] : object.items()) add_line(lines, kind, key);
  std::string test;
  for (const auto& word : member(member(config, "Healthcheck"), "Test"))
    if (word.is_string()) test += concat(test.empty() ? "" : " ", word.get<std::string>());
  if (!test.empty()) add_line(lines, "healthcheck", test);
  if (const auto& labels = member(config, "Labels"); labels.is_object())
    for (const auto& [key, value] : labels.items())
      if (value.is_string()) add_line(lines, "label", concat(key, "=", value.get<std::string>()));
  return lines;
}

}  // namespace

Result<ImageConfig> parse_image_config(std::string_view text) {
  const auto json = parse(text);
  if (!json.is_object()) return fail({}, "the image is damaged: its config is not a JSON object");
  const auto& config = member(json, "config");
  ImageConfig image;
  for (const auto& [name, place] :
       {std::pair{"WorkingDir", &image.cwd}, std::pair{"User", &image.user},
        std::pair{"StopSignal", &image.stop_signal}}) {
    auto said = TRY(only_text_in(config, name));
    *place = std::move(said);
  }
  if (image.cwd.empty()) image.cwd.push_back('/');
  std::vector<std::string> variables;
  for (const auto& [name, list] :
       {std::pair{"Env", &variables}, std::pair{"Entrypoint", &image.entrypoint},
        std::pair{"Cmd", &image.cmd}}) {
    auto texts = TRY(texts_in(config, name));
    *list = std::move(texts);
  }
  sort_variables(std::move(variables), image);
  image.says = what_it_says(config);
  return image;
}

Result<std::string> blob_path(std::string_view digest) {
  if (!is_digest(digest))
    return fail({}, concat("the image names a part by the digest ", userns::quoted(digest)));
  return concat("blobs/sha256/", digest.substr(digest.find(':') + 1));
}

std::string oci_architecture(std::string_view machine) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kNames{
      {{"x86_64", "amd64"},
       {"aarch64", "arm64"},
       {"i686", "386"},
       {"armv7l", "arm"},
       {"armv6l", "arm"},
       {"ppc64le", "ppc64le"},
       {"s390x", "s390x"},
       {"riscv64", "riscv64"},
       {"loongarch64", "loong64"}}};
  for (const auto& [ours, theirs] : kNames)
    if (machine == ours) return std::string(theirs);
  return std::string(machine);
}

}  // namespace userns::frontend
