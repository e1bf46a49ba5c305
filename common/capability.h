// Capabilities of this process: the drop at the start of a helper's life, and the brackets in
// which its few privileged system calls are made. Source: capabilities(7), libcap.
#pragma once

#include <sys/capability.h>

#include <cerrno>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <utility>

#include "policy/error.h"
#include "policy/ids.h"

namespace userns {

// A set of capabilities (capabilities(7) has fewer than 64).
struct CapSet {
  std::uint64_t bits = 0;
  constexpr CapSet() = default;
  constexpr CapSet(std::initializer_list<cap_value_t> caps) {
    for (const cap_value_t cap : caps) bits |= std::uint64_t{1} << static_cast<unsigned>(cap);
  }
  constexpr CapSet& operator|=(CapSet other) { return bits |= other.bits, *this; }
  friend constexpr bool operator==(CapSet, CapSet) = default;
};

// What a helper lives on after its first lines.
struct Needs {
  std::string_view names;  // of the required ones, for the message
  CapSet required;         // without these it cannot do its work
  CapSet wanted;           // kept where they are there (CAP_AUDIT_WRITE in a container may not be)
  // The process will exec a command of the caller's, which is to find as much as it would without
  // us: bounding and inheritable sets and groups stay, no_new_privs is not set.
  bool for_exec = false;
};

// Gives up, for good, every privilege but `needs`, which stay permitted and are not effective:
// ambient set and supplementary groups emptied where the caller's privilege allows, and the
// bounding set where a uid stays root's; all three uids become `uid`, no_new_privs, not dumpable.
// Verified by reading back and by trying to undo it (PR-DROP). Where a required capability is not
// there to be kept: PR-MISSING, with the likeliest reason (lost setuid bit, nosuid, no_new_privs,
// bounding set). `real_and_saved`: where these two shall not be `uid` too. Root's there keep the
// caller from stopping, killing and tracing the process (kill(2)), and give nothing that is not
// permitted; only the effective uid meets files and namespaces.
Result<void> drop_all_but(const Needs& needs, Uid uid, std::optional<Uid> real_and_saved = {});

// All three uids become `uid`, permitted capabilities stay: the caller may stop and kill the
// process again, and the caller's limits count it. For use before each write that the caller can
// block for ever. If the kernel refuses, nothing changes.
void step_down(Uid uid);

// Gives up all that is still permitted but `caps`. Verified (PR-DROP).
Result<void> keep_only(CapSet caps);

namespace detail {
// Makes exactly `caps` effective (empty: none). False where the kernel refused.
bool set_effective(CapSet caps);
[[noreturn]] void abort_still_privileged();
}  // namespace detail

// Runs `act` with `caps` effective and lowers them again; aborts the process where lowering fails.
// Keep `act` to one system or library call. Where raising fails, `act` runs unprivileged and the
// kernel refuses it.
template <std::invocable Act>
auto with_capability(CapSet caps, Act&& act) {
  (void)detail::set_effective(caps);
  auto result = std::forward<Act>(act)();
  const int saved = errno;
  if (!detail::set_effective({})) detail::abort_still_privileged();
  errno = saved;
  return result;
}

}  // namespace userns
