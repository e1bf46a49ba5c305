#include "common/caller.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <memory>

#include "policy/text.h"

namespace userns {
namespace {

// One entry of an NSS database: `look_up` is one of the get...._r functions (getpwnam(3)).
template <class Entry, class Key, class Value>
Result<std::optional<Value>> find(int (*look_up)(Key, Entry*, char*, std::size_t, Entry**), Key key,
                                  std::string_view what, Value (*value_of)(const Entry&)) {
  // More than any entry has, and pages that are not touched cost nothing.
  constexpr std::size_t kLongest = 1UL << 20U;
  const auto buffer = std::make_unique_for_overwrite<char[]>(kLongest);
  Entry entry{}, *found = nullptr;
  const int error = look_up(key, &entry, buffer.get(), kLongest, &found);
  if (found != nullptr) return value_of(entry);
  if (means_absent(error)) return std::nullopt;
  return fail("SU-NAME", concat("cannot look up ", what), error);
}

LoginEntry login_in(const passwd& entry) { return {entry.pw_name, Gid{entry.pw_gid}}; }
Uid uid_in(const passwd& entry) { return Uid{entry.pw_uid}; }
Gid gid_in(const group& entry) { return Gid{entry.gr_gid}; }

}  // namespace

Caller Caller::identify() { return {Uid{::getuid()}, Gid{::getgid()}}; }

Result<std::optional<LoginEntry>> find_login(Uid uid) {
  return find(::getpwuid_r, uid.value(), concat("uid ", uid.value()), login_in);
}

Result<std::optional<Gid>> find_group(std::string_view name) {
  const std::string text(name);
  return find(::getgrnam_r, text.c_str(), concat("group ", quoted(name)), gid_in);
}

Result<std::optional<Uid>> find_user(std::string_view name) {
  const std::string text(name);
  return find(::getpwnam_r, text.c_str(), concat("user ", quoted(name)), uid_in);
}

Result<std::string> login_name(Uid uid) {
  const auto login = find_login(uid);
  if (!login) return std::unexpected(login.error());
  const bool has_name =
      *login && (*login)->name.find_first_not_of("0123456789") != std::string::npos;
  return has_name ? (*login)->name : "";
}

}  // namespace userns
