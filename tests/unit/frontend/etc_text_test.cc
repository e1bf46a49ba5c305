#include "frontend/start/plan/etc_text.h"

#include <gtest/gtest.h>

#include <vector>

namespace userns::frontend {
namespace {

TEST(HostsFile, has_localhost_and_the_own_name) {
  const auto text = hosts_with("", {.own = "box", .addresses = {}, .added = {}});
  EXPECT_EQ(text,
            "127.0.0.1\tlocalhost\t# userns-run\n"
            "::1\tlocalhost ip6-localhost ip6-loopback\t# userns-run\n"
            "127.0.1.1\tbox\t# userns-run\n");
  EXPECT_EQ(hosts_with(*text, {.own = "box", .addresses = {}, .added = {}}), std::nullopt);
}

TEST(HostsFile, keeps_what_others_wrote) {
  const std::string mine = "# mine\n\n127.0.0.1 x localhost # loop\n10.0.0.1\tbox";
  EXPECT_EQ(hosts_with(mine + "\n", {.own = "box", .addresses = {}, .added = {}}), std::nullopt);
  const std::vector<HostWish> added{{.name = "box", .address = "10.2.2.2"}};
  EXPECT_EQ(hosts_with(mine, {.own = "box", .addresses = {}, .added = added}),
            "10.2.2.2\tbox\t# userns-run\n" + mine + "\n");
}

TEST(HostsFile, has_the_addresses_that_are_known_and_forgets_its_own_lines) {
  const std::string old = "127.0.0.1 localhost\n127.0.1.1\told\t# userns-run\n";
  EXPECT_EQ(hosts_with(old, {.own = "new", .addresses = {"10.9.0.5", "fd00::5"}, .added = {}}),
            "127.0.0.1 localhost\n10.9.0.5\tnew\t# userns-run\nfd00::5\tnew\t# userns-run\n");
  // A name in a comment or in the place of an address is none.
  EXPECT_TRUE(hosts_with("127.0.0.1 localhost # box\nbox x\n", {.own = "box"}).has_value());
}

TEST(TimeZoneLink, is_a_name_below_zoneinfo) {
  EXPECT_EQ(zone_of_link("/usr/share/zoneinfo/Europe/Berlin"), "Europe/Berlin");
  EXPECT_EQ(zone_of_link("/etc/elsewhere"), "");
  EXPECT_TRUE(is_utc_link("../usr/share/zoneinfo/Etc/UTC"));
  EXPECT_FALSE(is_utc_link("../usr/share/zoneinfo/Europe/Berlin"));
  EXPECT_TRUE(is_utc_data("TZif2\nUTC0\n"));
  EXPECT_FALSE(is_utc_data("TZif2\nJST-9\n"));
}

TEST(Resolvers, on_the_loopback_are_told_from_others) {
  EXPECT_TRUE(only_loopback_resolvers("# x\nnameserver 127.0.0.53\nnameserver ::1\n"));
  EXPECT_FALSE(only_loopback_resolvers("nameserver 127.0.0.53\nnameserver 9.9.9.9\n"));
  EXPECT_FALSE(only_loopback_resolvers("search example\n#nameserver 127.0.0.1\n"));
}

}  // namespace
}  // namespace userns::frontend
