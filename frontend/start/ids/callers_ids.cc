#include "frontend/start/ids/callers_ids.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "common/fd.h"
#include "frontend/spec/user_database.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kLargestMapFile = std::size_t{340} * 40;

bool holds_setuid_and_setgid() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) return false;
  constexpr unsigned kBoth = 1U << CAP_SETUID | 1U << CAP_SETGID;
  return (data[0].effective & kBoth) == kBoth;
}

// The ids that this process's own user namespace has, as it sees them; empty in the initial one,
// whose ids are the machine's and nobody's to take.
Result<std::vector<IdRange>> own_namespace_ids(const char* path) {
  const auto file = TRY(open_at(AT_FDCWD, path, O_RDONLY));
  const auto text = read_all(file, kLargestMapFile);
  if (!text) return fail({}, concat("cannot read ", path), text.error().code);
  std::vector<IdRange> ranges;
  std::string_view rest = *text;
  while (!rest.empty()) {
    std::array<std::uint64_t, 3> numbers{};
    auto line = take_until(rest, '\n');
    for (auto& number : numbers) {
      line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
      number = parse_decimal(take_until(line, ' ')).value_or(0);
    }
    if (numbers == std::array<std::uint64_t, 3>{0, 0, kLargestId + 1})
      return std::vector<IdRange>{};
    if (const auto range = IdRange::make(numbers[0], numbers[2])) ranges.push_back(*range);
  }
  return ranges;
}

bool is_setgroups_denied() {
  constexpr std::size_t kLongest = 16;
  const auto file = open_at(AT_FDCWD, "/proc/self/setgroups", O_RDONLY);
  const auto text = file ? read_all(*file, kLongest) : Result<std::string>{};
  return text && text->starts_with("deny");
}

Result<void> find_delegated(std::string& name, SubidRanges& uids, SubidRanges& gids) {
  const Uid uid{::getuid()};
  auto login = TRY(login_name(uid));
  name = std::move(login);
  auto found = find_subids(IdKind::kUid, name, uid);
  if (!found) return std::unexpected(found.error());
  uids = std::move(*found);
  found = find_subids(IdKind::kGid, name, uid);
  if (!found) return std::unexpected(found.error());
  gids = std::move(*found);
  return {};
}

AutoSource source_of(const SubidRanges& subids, const std::vector<IdRange>& lines,
                     const std::vector<IdRange>& own) {
  if (!own.empty()) return {.ranges = own, .name = "this user namespace"};
  return {.ranges = subids.owned.ranges(), .lines = lines, .name = subids.source};
}

std::vector<IdRange> lines_of(const SubidRanges& subids) {
  std::vector<IdRange> lines;
  for (const auto& line : subids.owned.shown()) lines.push_back(line.range);
  return lines;
}

}  // namespace

// The root of a container owns all there is in it. Subid files in there speak of ids that may not
// exist, and, where they are the host's, belong to nobody.
Result<CallersIds> CallersIds::find() {
  CallersIds found;
  found.privileged_ = holds_setuid_and_setgid();
  found.setgroups_denied_ = is_setgroups_denied();
  if (found.privileged_) {
    auto own_uids = TRY(own_namespace_ids("/proc/self/uid_map"));
    auto own_gids = TRY(own_namespace_ids("/proc/self/gid_map"));
    found.own_uids_ = std::move(own_uids);
    found.own_gids_ = std::move(own_gids);
    if (!found.own_uids_.empty()) return found;
  }
  TRY(find_delegated(found.name_, found.uids_, found.gids_));
  found.uid_lines_ = lines_of(found.uids_);
  found.gid_lines_ = lines_of(found.gids_);
  return found;
}

IdFacts CallersIds::facts() const {
  return {.uid = ::geteuid(),
          .gid = ::getegid(),
          .privileged = privileged_,
          .caller_name = name_,
          .uids = source_of(uids_, uid_lines_, own_uids_),
          .gids = source_of(gids_, gid_lines_, own_gids_),
          .setgroups_denied = setgroups_denied_,
          .uid_pieces = own_uids_,
          .gid_pieces = own_gids_};
}

Result<ChosenIds> find_ids(const Spec& spec) {
  if (std::holds_alternative<MapAuto>(spec.mapping)) {
    const auto found = TRY(CallersIds::find());
    return choose_ids(spec, found.facts());
  }
  const auto uids = TRY(own_namespace_ids("/proc/self/uid_map"));
  const auto gids = TRY(own_namespace_ids("/proc/self/gid_map"));
  return choose_ids(spec, {.uid = ::geteuid(),
                           .gid = ::getegid(),
                           .privileged = holds_setuid_and_setgid(),
                           .setgroups_denied = is_setgroups_denied(),
                           .uid_pieces = uids,
                           .gid_pieces = gids});
}

}  // namespace userns::frontend
