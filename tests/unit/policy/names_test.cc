#include "policy/names.h"

#include "tests/unit/expect.h"

namespace userns {
namespace {

using enum NameSource;

TEST(NameSourceOf, IsTheFilesOnlyIfTheyAreFirstAndTheirAnswerIsTheEnd) {
  const std::pair<std::string_view, NameSource> rows[] = {
      {"passwd: files\n", kFilesAlone},
      {"passwd:\tfiles  # local\n", kFilesAlone},
      {"group: x\npasswd: files", kFilesAlone},
      {"passwd: files systemd\n", kFilesFirst},
      {"passwd: files sss [NOTFOUND=return]\n", kFilesFirst},
      {"passwd: files [SUCCESS=continue] x\n", kOthers},
      {"passwd: files[NOTFOUND=return]\n", kOthers},
      {"passwd: sss files\n", kOthers},
      {"passwd: filesystem\n", kOthers},
      {"passwd:\n", kOthers},
      {"#passwd: files\n", kOthers},
      {" passwd: files\n", kFilesAlone},
      {"passwd files\n", kFilesAlone},
      {"passwd : files sss\n", kFilesFirst},
      {"passwds: files\n", kOthers},
      {"passwd: files\n passwd: sss\n", kOthers},
      {"passwd: files\npasswd sss\n", kOthers},
      {"passwd: files\ngroup: files\npasswd: sss files\n", kOthers},
      {"PASSWD: files\npasswd: sss\n", kOthers},
      {"passwd: files # passwd: x\n", kFilesAlone},
      {"", kOthers},
  };
  for (const auto& [text, source] : rows) EXPECT_EQ(name_source(text, "passwd"), source) << text;
}

constexpr auto kAll = [](const NameEntry&) { return true; };

TEST(FindEntry, TakesTheFirstThatIsWanted) {
  constexpr std::string_view kText =
      "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:100::/:\nal2:x:1000:7::/:\n";
  const auto found =
      find_entry(kText, kPasswdFields, [](const NameEntry& e) { return e.id == 1000; });
  ASSERT_TRUE(found);
  EXPECT_EQ(found->name, "alice");
  EXPECT_EQ(found->group, 100U);
  EXPECT_FALSE(find_entry(kText, kPasswdFields, [](const NameEntry& e) { return e.id == 7; }));
}

TEST(FindEntry, OfAGroupHasItsGid) {
  const auto found = find_entry("lab:x:601:alice,bob", kGroupFields, kAll);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->name, "lab");
  EXPECT_EQ(found->id, 601U);
}

// Rule SU-NAME.
TEST(FindEntry, PassesOverWhatIsNotOfTheForm) {
  for (const std::string_view bad :
       {"", "alice", "alice:x:1000:100::/",
        "alice:x:1000:100::/::", ":x:1000:100::/:", "alice:x:+1:100::/:", "alice:x:01000:100::/:",
        "alice:x: 1000:100::/:", "alice:x:::::", "alice:x:1000:::/:", "alice:x:4294967295:100::/:",
        "alice:x:1000:4294967295::/:", "+alice:x:1000:100::/:", "-alice:x:1000:100::/:",
        "#alice:x:1000:100::/:", " alice:x:1000:100::/:", "alice:x:18446744073709551616:100::/:"})
    EXPECT_FALSE(find_entry(bad, kPasswdFields, kAll)) << bad;
  EXPECT_FALSE(find_entry("lab:x:601", kGroupFields, kAll));
  EXPECT_FALSE(find_entry("lab:x:601:a:b", kGroupFields, kAll));
}

}  // namespace
}  // namespace userns
