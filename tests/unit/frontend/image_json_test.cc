#include "frontend/rootfs/archive/image_json.h"

#include "policy/text.h"
#include "tests/unit/expect.h"

namespace userns::frontend {
namespace {

using test::contains;
using test::text_of;

const std::string kA = "sha256:" + std::string(64, 'a');
const std::string kB = "sha256:" + std::string(64, 'b');

std::string entry(const std::string& digest, std::string_view platform = "") {
  return concat("{\"digest\": \"", digest, "\"",
                platform.empty() ? "" : ", \"platform\": {\"os\": \"linux\", \"architecture\": \"",
                platform, platform.empty() ? "" : "\"}", "}");
}
std::string index_of(const std::string& entries) {
  return concat("{\"manifests\": [", entries, "]}");
}

TEST(OciIndex, TheManifestForThisPlatformIsChosen) {
  const auto node =
      parse_oci_node(index_of(entry(kA, "arm64") + "," + entry(kB, "amd64")), "amd64");
  ASSERT_TRUE(node) << text_of(node);
  EXPECT_EQ(node->next, std::vector{kB});
}

TEST(OciIndex, OneThatSaysNothingOfAPlatformIsTaken) {
  EXPECT_EQ(parse_oci_node(index_of(entry(kA)), "amd64")->next, std::vector{kA});
}

TEST(OciIndex, NoneAndSeveralAreErrorsThatListThem) {
  EXPECT_TRUE(contains(text_of(parse_oci_node(index_of(entry(kA, "arm64")), "amd64")), "arm64"));
  EXPECT_TRUE(contains(text_of(parse_oci_node(index_of(""), "amd64")), "nothing"));
  EXPECT_TRUE(
      contains(text_of(parse_oci_node(index_of(entry(kA) + "," + entry(kB)), "amd64")), "several"));
}

TEST(OciManifest, ConfigAndLayersInOrder) {
  const auto node = parse_oci_node(
      concat("{\"config\": ", entry(kA), ", \"layers\": [", entry(kB), ",", entry(kA), "]}"),
      "amd64");
  ASSERT_TRUE(node) << text_of(node);
  EXPECT_EQ(node->config, kA);
  EXPECT_EQ(node->layers, (std::vector{kB, kA}));
}

TEST(OciManifest, MoreLayersThanAnyImageHasAreRefused) {
  const auto manifest_of = [](std::size_t count) {
    std::string layers = entry(kB);
    for (std::size_t i = 1; i < count; ++i) layers += "," + entry(kB);
    return concat("{\"config\": ", entry(kA), ", \"layers\": [", layers, "]}");
  };
  EXPECT_TRUE(parse_oci_node(manifest_of(kMostLayers), "amd64"));
  EXPECT_TRUE(contains(text_of(parse_oci_node(manifest_of(kMostLayers + 1), "amd64")), "1001"));
}

TEST(OciManifest, WhatIsNoneIsAnError) {
  for (const std::string text :
       {"", "{", "null", "[]", "1", "{}", "{\"layers\": 1}", "{\"layers\": []}",
        "{\"layers\": [], \"config\": {\"digest\": 1}}",
        "{\"layers\": [{}], \"config\": {\"digest\": \"md5:1\"}}"})
    EXPECT_FALSE(parse_oci_node(text, "amd64")) << text;
}

TEST(DockerManifest, IsKnownByItsShape) {
  EXPECT_TRUE(is_docker_manifest(R"([{"Config": "c", "Layers": ["l"]}])"));
  for (const char* text : {"[]", "{}", "[1]", R"([{"Config": "c"}])",
                           R"([{"Config": 1, "Layers": []}])", "x", R"({"name": "app"})"})
    EXPECT_FALSE(is_docker_manifest(text)) << text;
}

TEST(OciNode, WhatIsAnIndexAndAManifestAtOnceIsNeither) {
  EXPECT_TRUE(contains(text_of(parse_oci_node(R"({"manifests": [], "layers": []})", "amd64")),
                       "an index and a manifest"));
  EXPECT_TRUE(contains(text_of(parse_oci_node(R"({"manifests": {}, "layers": 1})", "amd64")),
                       "an index and a manifest"));
}

TEST(DockerManifest, ConfigAndLayers) {
  const auto image = parse_docker_manifest(
      R"([{"Config": "c.json", "RepoTags": null, "Layers": ["a/layer.tar", "b"]}])");
  ASSERT_TRUE(image) << text_of(image);
  EXPECT_EQ(image->config, "c.json");
  EXPECT_EQ(image->layers, (std::vector<std::string>{"a/layer.tar", "b"}));
  EXPECT_TRUE(contains(
      text_of(parse_docker_manifest(
          R"([{"Config": "a", "Layers": [], "RepoTags": ["x:1"]}, {"Config": "b", "Layers": []}])")),
      "x:1"));
  EXPECT_FALSE(parse_docker_manifest(R"([{"Config": "c", "Layers": [1]}])"));
}

TEST(ImageConfigJson, WhatACommandNeeds) {
  const auto image = parse_image_config(
      R"({"config": {"Env": ["A=b", "HOME", "C=", ""], "Entrypoint": ["/e"], "Cmd": ["c", "d"], "WorkingDir": "/w", "User": "u:g", "StopSignal": "SIGINT"}})");
  ASSERT_TRUE(image) << text_of(image);
  EXPECT_EQ(*image, (ImageConfig{.env = {{"A", "b"}, {"C", ""}},
                                 .names_only = {"HOME", ""},
                                 .entrypoint = {"/e"},
                                 .cmd = {"c", "d"},
                                 .cwd = "/w",
                                 .user = "u:g",
                                 .stop_signal = "SIGINT"}));
}

TEST(ImageConfigJson, AllOfItMayBeMissingOrNull) {
  for (const char* text : {"{}", R"({"config": null})", R"({"config": {"Env": null, "Cmd": null}})",
                           R"({"config": []})"})
    EXPECT_EQ(parse_image_config(text).value(), ImageConfig{.cwd = "/"}) << text;
}

TEST(ImageConfigJson, AWordWithANulOrOfAnotherTypeIsAnError) {
  for (const char* text :
       {"", "[]", R"({"config": {"Env": ["a\u0000b"]}})", R"({"config": {"Cmd": "sh"}})",
        R"({"config": {"Cmd": [1]}})", R"({"config": {"User": 0}})",
        R"({"config": {"WorkingDir": ["/"]}})", R"({"config": {"StopSignal": "9\u0000"}})"})
    EXPECT_FALSE(parse_image_config(text)) << text;
}

TEST(BlobPath, OnlyADigestIsOne) {
  EXPECT_EQ(blob_path(kA).value(), "blobs/sha256/" + std::string(64, 'a'));
  for (const char* bad : {"", "sha256:", "sha256:../../etc/passwd", "md5:0"})
    EXPECT_FALSE(blob_path(bad)) << bad;
}

}  // namespace
}  // namespace userns::frontend
