#include "frontend/copy/place.h"

#include <gtest/gtest.h>

#include <string_view>

namespace userns::frontend {
namespace {

struct Row {
  std::string_view text;
  std::string_view container;  // empty: the host
  std::string_view path;
  bool is_directory = false;
  bool is_content = false;
};

TEST(Place, WhatIsTypedNamesAContainerOrTheHost) {
  constexpr Row kRows[]{
      {"web:/etc/hosts", "web", "etc/hosts"},
      {"web:etc/hosts", "web", "etc/hosts"},
      {"web:/srv/", "web", "srv", true},
      {"web:/", "web", "", true},
      {"web:/srv/.", "web", "srv", false, true},
      {"web:/a/../../b/./c", "web", "b/c"},
      {"web:/..", "web", ""},
      {"web:a:b", "web", "a:b"},
      {"./a:b", "", "./a:b"},
      {"/x:y", "", "/x:y"},
      {"dir/", "", "dir/", true},
      {"dir/.", "", "dir", false, true},
      {"/.", "", "/", false, true},
      {".", "", ".", false, true},
      {"..", "", ".."},
  };
  for (const auto& row : kRows) {
    const auto place = parse_place(row.text);
    EXPECT_TRUE(place.has_value());
    if (!place) continue;
    EXPECT_EQ(place->container.value_or(""), row.container);
    EXPECT_EQ(place->path, row.path);
    EXPECT_EQ(place->is_directory, row.is_directory);
    EXPECT_EQ(place->is_content, row.is_content);
    EXPECT_EQ(place->is_stream, false);
  }
  EXPECT_TRUE(parse_place("-").value().is_stream);
  EXPECT_EQ(parse_place("-").value().text(), "-");
}

TEST(Place, WhatNamesNoFileIsRefused) {
  for (const std::string_view text : {"", "web:", ":/x", ":"})
    EXPECT_TRUE(!parse_place(text).has_value());
}

TEST(Place, TheLastNameIsSplitFromItsDirectory) {
  EXPECT_EQ(split_last("srv/www").parent, "srv");
  EXPECT_EQ(split_last("srv/www/").name, "www");
  EXPECT_EQ(split_last("www").parent, "");
  EXPECT_EQ(split_last("/www").parent, "");
  EXPECT_EQ(split_last("/").name, "");
}

}  // namespace
}  // namespace userns::frontend
