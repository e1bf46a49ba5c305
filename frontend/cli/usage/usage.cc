#include "frontend/cli/usage/usage.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "common/fd.h"
#include "frontend/start/ids/process_ids.h"
#include "frontend/store/processes.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kLargest = 1UL << 20U;
constexpr std::uint64_t kMicroseconds = 1'000'000;

std::uint64_t unit_of_stat() {
  return kMicroseconds / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
}
std::uint64_t page() { return static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)); }

std::string_view take_word(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  return take_until(text, ' ');
}

// "KEY NUMBER" or "KEY: NUMBER" in lines.
std::optional<std::uint64_t> number_of(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    auto line = take_until(text, '\n');
    if (take_word(line) == key) return parse_decimal(take_word(line));
  }
  return std::nullopt;
}

// What all processes of one container have come to.
struct Sum {
  std::uint64_t cpu_us = 0;
  std::uint64_t resident = 0;
  std::uint64_t processes = 0;
  TwoSums disk;
  bool hides_disk = false;  // of some process: the file is its owner's alone
};

// utime, stime and those of its ended children, from the third field of proc(5), stat, on.
std::uint64_t cpu_of(pid_t pid) {
  constexpr int kUtime = 14;
  constexpr int kCstime = 17;
  const auto text = stat_of_process(pid);
  std::string_view rest = text;
  std::uint64_t ticks = 0;
  for (int field = 3; field <= kCstime; ++field) {
    const auto value = parse_decimal(take_until(rest, ' '));
    if (field >= kUtime) ticks += value.value_or(0);
  }
  return ticks * unit_of_stat();
}

void add_process(Sum& sum, pid_t pid) {
  ++sum.processes;
  sum.cpu_us += cpu_of(pid);
  const auto memory = kernel_file(concat("/proc/", pid, "/statm"));
  std::string_view rest = memory;
  (void)take_until(rest, ' ');
  sum.resident += parse_decimal(take_until(rest, ' ')).value_or(0) * page();
  const auto io = kernel_file(concat("/proc/", pid, "/io"));
  const auto read = number_of(io, "read_bytes:");
  const auto written = number_of(io, "write_bytes:");
  if (!read || !written) sum.hides_disk = true;
  sum.disk.in += read.value_or(0);
  sum.disk.out += written.value_or(0);
}

// An init of ours hides; then its command is what can be looked at.
std::optional<pid_t> way_in(const ProcessId& init) {
  if (user_namespace_id(init.pid) != 0) return init.pid;
  return first_child(init.pid);
}

struct Found {
  const Watched* watched;
  pid_t pid;
  ino_t top;
};

std::vector<Found> find_all(std::span<const Watched> all) {
  std::vector<Found> found;
  for (const auto& one : all) {
    const Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, one.init.pid, 0)));
    const auto pid = pidfd.valid() && one.init.lives() ? way_in(one.init) : std::nullopt;
    const auto top = pid ? top_namespace(*pid, pidfd) : std::unexpected(Error{});
    if (top) found.push_back({.watched = &one, .pid = *pid, .top = *top});
  }
  return found;
}

std::uint64_t inode_of(const std::string& path) {
  struct stat facts{};
  return ::stat(path.c_str(), &facts) == 0 ? facts.st_ino : 0;
}

void add_nics(Usage& usage, pid_t pid) {
  const auto own = inode_of("/proc/self/ns/net");
  const auto its = inode_of(concat("/proc/", pid, "/ns/net"));
  if (its == 0 || its == own) return;
  const auto sums = nic_sums(kernel_file(concat("/proc/", pid, "/net/dev")));
  usage.received = sums.in;
  usage.sent = sums.out;
}

void add_cgroup(Usage& usage, const std::string& cgroup) {
  const auto cpu = number_of(kernel_file(cgroup + "/cpu.stat"), "usage_usec");
  if (!cpu) return;
  usage.by_cgroup = true;
  usage.cpu_us = *cpu;
  if (const auto memory = kernel_number(cgroup + "/memory.current")) usage.memory = memory;
  usage.memory_limit = kernel_number(cgroup + "/memory.max");
  usage.processes = kernel_number(cgroup + "/pids.current").value_or(usage.processes);
  const auto io_stat = kernel_file(cgroup + "/io.stat");
  if (io_stat.empty()) return;
  const auto io = io_sums(io_stat);
  usage.disk_read = io.in;
  usage.disk_written = io.out;
}

Usage to_usage(const Found& found, const Sum& sum) {
  Usage usage{.user = found.watched->user,
              .name = found.watched->name,
              .cpu_us = sum.cpu_us,
              .memory = sum.resident,
              .processes = sum.processes,
              .ports = found.watched->ports};
  if (!sum.hides_disk) usage.disk_read = sum.disk.in;
  if (!sum.hides_disk) usage.disk_written = sum.disk.out;
  if (!found.watched->cgroup.empty()) add_cgroup(usage, found.watched->cgroup);
  add_nics(usage, found.pid);
  return usage;
}

}  // namespace

std::string kernel_file(const std::string& path) {
  const auto file = open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_NONBLOCK);
  const auto text = file ? read_all(*file, kLargest) : std::unexpected(file.error());
  return text ? *text : std::string{};
}

std::optional<std::uint64_t> kernel_number(const std::string& path) {
  const auto text = kernel_file(path);
  std::string_view rest = text;
  return parse_decimal(take_until(rest, '\n'));
}

TwoSums io_sums(std::string_view text) {
  TwoSums sums;
  while (!text.empty()) {
    auto line = take_until(text, '\n');
    while (!line.empty()) {
      auto value = take_word(line);
      const auto key = take_until(value, '=');
      if (key == "rbytes") sums.in += parse_decimal(value).value_or(0);
      if (key == "wbytes") sums.out += parse_decimal(value).value_or(0);
    }
  }
  return sums;
}

// "  eth0: BYTES and seven more  BYTES and seven more"
TwoSums nic_sums(std::string_view text) {
  constexpr int kSent = 8;
  TwoSums sums;
  while (!text.empty()) {
    auto line = take_until(text, '\n');
    if (!line.contains(':')) continue;
    auto name = take_until(line, ':');
    name.remove_prefix(std::min(name.find_first_not_of(' '), name.size()));
    if (name == "lo") continue;
    sums.in += parse_decimal(take_word(line)).value_or(0);
    for (int field = 1; field < kSent; ++field) (void)take_word(line);
    sums.out += parse_decimal(take_word(line)).value_or(0);
  }
  return sums;
}

Result<std::vector<Usage>> usage_of(std::span<const Watched> watched) {
  const auto found = find_all(watched);
  std::vector<ino_t> tops;
  for (const auto& one : found) tops.push_back(one.top);
  std::map<ino_t, Sum> sums;
  const auto processes = TRY(processes_in(tops));
  for (const auto& process : processes) add_process(sums[process.top], process.pid);
  std::vector<Usage> all;
  for (const auto& one : found)
    // Else its numbers may be another's by now.
    if (auto usage = to_usage(one, sums[one.top]); one.watched->init.lives())
      all.push_back(std::move(usage));
  return all;
}

}  // namespace userns::frontend
