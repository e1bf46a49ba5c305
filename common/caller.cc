#include "common/caller.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "policy/text.h"

namespace userns {
namespace {

// One entry of an NSS database: `ask` finds it, `take` what we want of it, `none` is for its absence.
template <class Entry, class Wanted, class Ask, class Take>
Result<Wanted> look_up(std::string_view what, Wanted none, Ask ask, Take take) {
  constexpr std::size_t kLongestEntry = 1UL << 20U;
  for (std::vector<char> buffer(4096); buffer.size() <= kLongestEntry; buffer.resize(buffer.size() * 4)) {
    Entry entry{};
    Entry* found = nullptr;
    const int error = ask(&entry, buffer.data(), buffer.size(), &found);
    if (found != nullptr) return take(*found);
    // "No such entry" is spelled in all of these ways, by getpwnam(3).
    if (error == 0 || error == ENOENT || error == ESRCH) return none;
    if (error != ERANGE) return fail("SU-NAME", cat("cannot look up ", what), error);
  }
  return fail("SU-NAME", cat("the entry of ", what, " is longer than 1 MiB"));
}

}  // namespace

Caller Caller::identify() { return {Uid{::getuid()}, Gid{::getgid()}}; }

Result<std::vector<Gid>> supplementary_groups() {
  const int count = ::getgroups(0, nullptr);
  std::vector<gid_t> raw(count < 0 ? 0 : static_cast<std::size_t>(count));
  if (count < 0 || ::getgroups(count, raw.data()) != count)
    return fail("ST-STATE", "cannot read the caller's supplementary groups", errno);
  std::vector<Gid> groups;
  groups.reserve(raw.size());
  for (const gid_t gid : raw) groups.emplace_back(gid);
  return groups;
}

Result<std::string> login_name(Uid uid) {
  return look_up<passwd>(
      cat("uid ", uid.value()), std::string{},
      [&](auto* entry, auto* buffer, auto size, auto** found) {
        return ::getpwuid_r(uid.value(), entry, buffer, size, found);
      },
      [](const passwd& entry) {
        const std::string_view name = entry.pw_name;
        const bool is_number = name.find_first_not_of("0123456789") == std::string_view::npos;
        return std::string(is_number || name.find_first_of("@:*") != std::string_view::npos ? "" : name);
      });
}

Result<std::optional<Gid>> group_id(std::string_view name) {
  const std::string text(name);
  return look_up<group>(
      cat("group ", quoted(name)), std::optional<Gid>{},
      [&](auto* entry, auto* buffer, auto size, auto** found) {
        return ::getgrnam_r(text.c_str(), entry, buffer, size, found);
      },
      [](const group& entry) { return std::optional(Gid{entry.gr_gid}); });
}

}  // namespace userns
