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
  std::string bridge;         // empty: none
  std::int32_t netnsid = -1;  // of the other end; -1: none, or it is just ending
  std::string alias;          // as userns-net set it, plain words; empty: another's words
};
Result<std::vector<HostEnd>> all_nics();

// One in a line, or an array of JSON (userns-net(8)).
std::string list_text(std::span<const HostEnd> nics, bool json);

// What LXC tells a NIC by.
struct NicWanted {
  std::string_view container, bridge;
  std::string_view name;  // of the host end, or inside at its creation; empty: any
};
bool fits(const HostEnd& nic, const NicWanted& wanted);

}  // namespace userns::frontend
