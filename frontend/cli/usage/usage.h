// What running containers use: by their cgroups, or, without one, by what /proc says of their
// processes. All of it is the host kernel's word; the container is not asked, nor is its monitor.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "frontend/store/state.h"
#include "policy/error.h"

namespace userns::frontend {

struct Watched {
  std::string user;  // empty: the caller
  std::string name;
  ProcessId init;
  std::string cgroup;  // the one that is below its limits; empty: it has none
  std::vector<std::string> ports;
};

struct Usage {
  std::string user;
  std::string name;
  bool by_cgroup = false;    // CPU and, as far as there is a controller, the rest
  std::uint64_t cpu_us = 0;  // so far
  double cpu_percent = 0;    // since the look before; 100: one CPU
  std::optional<std::uint64_t> memory;
  std::optional<std::uint64_t> memory_limit;
  std::uint64_t processes = 0;
  std::optional<std::uint64_t> disk_read;
  std::optional<std::uint64_t> disk_written;
  std::optional<std::uint64_t> received;  // by its NICs; none: the network is not its own
  std::optional<std::uint64_t> sent;
  std::vector<std::string> ports;
};

// In the same order, without those that have ended.
Result<std::vector<Usage>> usage_of(std::span<const Watched> watched);

// Sums of the files io.stat and /proc/PID/net/dev. Pure.
struct TwoSums {
  std::uint64_t in = 0;
  std::uint64_t out = 0;
};
TwoSums io_sums(std::string_view io_stat);
TwoSums nic_sums(std::string_view net_dev);

// A small file of the kernel's; empty: it cannot be read.
std::string kernel_file(const std::string& path);
// The number in such a file; none: it is "max", or not there.
std::optional<std::uint64_t> kernel_number(const std::string& path);

}  // namespace userns::frontend
