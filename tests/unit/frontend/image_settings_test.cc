#include "frontend/container/make/image_settings.h"
#include "tests/unit/expect.h"

namespace userns::frontend {
namespace {

using test::contains;
using test::text_of;
using Many = std::vector<std::string>;

ConfigFile with(const Many& pairs) {
  ConfigFile config;
  for (const auto& pair : pairs)
    EXPECT_EQ(text_of(config.add(pair.substr(0, pair.find('=')), pair.substr(pair.find('=') + 1))),
              "");
  return config;
}

std::string taken(ConfigFile config, const ImageConfig& image, Many* notes = nullptr) {
  Many said;
  EXPECT_EQ(text_of(take_image_config(config, image, said)), "");
  if (notes != nullptr)
    *notes = said;
  else
    EXPECT_EQ(said, Many{});
  return config.text();
}

TEST(ImageSettings, WhatTheImageSaysBecomesSettings) {
  const ImageConfig image{.env = {{"PATH", "/usr/bin"}, {"X", " y"}},
                          .entrypoint = {"/init", "-c"},
                          .cmd = {"a b"},
                          .cwd = "/srv",
                          .user = "web:44",
                          .ids = InsideIds{.uid = 33, .gid = 44, .groups = {5, 6}},
                          .stop_signal = "SIGQUIT"};
  EXPECT_EQ(taken({}, image),
            "env = PATH=/usr/bin\nenv = X= y\ncommand = /init -c 'a b'\nuid = 33\ngid = 44\ngroups "
            "= 5,6\n"
            "stop-signal = SIGQUIT\ncwd = /srv\n");
}

TEST(ImageSettings, WhatWasAskedForWins) {
  const ImageConfig image{.env = {{"PATH", "/usr/bin"}, {"A", "1"}},
                          .entrypoint = {},
                          .cmd = {"x"},
                          .cwd = "/srv",
                          .user = "33",
                          .ids = InsideIds{.uid = 33},
                          .stop_signal = "9"};
  EXPECT_EQ(
      taken(with({"env=PATH=/bin", "command=sh", "cwd=/", "uid=5", "stop-signal=TERM"}), image),
      "env = PATH=/bin\ncommand = sh\ncwd = /\nuid = 5\nstop-signal = TERM\nenv = A=1\n");
}

TEST(ImageSettings, NothingOfIt) {
  EXPECT_EQ(taken({}, {}), "");
  EXPECT_EQ(taken({}, {.env = {},
                       .entrypoint = {},
                       .cmd = {},
                       .cwd = "/",
                       .user = "root",
                       .ids = InsideIds{},
                       .stop_signal = ""}),
            "cwd = /\n");
}

TEST(ImageSettings, AUserThatIsNotThereIsAnErrorUnlessTheCallerDecides) {
  const ImageConfig image{.cwd = "/", .user = "www-data"};
  ConfigFile config;
  Many notes;
  const auto refused = take_image_config(config, image, notes);
  EXPECT_TRUE(contains(text_of(refused), "'www-data' is not in the passwd and group"));
  EXPECT_EQ(taken(with({"uid=33"}), image), "uid = 33\ncwd = /\n");
}

TEST(ImageSettings, AUserMustBeOneOfTheContainersIds) {
  const ChosenIds ids{.uids = {.extents = {*Extent::make(0, 100000, 1000)}},
                      .gids = {.extents = {*Extent::make(0, 100000, 1000)}}};
  const auto fits = [&](InsideIds whom, const Many& asked = {}) {
    return text_of(check_user_fits(with(asked), {.user = "u", .ids = std::move(whom)}, ids));
  };
  EXPECT_EQ(fits({.uid = 999, .gid = 999, .groups = {1}}), "");
  EXPECT_TRUE(contains(fits({.uid = 1000}), "uid 1000"));
  EXPECT_TRUE(contains(fits({.uid = 1, .gid = 1000}), "gid 1000"));
  EXPECT_TRUE(contains(fits({.uid = 1, .gid = 1, .groups = {2, 5000}}), "group 5000"));
  EXPECT_EQ(fits({.uid = 1000}, {"uid=7"}), "");
  EXPECT_EQ(fits({.uid = 1, .gid = 1000}, {"gid=7"}), "");
}

TEST(ImageSettings, NonsenseIsLeftOutAndSaid) {
  Many notes;
  const ImageConfig image{.env = {{"", "x"}, {"A", std::string("\0b", 2)}},
                          .names_only = {"SECRET"},
                          .entrypoint = {},
                          .cmd = {""},
                          .cwd = "relative/..",
                          .stop_signal = "SIGNONE"};
  EXPECT_EQ(taken({}, image, &notes), "cwd = /\n");
  ASSERT_EQ(notes.size(), 6U);
  EXPECT_TRUE(contains(notes[0], "'SECRET' has no value"));
  EXPECT_TRUE(contains(notes[3], "command"));
  EXPECT_TRUE(contains(notes[4], "stop signal 'SIGNONE'"));
  EXPECT_TRUE(contains(notes[5], "working directory"));
}

}  // namespace
}  // namespace userns::frontend
