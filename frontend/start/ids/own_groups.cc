#include "frontend/start/ids/own_groups.h"

#include <grp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>

#include "frontend/start/ids/callers_ids.h"
#include "policy/ids.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

std::optional<std::uint32_t> number_of(const std::string& name) {
  if (const auto number = parse_decimal(name); number && *number <= kLargestId)
    return static_cast<std::uint32_t>(*number);
  std::array<char, 1UL << 16U> space{};
  group entry{};
  group* found = nullptr;
  if (::getgrnam_r(name.c_str(), &entry, space.data(), space.size(), &found) != 0 ||
      found == nullptr)
    return std::nullopt;
  return found->gr_gid;
}

bool is_callers(std::uint32_t gid) {
  if (gid == ::getegid()) return true;
  const int count = ::getgroups(0, nullptr);
  std::vector<gid_t> groups(static_cast<std::size_t>(std::max(count, 0)));
  const int got = ::getgroups(static_cast<int>(groups.size()), groups.data());
  return std::find(groups.begin(), groups.begin() + std::max(got, 0), gid) !=
         groups.begin() + std::max(got, 0);
}

bool is_delegated(std::uint32_t gid, const IdFacts& facts) {
  const auto one = IdRange::make(gid, 1);
  return facts.privileged || gid == facts.gid ||
         (one && std::ranges::any_of(facts.gids.ranges,
                                     [&](const IdRange& range) { return range.contains(*one); }));
}

}  // namespace

Result<std::vector<std::uint32_t>> own_groups(std::span<const std::string> names) {
  std::vector<std::uint32_t> groups;
  if (names.empty()) return groups;
  const auto callers = TRY(CallersIds::find());
  const auto facts = callers.facts();
  for (const auto& name : names) {
    const auto gid = number_of(name);
    if (!gid) return fail({}, concat("--group-add ", quoted(name), ": there is no such group"));
    if (!is_callers(*gid))
      return fail({}, concat("--group-add ", name,
                             ": you are not in this group (log in again if "
                             "you have just been added)"));
    if (!is_delegated(*gid, facts))
      return fail({}, concat("--group-add ", name, ": ", facts.gids.name,
                             " does not give you this group; ask the administrator for the line ",
                             facts.caller_name, ":", *gid,
                             ":1 there, or say --groups keep, with which it has no name inside"));
    groups.push_back(*gid);
  }
  return groups;
}

}  // namespace userns::frontend
