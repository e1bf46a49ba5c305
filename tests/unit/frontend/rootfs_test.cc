#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>

#include "frontend/rootfs/archive/blobs.h"
#include "frontend/rootfs/archive/digest.h"
#include "frontend/rootfs/archive/path_names.h"
#include "frontend/rootfs/attributes.h"
#include "frontend/rootfs/shift_ids.h"
#include "frontend/rootfs/template_debian.h"
#include "policy/text.h"
#include "tests/unit/expect.h"

namespace userns::frontend {
namespace {

using test::contains;
using test::text_of;

// --- paths ------------------------------------------------------------------------------------

TEST(PathNames, OneSpellingPerPlace) {
  for (const char* path :
       {"usr/bin/x", "/usr/bin/x", "./usr//bin/./x", "usr/bin/x/", "///usr/bin/x//."})
    EXPECT_EQ(joined(path_names(path).value()), "usr/bin/x") << path;
  for (const char* path : {"", ".", "/", "./", "//./"})
    EXPECT_TRUE(path_names(path)->empty()) << path;
}

TEST(PathNames, NothingLeadsUp) {
  for (const char* path : {"..", "a/..", "../a", "/..", "a/../b", "./../a"})
    EXPECT_TRUE(contains(text_of(path_names(path)), "would leave")) << path;
  for (const char* path : {"...", "..a", "a..", ".. ", "a/.../b"})
    EXPECT_TRUE(path_names(path)) << path;
}

TEST(PathNames, LengthsAreThoseOfFileSystems) {
  EXPECT_TRUE(path_names(std::string(255, 'n')));
  EXPECT_TRUE(contains(text_of(path_names(std::string(256, 'n'))), "more than 255"));
  EXPECT_TRUE(contains(text_of(path_names(std::string(4096, '/'))), "more than 4095"));
}

TEST(LinkTarget, IsAMemberOfTheArchiveOrNothing) {
  EXPECT_EQ(link_target("a/layer.tar", "../b/layer.tar"), "b/layer.tar");
  EXPECT_EQ(link_target("a/b/c", "./d"), "a/b/d");
  EXPECT_EQ(link_target("a/b", "/c"), "c");
  EXPECT_EQ(link_target("a", "b"), "b");
  EXPECT_EQ(link_target("a/b", "../../c"), "");
  EXPECT_EQ(link_target("", "../c"), "");
}

// --- attributes -------------------------------------------------------------------------------

TEST(Attributes, OnlyWhatMeansSomethingInsideIsTaken) {
  for (const char* name :
       {"user.x", "security.capability", "system.posix_acl_access", "system.posix_acl_default"})
    EXPECT_TRUE(is_taken(name)) << name;
  for (const char* name : {"user.overlay.opaque", "trusted.x", "security.selinux", "security.ima",
                           "system.nfs4_acl", ""})
    EXPECT_FALSE(is_taken(name)) << name;
}

TEST(Attributes, AnAclIsSortedAndReadBack) {
  const auto value = acl_value({{.tag = 0x20, .permissions = 1, .id = 9},
                                {.tag = 0x02, .permissions = 7, .id = 1000},
                                {.tag = 0x02, .permissions = 6, .id = 33},
                                {.tag = 0x01, .permissions = 7, .id = 9}});
  EXPECT_EQ(value.size(), 4U + 4 * 8);
  const auto entries = acl_entries(value);
  ASSERT_EQ(entries.size(), 4U);
  EXPECT_EQ(entries[0].tag, 0x01);
  EXPECT_EQ(entries[0].id, ~0U);  // only users and groups have one
  EXPECT_EQ(entries[1].id, 33U);
  EXPECT_EQ(entries[2].id, 1000U);
  EXPECT_TRUE(acl_entries("").empty());
  EXPECT_TRUE(acl_entries(std::string("\1\0\0\0xxxxxxxx", 12)).empty());
}

TEST(Attributes, ACapabilityLosesAndGetsItsRoot) {
  const std::string v2("\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  const auto v3 = with_namespace_root(v2, 100000);
  EXPECT_EQ(v3.size(), 24U);
  EXPECT_EQ(namespace_root(v3), 100000U);
  EXPECT_EQ(without_namespace_root(v3), v2);
  EXPECT_EQ(without_namespace_root(v2), v2);
  EXPECT_EQ(without_namespace_root("short"), "short");
  EXPECT_EQ(with_namespace_root("short", 7), "short");
}

// --- ids --------------------------------------------------------------------------------------

ChosenIds block_at(std::uint32_t first, std::uint64_t count = 65536) {
  ChosenIds ids;
  ids.uids = {.extents = {*Extent::make(0, first, count)}, .writer = MapWriter::kHelper};
  ids.gids = ids.uids;
  return ids;
}

TEST(BothIds, OneComesAfterTheOther) {
  const auto both = both_ids(block_at(100000), block_at(200000, 1000));
  ASSERT_TRUE(both);
  EXPECT_EQ(both->ids.uids.extents.size(), 2U);
  EXPECT_EQ(both->uids(0), 65536U);
  EXPECT_EQ(both->gids(999), 66535U);
  EXPECT_EQ(both->uids(1000), std::nullopt);
  EXPECT_EQ(both->uids(0xffffffff), std::nullopt);
}

TEST(BothIds, TheSameIdsStayWhereTheyAre) {
  const auto both = both_ids(block_at(100000), block_at(100000));
  ASSERT_TRUE(both);
  EXPECT_EQ(both->ids.uids.extents.size(), 1U);
  EXPECT_EQ(both->uids(1000), 1000U);
}

TEST(BothIds, SeveralExtentsKeepTheirOrder) {
  auto to = block_at(300000, 10);
  to.uids.extents.push_back(*Extent::make(100, 400000, 5));
  const auto both = both_ids(block_at(100000), to);
  ASSERT_TRUE(both);
  EXPECT_EQ(both->uids(9), 65545U);
  EXPECT_EQ(both->uids(50), std::nullopt);
  EXPECT_EQ(both->uids(104), 65550U);
}

TEST(BothIds, AnOverlapInPartIsAnError) {
  EXPECT_TRUE(contains(text_of(both_ids(block_at(100000), block_at(100005))), "can't be copied"));
}

// --- digests ----------------------------------------------------------------------------------

class TextSource : public Source {
 public:
  explicit TextSource(std::string text) : text_(std::move(text)) {}
  Result<std::string_view> read() override {
    const auto piece = std::string_view(text_).substr(at_, 2);
    at_ += piece.size();
    return piece;
  }

 private:
  std::string text_;
  std::size_t at_ = 0;
};

TEST(Digest, OneSpelling) {
  const std::string hex(64, 'a');
  EXPECT_TRUE(is_digest("sha256:" + hex));
  for (const auto& bad :
       {hex, "sha256:" + hex + "a", "sha256:" + hex.substr(1), "sha512:" + hex, "SHA256:" + hex,
        "sha256:" + std::string(64, 'A'), "sha256:../" + hex.substr(3), std::string{}})
    EXPECT_FALSE(is_digest(bad)) << bad;
}

TEST(Digest, IsThatOfAllThatWasRead) {
  const std::string abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  DigestSource same(std::make_unique<TextSource>("abc"), abc);
  EXPECT_EQ(*same.read(), "ab");
  EXPECT_EQ(text_of(same.check()), "");
  DigestSource more(std::make_unique<TextSource>("abc\n"), abc);
  EXPECT_TRUE(contains(text_of(more.check()), "tampered"));
}

// --- mmdebstrap -------------------------------------------------------------------------------

TEST(Mmdebstrap, TheComplaintIsTheFirstErrorElseTheLastLine) {
  EXPECT_EQ(complaint_in("I: a\nE: first\nE: second\ndone\n\n"), "first");
  EXPECT_EQ(complaint_in("E: no Release file.\nE: apt-get update failed\nI: removing\n"
                         "E: mmdebstrap failed to run\n"),
            "no Release file.");
  EXPECT_EQ(complaint_in("I: a\nW: b\n"), "W: b");
  EXPECT_EQ(complaint_in(""), "");
}

TEST(Mmdebstrap, TheWaysToMirrorsAreTheHostsAndNothingElseOfIt) {
  const auto ways = ways_to_mirrors(
      "APT::Architecture \"amd64\";\nAcquire::http::Proxy \"http://p:1/\";\nAcquire::cdrom "
      "\"\";\nAcquire::Retries "
      "\"3\";\n"
      "DPkg::Pre-Install-Pkgs:: \"rm -rf /\";\n");
  EXPECT_EQ(ways, (std::vector<std::string>{"Acquire::http::Proxy \"http://p:1/\"",
                                            "Acquire::Retries \"3\""}));
}

TEST(Mmdebstrap, SuiteAndTargetComeBeforeTheSources) {
  const auto words = mmdebstrap_words({.suite = "trixie", .packages = {"vim"}},
                                      {"/etc/apt/sources.list"}, {"A \"b\""});
  EXPECT_EQ(words.front(), "mmdebstrap");
  EXPECT_EQ((std::vector<std::string>(words.end() - 3, words.end())),
            (std::vector<std::string>{"trixie", "-", "/etc/apt/sources.list"}));
  EXPECT_NE(std::ranges::find(words, "--include=systemd-sysv,dbus,iproute2,vim"), words.end());
  EXPECT_NE(std::ranges::find(words, "--aptopt=A \"b\""), words.end());
}

}  // namespace
}  // namespace userns::frontend
