#include "common/subid_source.h"

#include "tests/unit/private_files.h"

namespace userns {
namespace {

using test::in_mnt;
using test::replace_file;
using test::rule_of;

void sources(std::string_view subuid, std::string_view nsswitch = "") {
  // Debian has both from the start; elsewhere an empty one is as good.
  for (const char* const path : {"/etc/subuid", "/etc/nsswitch.conf"})
    if (::access(path, F_OK) != 0) GTEST_SKIP() << path << " is not there to be replaced";
  replace_file("/etc/subuid", subuid);
  replace_file("/etc/nsswitch.conf", nsswitch);
}

TEST(FindSubids, AreThoseOfTheFileByNameAndByUid) {
  SKIP_WITHOUT_ROOT();
  in_mnt([] {
    sources("bob:1:1\nalice:100000:10\nalice:0x1:1\n1000:100010:10\nalice:300000:5");
    const auto found = find_subids(IdKind::kUid, "alice", Uid{1000});
    ASSERT_TRUE(found) << test::text_of(found);
    ASSERT_EQ(found->owned.ranges().size(), 2U);
    EXPECT_EQ(found->owned.ranges()[0], *IdRange::make(100000, 20));
    EXPECT_EQ(found->owned.ranges()[1], *IdRange::make(300000, 5));
    EXPECT_EQ(found->source, "/etc/subuid");
    EXPECT_EQ(found->skipped.line, 3U);
    EXPECT_EQ(find_subids(IdKind::kUid, "", Uid{1000})->owned.lines(), 1U);
    EXPECT_EQ(find_subids(IdKind::kUid, "carol", Uid{1003})->owned.lines(), 0U);
  });
}

TEST(FindSubids, AreFoundInAFileLongerThanAChunk) {
  SKIP_WITHOUT_ROOT();
  in_mnt([] {
    std::string text;
    for (int i = 0; text.size() < 200'000; ++i) text += concat("user", i, ":", 100000 + i, ":1\n");
    sources(concat(text, "alice:7000000:10\n"));
    const auto found = find_subids(IdKind::kUid, "alice", Uid{1000});
    ASSERT_TRUE(found);
    EXPECT_EQ(found->owned.lines(), 1U);
  });
}

// Rules TF-FILE, SU-NSS.
TEST(FindSubids, AreRefusedWhereTheirSourceFails) {
  SKIP_WITHOUT_ROOT();
  in_mnt([] {
    sources("alice:100000:10\n");
    ASSERT_EQ(::chmod("/etc/subuid", 0666), 0);
    EXPECT_EQ(rule_of(find_subids(IdKind::kUid, "alice", Uid{1000})), "TF-FILE");
    ASSERT_EQ(::chmod("/etc/subuid", 0644), 0);
    EXPECT_EQ(rule_of(find_subids(IdKind::kUid, "alice", Uid{1000})), "granted");
    replace_file("/etc/nsswitch.conf", "subid: no_such_module files\n");
    const auto refused = find_subids(IdKind::kUid, "alice", Uid{1000});
    EXPECT_EQ(rule_of(refused), "SU-NSS");
    EXPECT_TRUE(test::contains(test::text_of(refused), "NSS source no_such_module"));
    ASSERT_EQ(::chmod("/etc/nsswitch.conf", 0666), 0);
    EXPECT_EQ(rule_of(find_subids(IdKind::kUid, "alice", Uid{1000})), "TF-FILE");
  });
}

}  // namespace
}  // namespace userns
