#include "frontend/start/process_ids.h"

#include <algorithm>
#include <array>

#include "common/fd.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kLargestMapFile = std::size_t{340} * 40;

Result<std::string> read_of(pid_t pid, const char* name) {
  const auto path = cat("/proc/", pid, "/", std::string_view(name));
  const auto file = open_at(AT_FDCWD, path.c_str(), O_RDONLY);
  auto text = file ? read_all(*file, kLargestMapFile) : Result<std::string>(std::unexpected(file.error()));
  if (!text) return fail({}, cat("cannot read ", path), text.error().code);
  return text;
}

}  // namespace

std::vector<Extent> parse_map_file(std::string_view text) {
  std::vector<Extent> extents;
  while (!text.empty()) {
    auto line = take_until(text, '\n');
    std::array<std::uint64_t, 3> numbers{};
    for (auto& number : numbers) {
      line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
      number = parse_decimal(take_until(line, ' ')).value_or(0);
    }
    if (const auto extent = Extent::make(numbers[0], numbers[1], numbers[2])) extents.push_back(*extent);
  }
  return extents;
}

Result<ChosenIds> ids_of_process(pid_t pid) {
  const auto uids = read_of(pid, "uid_map");
  if (!uids) return std::unexpected(uids.error());
  const auto gids = read_of(pid, "gid_map");
  if (!gids) return std::unexpected(gids.error());
  const auto setgroups = read_of(pid, "setgroups");
  if (!setgroups) return std::unexpected(setgroups.error());
  ChosenIds ids;
  ids.uids.extents = parse_map_file(*uids);
  ids.gids.extents = parse_map_file(*gids);
  ids.deny_setgroups = setgroups->starts_with("deny");
  return ids;
}

}  // namespace userns::frontend
