#include "frontend/images/image_index.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "frontend/rootfs/archive/image_text.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

const std::string kDigest = concat("sha256:", std::string(64, 'a'));

std::string name(std::string_view reference) {
  const auto found = name_of_image(reference);
  return found ? *found : "refused";
}

TEST(NameOfImage, IsTheReferenceWithATag) {
  EXPECT_EQ(name("docker://localhost:5000/a/b"), "localhost:5000/a/b:latest");
  EXPECT_EQ(name("docker://localhost:5000/a/b:1"), "localhost:5000/a/b:1");
  EXPECT_EQ(name("localhost/a"), "localhost/a:latest");
  EXPECT_EQ(name(concat("docker://a@", kDigest)), concat("a@", kDigest));
  EXPECT_EQ(name("oci:/a b/c:it"), "oci:/a b/c:it");
}

TEST(NameOfImage, WhatSkopeoCouldTakeForSomethingElseIsRefused) {
  for (const std::string_view bad :
       {"", "docker://", "docker://-x", "-x", "docker://a b", "docker://a\nb", "dir:a\nb"})
    EXPECT_EQ(name(bad), "refused") << bad;
  EXPECT_EQ(name(std::string(600, 'a')), "refused");
}

TEST(Transport, OnlyThoseOfFilesAndRegistries) {
  for (const std::string_view good : {"docker://a", "oci:a", "docker-archive:a", "dir:a"})
    EXPECT_TRUE(has_transport(good));
  for (const std::string_view bad : {"containers-storage:a", "docker-daemon:a", "a", "ocidir:a"})
    EXPECT_FALSE(has_transport(bad)) << bad;
}

TEST(ImageIndex, SurvivesTheWayToTextAndBack) {
  const std::vector<StoredImage> images{{"a:1", kDigest, "type", 7}, {"b\"\n:2", kDigest, "t", 8}};
  const auto again = parse_image_index(index_text(images));
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, images);
}

TEST(ImageIndex, WhatIsNotOneIsAnErrorAndBadEntriesAreLeftOut) {
  for (const std::string_view bad : {"", "[]", "{}", "{\"manifests\": 1}", "null"})
    EXPECT_FALSE(parse_image_index(bad)) << bad;
  const auto some = parse_image_index(
      R"({"manifests": [1, {}, {"digest": "x", "mediaType": "t", "size": 1},
          {"digest": 1}, {"digest": "sha256:a", "mediaType": "t", "size": 1}]})");
  ASSERT_TRUE(some);
  EXPECT_TRUE(some->empty());
}

TEST(BaseId, IsAContainersNameOfTheDigest) {
  EXPECT_EQ(base_id_of({"a", kDigest, "t", 1}), concat("i", std::string(31, 'a')));
}

TEST(ImageText, SurvivesTheWayBackAndIsTotal) {
  ImageConfig image{.env = {{"A", "b\n"}, {"C", ""}},
                    .names_only = {"D"},
                    .entrypoint = {"e"},
                    .cmd = {"f", "g"},
                    .cwd = "/h",
                    .user = "i:j",
                    .ids = {},
                    .stop_signal = "TERM"};
  EXPECT_EQ(image_from_text(to_text(image)).value_or(ImageConfig{}), image);
  image.ids = {.uid = 1, .gid = 2, .groups = {3, 4}};
  EXPECT_EQ(image_from_text(to_text(image)).value_or(ImageConfig{}), image);
  for (const std::string_view bad : {"", "{", "[]", "{}", "{\"env\": 1}"})
    EXPECT_FALSE(image_from_text(bad)) << bad;
}

}  // namespace
}  // namespace userns::frontend
