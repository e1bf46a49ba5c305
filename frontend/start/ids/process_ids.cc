#include "frontend/start/ids/process_ids.h"

#include <algorithm>
#include <array>

#include "common/fd.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kLargestMapFile = std::size_t{340} * 40;
constexpr std::size_t kLargestStat = 4096;
constexpr int kStatBeforeFlags = 6;      // state, ppid, pgrp, session, tty_nr, tpgid
constexpr std::uint64_t kExiting = 0x4;  // PF_EXITING, set before it lets go of anything
constexpr std::uint64_t kForkedButNotExeced =
    0x40;  // PF_FORKNOEXEC, cleared before an exec closes the first fd

Result<std::string> read_of(pid_t pid, const char* name) {
  const auto path = concat("/proc/", pid, "/", std::string_view(name));
  const auto file = open_at(AT_FDCWD, path.c_str(), O_RDONLY);
  auto text =
      file ? read_all(*file, kLargestMapFile) : Result<std::string>(std::unexpected(file.error()));
  if (!text) return fail({}, concat("cannot read ", path), text.error().code);
  return text;
}

std::uint64_t kernel_flags(pid_t pid) {
  const auto text = stat_of_process(pid);
  std::string_view rest = text;
  for (int field = 0; field < kStatBeforeFlags; ++field) take_until(rest, ' ');
  return parse_decimal(take_until(rest, ' ')).value_or(0);
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
    if (const auto extent = Extent::make(numbers[0], numbers[1], numbers[2]))
      extents.push_back(*extent);
  }
  return extents;
}

Result<ChosenIds> ids_of_process(pid_t pid) {
  const auto uids = TRY(read_of(pid, "uid_map"));
  const auto gids = TRY(read_of(pid, "gid_map"));
  const auto setgroups = TRY(read_of(pid, "setgroups"));
  ChosenIds ids;
  ids.uids.extents = parse_map_file(uids);
  ids.gids.extents = parse_map_file(gids);
  ids.deny_setgroups = setgroups.starts_with("deny");
  return ids;
}

std::string stat_of_process(pid_t pid) {
  const auto file = open_at(AT_FDCWD, concat("/proc/", pid, "/stat").c_str(), O_RDONLY);
  const auto text =
      file ? read_all(*file, kLargestStat) : Result<std::string>(std::unexpected(file.error()));
  return text ? text->substr(std::min(text->rfind(')') + 2, text->size())) : std::string{};
}

bool has_not_execed(pid_t pid) { return (kernel_flags(pid) & kForkedButNotExeced) != 0; }

bool is_dying(pid_t pid) { return (kernel_flags(pid) & kExiting) != 0; }

}  // namespace userns::frontend
