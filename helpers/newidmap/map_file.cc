#include "helpers/newidmap/map_file.h"

#include <cerrno>

#include "common/capability.h"
#include "policy/text.h"

namespace userns::newidmap {
namespace {

Result<void> deny_setgroups(const Result<Fd>& file) {
  if (!file)
    return fail("IM-SETGROUPS", "cannot open the target's setgroups file", file.error().code);
  const auto now = read_all(*file, 16);
  if (!now)
    return fail("IM-SETGROUPS", "cannot read the target's setgroups file", now.error().code);
  if (now->starts_with("deny")) return {};
  if (const auto denied = write_once(*file, "deny"); !denied)
    return fail("IM-SETGROUPS",
                "cannot deny setgroups(2) in the target, and no gid of the map was delegated",
                denied.error().code);
  return {};
}

}  // namespace

CapSet MapFile::needs(const Traits& traits, bool outside_root) {
  return outside_root ? CapSet{traits.capability, CAP_SETFCAP} : CapSet{traits.capability};
}

Result<MapFile> MapFile::open(const Traits& traits, const Process& process, bool by_root) {
  auto file = with_capability(needs(traits, by_root),
                              [&] { return process.open_file(traits.map_file, O_RDWR); });
  if (!file && file.error().code == EACCES)
    return fail(
        "IM-HIDDEN",
        concat("cannot open the target's ", traits.map_file,
               ": it has ended or is not dumpable, so its /proc files are root's; map it before it "
               "changes its ids or execs a setuid or unreadable program"),
        EACCES);
  if (!file)
    return fail("IM-OPEN", concat("cannot open the target's ", traits.map_file), file.error().code);
  return MapFile(std::move(*file),
                 traits.kind == IdKind::kGid ? process.open_file("setgroups", O_RDWR) : Fd());
}

Result<void> MapFile::write(const Traits& traits, const MapGrant& grant) const {
  if (grant.deny_setgroups())
    if (const auto denied = deny_setgroups(setgroups_); !denied) return denied;
  const std::string text = grant.map().kernel_text();
  const auto written = with_capability(needs(traits, grant.needs_setfcap()),
                                       [&] { return write_once(file_, text); });
  if (!written)
    return fail("IM-WRITE",
                concat("the kernel refused the ", traits.map_file,
                       " of the target: it takes one map, and only for a user namespace that was "
                       "made in the one that this program runs in"),
                written.error().code);
  return {};
}

}  // namespace userns::newidmap
