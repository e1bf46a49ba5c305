#include "frontend/oci/config/mount_options.h"

#include <sys/mount.h>

#include "tests/unit/expect.h"

namespace userns::frontend {
namespace {

using test::contains;
using test::text_of;

MountOptions of(const std::vector<std::string>& options) {
  return parse_mount_options(options).value();
}

TEST(OciMountOptions, FlagsAndDataAreToldApart) {
  const auto options = of({"nosuid", "mode=755", "ro", "size=65536k"});
  EXPECT_EQ(options.set, std::uint64_t{MOUNT_ATTR_NOSUID | MOUNT_ATTR_RDONLY});
  EXPECT_EQ(options.data, "mode=755,size=65536k");
}

TEST(OciMountOptions, TheLastOfTwoThatContradictHolds) {
  EXPECT_EQ(of({"ro", "rw"}).set, 0U);
  EXPECT_EQ(of({"ro", "rw"}).clear, std::uint64_t{MOUNT_ATTR_RDONLY});
  EXPECT_EQ(of({"rw", "ro"}).set, std::uint64_t{MOUNT_ATTR_RDONLY});
  EXPECT_EQ(of({"rw", "ro"}).clear, 0U);
}

TEST(OciMountOptions, AnRBeforeAFlagIsForAllBelow) {
  const auto options = of({"rro", "rnosuid"});
  EXPECT_EQ(options.set, 0U);
  EXPECT_EQ(options.set_below, std::uint64_t{MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID});
  EXPECT_EQ(of({"relatime"}).set_below, 0U);
}

TEST(OciMountOptions, AccessTimesAreOneField) {
  EXPECT_EQ(of({"noatime"}).set, std::uint64_t{MOUNT_ATTR_NOATIME});
  EXPECT_EQ(of({"noatime", "strictatime"}).set, std::uint64_t{MOUNT_ATTR_STRICTATIME});
}

TEST(OciMountOptions, BindsAndPropagation) {
  EXPECT_TRUE(of({"bind"}).bind);
  EXPECT_FALSE(of({"bind"}).bind_below);
  EXPECT_TRUE(of({"rbind"}).bind_below);
  EXPECT_EQ(of({"rslave"}).propagation, std::uint64_t{MS_SLAVE});
  EXPECT_TRUE(of({"rslave"}).propagation_below);
  EXPECT_FALSE(of({"shared"}).propagation_below);
}

TEST(OciMountOptions, WhatIsNotDoneIsRefusedByName) {
  for (const char* option : {"idmap", "ridmap", "idmap=uids=0-1-1", "sync"})
    EXPECT_TRUE(contains(text_of(parse_mount_options({option})), option));
  EXPECT_FALSE(parse_mount_options({"mode=755,size=1k"}));
}

}  // namespace
}  // namespace userns::frontend
