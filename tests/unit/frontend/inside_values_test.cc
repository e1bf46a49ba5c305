#include "frontend/spec/inside_values.h"

#include <gtest/gtest.h>
#include <sched.h>

namespace userns::frontend {
namespace {

TEST(Sizes, are_positive_and_have_units) {
  EXPECT_EQ(parse_bytes("4096").value(), 4096U);
  EXPECT_EQ(parse_bytes("64M").value(), 64U << 20U);
  EXPECT_EQ(parse_bytes("8388607T").value(), std::uint64_t{8388607} << 40U);
  for (const auto* bad : {"", "0", "M", "-1", "1k", "1.5G", "8388608T", "99999999999999999999"})
    EXPECT_FALSE(parse_bytes(bad)) << bad;
}

TEST(Tmpfs, takes_settings_that_it_knows) {
  const auto plain = parse_tmpfs("/srv");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->options, "");
  const auto wish = parse_tmpfs("/srv:size=1M,mode=0700,nosuid,noexec,ro,nr_inodes=5");
  ASSERT_TRUE(wish);
  EXPECT_EQ(wish->options, "size=1048576,mode=0700,nr_inodes=5");
  EXPECT_TRUE(wish->has_mode && wish->no_exec && wish->read_only);
  EXPECT_FALSE(parse_tmpfs("/srv:noexec,exec")->no_exec);
  for (const auto* bad : {"", "srv", "/srv:", "/srv:,", "/srv:size", "/srv:size=", "/srv:mode=8",
                          "/srv:mode=77777", "/srv:uid=0", "/srv:noexec=1", "/srv:x", "/a/../b"})
    EXPECT_FALSE(parse_tmpfs(bad)) << bad;
}

TEST(AddHost, is_a_name_and_an_address) {
  EXPECT_EQ(parse_add_host("db:10.0.0.7")->address, "10.0.0.7");
  EXPECT_EQ(parse_add_host("db:fd00:0::7")->address, "fd00::7");
  EXPECT_EQ(parse_add_host("db:[::1]")->address, "::1");
  for (const auto* bad :
       {"", "db", "db:", ":10.0.0.1", "a b:10.0.0.1", "db:10.0.0", "db:[10.0.0.1"})
    EXPECT_FALSE(parse_add_host(bad)) << bad;
}

TEST(Sysctls, are_those_of_namespaces_alone) {
  EXPECT_EQ(parse_sysctl("net.ipv4.ip_forward=1")->space, std::uint64_t{CLONE_NEWNET});
  EXPECT_EQ(parse_sysctl("kernel.sem=1 2 3 4")->value, "1 2 3 4");
  EXPECT_EQ(parse_sysctl("fs.mqueue.msg_max=5")->space, std::uint64_t{CLONE_NEWIPC});
  for (const auto* bad : {"net.ipv4.ip_forward", "=1", "net=1", "kernel.panic=1", "fs.file-max=1",
                          "net..x=1", "net.x/..=1", "/proc=1", "net.a b=1", "kernel.hostname=x",
                          "user.max_user_namespaces=1", "net.x.=1"})
    EXPECT_FALSE(parse_sysctl(bad)) << bad;
}

TEST(TimeZones, are_names_below_zoneinfo) {
  for (const auto* good :
       {"host", "keep", "UTC", "Europe/Berlin", "America/Argentina/Ushuaia", "Etc/GMT+5"})
    EXPECT_TRUE(parse_time_zone(good)) << good;
  for (const auto* bad : {"", "/etc/passwd", "../x", "a b", "Europe/", "x\n"})
    EXPECT_FALSE(parse_time_zone(bad)) << bad;
}

}  // namespace
}  // namespace userns::frontend
