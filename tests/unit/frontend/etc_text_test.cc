#include "frontend/start/plan/etc_text.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "frontend/start/plan/desktop_text.h"

#include <vector>

#include "frontend/start/plan/network_hosts.h"

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

TEST(PasswdFile, has_the_user_once_and_only_what_can_stand_in_a_line) {
  const UserWish user{.name = "ann", .id = 1000, .home = "/home/ann", .shell = "/bin/sh"};
  EXPECT_EQ(passwd_with("root:x:0:0::/:/bin/sh", user),
            "root:x:0:0::/:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n");
  EXPECT_EQ(group_with("", user), "ann:x:1000:\n");
  EXPECT_FALSE(passwd_with("ann:x:5:5::/:/bin/sh\n", user));
  EXPECT_FALSE(passwd_with("bob:x:1000:5::/:/bin/sh\n", user));
  EXPECT_TRUE(passwd_with("bob:x:10000:1000::/:/bin/sh\n", user));
  for (const std::string name : {"", "a:b", "a\nroot", "-a", "a b"})
    EXPECT_FALSE(passwd_with("", {.name = name, .id = 1, .home = "/", .shell = "/bin/sh"}));
  EXPECT_FALSE(passwd_with("", {.name = "a", .id = 1, .home = "/a:b", .shell = "/bin/sh"}));
  EXPECT_FALSE(passwd_with("", {.name = "a", .id = 1, .home = "/a", .shell = "/x\ny::0:0"}));
}

TEST(Display, is_one_of_this_machine) {
  EXPECT_EQ(local_display(":0"), 0U);
  EXPECT_EQ(local_display(":12.1"), 12U);
  for (const std::string_view text : {"", "0", "host:0", ":", ":a", ":-1", ":70000", ":0/x"})
    EXPECT_FALSE(local_display(text)) << text;
}

TEST(Cookies, of_one_display_for_any_host) {
  using namespace std::string_literals;
  const auto one =
      "\x01\x00\x00\x03"
      "box\x00\x01"
      "0\x00\x01"
      "n\x00\x02"
      "ab"s;
  const auto two =
      "\x01\x00\x00\x03"
      "box\x00\x01"
      "1\x00\x01"
      "n\x00\x02"
      "cd"s;
  const auto wild =
      "\xff\xff\x00\x00\x00\x01"
      "0\x00\x01"
      "n\x00\x02"
      "ab"s;
  EXPECT_EQ(cookies_for(one + two, 0), wild);
  EXPECT_EQ(cookies_for(two, 0), "");
  for (std::size_t size = 0; size < one.size(); ++size)
    EXPECT_EQ(cookies_for(one.substr(0, size), 0), "") << size;
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

TEST(NetworkHosts, TakeThePlaceOfThoseBeforeAndNeverCutTheFile) {
  const auto one = hosts_with_network("127.0.0.1 localhost\n", "10.89.7.2\tweb\n");
  EXPECT_EQ(one, "127.0.0.1 localhost\n10.89.7.2\tweb # userns-run network\n");
  const auto two = hosts_with_network(one, "10.89.7.2\tweb\n10.89.7.3\tdb\n");
  EXPECT_TRUE(two.ends_with("10.89.7.3\tdb # userns-run network\n") && two.starts_with(one));
  const auto none = hosts_with_network(two + "192.0.2.1 own\n", "");
  EXPECT_TRUE(none.starts_with("127.0.0.1 localhost\n192.0.2.1 own\n"));
  EXPECT_EQ(none.find("web"), std::string::npos);
  EXPECT_EQ(none.size(), two.size() + 14) << "a reader who is at its end finds no part of a line";
  EXPECT_EQ(hosts_with_network(none, "10.89.7.2\tweb\n").size(), none.size());
  EXPECT_EQ(hosts_with_network("no line end", ""), "no line end\n");
}

TEST(NetworkHosts, HaveNoNameOfAHostOfTheWorldOrOfTheReaderItself) {
  EXPECT_EQ(neighbour_name("web"), "web");
  EXPECT_EQ(neighbour_name("web.lab"), "web");
  EXPECT_EQ(neighbour_name("deb.debian.org"), "deb");
  for (const char* const none :
       {"", ".", ".org", "localhost", "LocalHost", "localhost.localdomain", "ip6-localhost"})
    EXPECT_EQ(neighbour_name(none), "") << none;
}

}  // namespace
}  // namespace userns::frontend
