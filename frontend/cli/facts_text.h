// A container's facts as text. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "frontend/container/facts.h"

namespace userns::frontend {

struct ListColumns {
  bool size = false;
  bool path = false;  // containers of several stores
};
// `now`: seconds since 1970.
std::string list_table(std::span<const ContainerFacts> all, std::int64_t now, ListColumns columns);
// An array with an object for each; the same keys in each, in userns-run(1).
std::string list_json(std::span<const ContainerFacts> all);

// What info says beyond that.
struct MoreFacts {
  std::string rootfs;
  std::vector<std::string> snapshots;
  std::vector<std::string> network;  // what is wrong with its NICs
  std::vector<std::string> image;    // what an image said that nothing is done about
};
std::string info_text(const ContainerFacts& facts, const MoreFacts& more, std::int64_t now);
std::string info_json(const ContainerFacts& facts, const MoreFacts& more);

}  // namespace userns::frontend
