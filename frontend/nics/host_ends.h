// NICs that userns-net made, as anybody can see them: their host ends.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "policy/error.h"
#include "policy/net_rules.h"

namespace userns::frontend {

struct HostEnd {
  std::string name;
  int index = 0;
  Slot slot;
  std::string bridge;                  // empty: none
  std::uint32_t master = 0;            // its ifindex
  std::int32_t netnsid = -1;           // of the other end; -1: none, or it is just ending
  std::string alias;                   // as userns-net set it, plain words; empty: another's words
  std::uint32_t peer = 0;              // ifindex of the other end, in its namespace
  bool is_up = false;                  // this end
  bool has_carrier = false;            // the other end is up, too
  bool is_locked = false;              // to its MAC address
  bool is_disabled = false;            // by the bridge: it forwards nothing
  std::vector<std::string> addresses;  // that it was given
  std::uint64_t sent = 0, received = 0;  // bytes, as the container sees it
  // A word of the alias: "container", "name", "mac", "bridge", "user"; empty: none.
  [[nodiscard]] std::string word(std::string_view key) const;
};
Result<std::vector<HostEnd>> all_nics();

// One in a line, or an array of JSON (userns-net(8)).
std::string list_text(std::span<const HostEnd> nics, bool json);
// With user, container, addresses, bytes and what is wrong with a port.
std::string list_all_text(std::span<const HostEnd> nics, bool json);

// What LXC tells a NIC by.
struct NicWanted {
  std::string_view container, bridge;
  std::string_view name;  // of the host end, or inside at its creation; empty: any
};
bool fits(const HostEnd& nic, const NicWanted& wanted);

}  // namespace userns::frontend
