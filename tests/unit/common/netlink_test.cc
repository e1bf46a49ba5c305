#include "common/netlink.h"

#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "tests/unit/expect.h"

namespace userns {
namespace {

ifinfomsg none{};

// With a bridge and a pair on it, in a network namespace of its own.
void in_net(const std::function<void(Netlink&)>& act) {
  test::in_child([&] {
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
    auto netlink = Netlink::open();
    ASSERT_TRUE(netlink);
    NetlinkRequest bridge(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, none);
    bridge.put_name(IFLA_IFNAME, "br0").nest(IFLA_LINKINFO, [](NetlinkRequest& info) {
      info.put_name(IFLA_INFO_KIND, "bridge");
    });
    ASSERT_TRUE(netlink->exchange(bridge));
    const auto made = find_link(*netlink, "br0");
    ASSERT_TRUE(made && *made);
    NetlinkRequest pair(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, none);
    pair.put_name(IFLA_IFNAME, "one")
        .put_number(IFLA_MASTER, (*made)->index)
        .put_number(IFLA_MTU, std::uint32_t{1400});
    pair.nest(IFLA_LINKINFO, [](NetlinkRequest& info) {
      info.put_name(IFLA_INFO_KIND, "veth").nest(IFLA_INFO_DATA, [](NetlinkRequest& data) {
        data.nest(VETH_INFO_PEER, [](NetlinkRequest& peer) {
          peer.raw({reinterpret_cast<const char*>(&none), sizeof none})
              .put_name(IFLA_IFNAME, "two");
        });
      });
    });
    ASSERT_TRUE(netlink->exchange(pair));
    act(*netlink);
  });
}

TEST(Netlink, FindsLinksAsTheyAre) {
  SKIP_WITHOUT_ROOT();
  in_net([](Netlink& netlink) {
    const auto bridge = find_link(netlink, "br0"), one = find_link(netlink, "one");
    ASSERT_TRUE(bridge && *bridge && one && *one);
    EXPECT_EQ((*bridge)->kind, "bridge");
    EXPECT_FALSE((*bridge)->filters_vlans);
    EXPECT_EQ((*one)->kind, "veth");
    EXPECT_EQ((*one)->name, "one");
    EXPECT_EQ((*one)->mtu, 1400U);
    EXPECT_EQ((*one)->master, static_cast<std::uint32_t>((*bridge)->index));
    EXPECT_EQ((*one)->peer, ::if_nametoindex("two"));
    EXPECT_EQ((*one)->address.size(), 6U);
    EXPECT_FALSE((*one)->locked);
    const auto absent = find_link(netlink, "absent");
    EXPECT_TRUE(absent && !*absent);
    EXPECT_TRUE(netlink.has_link("one"));
    EXPECT_FALSE(netlink.has_link("absent"));
  });
}

TEST(Netlink, GivesEachMessageOfADump) {
  SKIP_WITHOUT_ROOT();
  in_net([](Netlink& netlink) {
    NetlinkRequest request(RTM_GETLINK, NLM_F_DUMP, none);
    std::vector<Link> links;
    ASSERT_TRUE(
        netlink.exchange(request, [&](const nlmsghdr& answer) { links.emplace_back(answer); }));
    for (const char* const name : {"lo", "br0", "one", "two"})
      EXPECT_EQ(std::ranges::count(links, name, &Link::name), 1) << name;
  });
}

TEST(Netlink, HandsOnWhatTheKernelHasAgainstARequest) {
  SKIP_WITHOUT_ROOT();
  in_net([](Netlink& netlink) {
    NetlinkRequest again(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, none);
    again.put_name(IFLA_IFNAME, "one").nest(IFLA_LINKINFO, [](NetlinkRequest& info) {
      info.put_name(IFLA_INFO_KIND, "bridge");
    });
    const auto taken = netlink.exchange(again);
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().code, EEXIST);
    EXPECT_TRUE(test::contains(taken.error().text, "the kernel refused"));
    NetlinkRequest unknown(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, none);
    unknown.put_name(IFLA_IFNAME, "x").nest(IFLA_LINKINFO, [](NetlinkRequest& info) {
      info.put_name(IFLA_INFO_KIND, "no-such-kind");
    });
    const auto refused = netlink.exchange(unknown);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, EOPNOTSUPP);
    EXPECT_TRUE(test::contains(refused.error().text, " ('")) << "in the kernel's own words";
  });
}

}  // namespace
}  // namespace userns
