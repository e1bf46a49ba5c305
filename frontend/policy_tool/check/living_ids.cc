#include "frontend/policy_tool/check/living_ids.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "common/fd.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kLargestFile = 64UL << 10U;
constexpr std::uint64_t kEveryId = 0xffffffff;  // the count of the initial user namespace's map

std::string text_in(const Fd& process, const char* name) {
  const auto file = open_at(process.get(), name, O_RDONLY);
  return file ? read_all(*file, kLargestFile).value_or("") : std::string{};
}

// The next word of a line, behind blanks.
std::string_view next_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  const auto word = line.substr(0, line.find_first_of(" \t"));
  line.remove_prefix(word.size());
  return word;
}

// What stands behind "Name:" in /proc/PID/status.
std::string_view field(std::string_view status, std::string_view name) {
  while (!status.empty()) {
    auto line = take_until(status, '\n');
    if (take_until(line, ':') == name) return line;
  }
  return {};
}

bool is_same(const Fd& a, const Fd& b) {
  struct stat first{}, second{};
  return ::fstat(a.get(), &first) == 0 && ::fstat(b.get(), &second) == 0 &&
         first.st_ino == second.st_ino && first.st_dev == second.st_dev;
}

// Source: ioctl_ns(2).
std::optional<std::uint32_t> maker_of(const Fd& process) {
  const auto ours = open_at(AT_FDCWD, "/proc/self/ns/user", O_RDONLY);
  auto at = open_at(process.get(), "ns/user", O_RDONLY);
  if (!ours || !at || is_same(*ours, *at)) return std::nullopt;
  for (;;) {
    Fd above(::ioctl(at->get(), NS_GET_PARENT));
    if (!above.valid() || is_same(*ours, above)) break;
    *at = std::move(above);
  }
  uid_t maker = 0;
  const bool is_told = ::ioctl(at->get(), NS_GET_OWNER_UID, &maker) == 0;
  return is_told ? std::optional<std::uint32_t>(maker) : std::nullopt;
}

struct Reader {
  int pid;
  std::string command;
  std::vector<LivingIds>& found;
  std::optional<std::uint32_t> maker = {};

  void add(std::optional<IdRange> range) {
    if (range) found.push_back({*range, pid, command, maker});
  }
  // Real, effective, saved and file system id.
  void add_own(std::string_view ids) {
    for (auto word = next_word(ids); !word.empty(); word = next_word(ids))
      add(IdRange::make(parse_decimal(word).value_or(kLargestId + 1), 1));
  }
  void add_mapped(std::string_view map) {
    while (!map.empty()) {
      auto line = take_until(map, '\n');
      (void)next_word(line);
      const auto outside = parse_decimal(next_word(line)), count = parse_decimal(next_word(line));
      if (outside && count && *count != kEveryId) add(IdRange::make(*outside, *count));
    }
  }
};

}  // namespace

std::vector<LivingIds> living_ids(IdKind kind) {
  std::vector<LivingIds> found;
  const std::unique_ptr<DIR, int (*)(DIR*)> processes(::opendir("/proc"), &::closedir);
  while (const dirent* const entry = processes ? ::readdir(processes.get()) : nullptr) {
    const auto pid = parse_decimal(static_cast<const char*>(entry->d_name));
    const auto process =
        pid ? open_at(AT_FDCWD, concat("/proc/", *pid).c_str(), O_PATH | O_DIRECTORY)
            : Result<Fd>(Fd());
    if (!process || !process->valid()) continue;
    const auto status = text_in(*process, "status");
    auto name = field(status, "Name");
    Reader reader{static_cast<int>(*pid), std::string(next_word(name)), found};
    reader.add_own(field(status, kind == IdKind::kUid ? "Uid" : "Gid"));
    reader.maker = maker_of(*process);
    reader.add_mapped(text_in(*process, kind == IdKind::kUid ? "uid_map" : "gid_map"));
  }
  return found;
}

}  // namespace userns::frontend
