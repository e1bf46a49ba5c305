#include "helpers/newidmap/run.h"

#include <unistd.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/audit.h"
#include "common/caller.h"
#include "common/capability.h"
#include "common/config.h"
#include "common/lockdown.h"
#include "common/process.h"
#include "common/report.h"
#include "common/startup.h"
#include "common/subid_source.h"
#include "helpers/newidmap/map_file.h"
#include "lockdown_blob.h"
#include "policy/idmap.h"
#include "policy/idmap_rules.h"
#include "policy/target.h"
#include "policy/text.h"

namespace userns::newidmap {
namespace {

// Twice what a map can take: a little too much is told by IM-EXTENTS, in words of triples.
constexpr StartupLimits kLimits{.most_args = 2 + 6 * kMaxExtents, .longest_arg = 32};

std::vector<int> named_fd(const Result<Target>& target) {
  const auto* by_fd = target ? std::get_if<ByFd>(&*target) : nullptr;
  return by_fd == nullptr ? std::vector<int>{} : std::vector{by_fd->fd};
}

Needs needs_of(const Traits& traits, const Caller& caller) {
  Needs needs{.names = traits.capability_name,
              .required = {traits.capability},
              .wanted = {CAP_AUDIT_WRITE}};
  if (caller.uid == Uid{0}) needs.wanted |= {CAP_SETFCAP};
  return needs;
}

// A grant, and the file that stayed open since it was judged.
struct Permit {
  MapFile map_file;
  MapGrant grant;
};

Result<Permit> judge(const Traits& traits, const Caller& caller, const Target& target,
                     const IdMap& request) {
  auto process = Process::open(target);
  if (!process) return std::unexpected(process.error());
  std::optional<MapFile> map_file;  // none where the target is not the caller's
  bool child_namespace = false;
  if (process->owner() == caller.uid && process->group() == caller.gid) {
    auto opened =
        MapFile::open(traits, *process, caller.uid == Uid{0} && request.outside_root() != nullptr);
    if (!opened) return std::unexpected(opened.error());
    map_file = std::move(*opened);
    const auto userns = user_namespace_of(*process);
    if (!userns) return std::unexpected(userns.error());
    child_namespace = userns->is_child;
  }
  if (auto alive = process->still_alive(); !alive) return std::unexpected(alive.error());
  const auto name = login_name(caller.uid);
  if (!name) return std::unexpected(name.error());
  const auto subids = find_subids(traits.kind, *name, caller.uid);
  if (!subids) return std::unexpected(subids.error());
  auto grant = decide({.kind = traits.kind,
                       .caller_uid = caller.uid,
                       .caller_gid = caller.gid,
                       .caller_name = *name,
                       .target_uid = process->owner(),
                       .target_gid = process->group(),
                       .target_in_child_namespace = child_namespace,
                       .target_already_mapped = map_file && map_file->already_written(),
                       .owned = &subids->owned,
                       .owned_source = subids->source,
                       .skipped = &subids->skipped},
                      request);
  if (!grant) return std::unexpected(grant.error());
  return Permit{std::move(*map_file), std::move(*grant)};
}

std::string summary_of(const IdMap& request) {
  std::string map;
  for (const auto& extent : request.extents())
    map += concat(map.empty() ? "" : ",", extent.inside().first(), ":", extent.outside().first(),
                  ":", extent.count());
  return map;
}

// The nine steps (SECURITY.md, "The life of a helper"); reporting is run()'s. `summary` is what is
// known so far, for the audit record: numbers and fixed words only.
Result<void> map_ids(const Traits& traits, int argc, char** argv, AuditLog& log,
                     std::string& summary) {
  const auto target = parse_target(raw_arg(argc, argv, 1));  // 1: only to know which fd to keep
  const auto args = sanitise(argc, argv, kLimits, named_fd(target));
  const Caller caller = Caller::identify();  // 2
  summary = concat("uid=", caller.uid.value(), " gid=", caller.gid.value());
  if (auto dropped = drop_all_but(needs_of(traits, caller), caller.uid); !dropped)
    return dropped;                                 // 3
  if (!args) return std::unexpected(args.error());  // 4
  if (args->size() < 2)
    return fail("IM-ARGS", concat("usage: ", traits.program,
                                  " PID|fd:N INSIDE OUTSIDE COUNT [INSIDE OUTSIDE COUNT ...]"));
  if (!target) return std::unexpected(target.error());
  const auto request = IdMap::parse(std::span(*args).subspan(1));
  if (!request) return std::unexpected(request.error());
  summary += concat(" target=", args->front(), " map=", summary_of(*request));
  const auto permit = judge(traits, caller, *target, *request);  // 5, 6
  if (!permit) return std::unexpected(permit.error());
  log.open();
  if (auto locked = lock_down(kNewidmapFilter); !locked) return locked;
  log.granted(summary);                                  // 7
  return permit->map_file.write(traits, permit->grant);  // 8
}

}  // namespace

int run(const Traits& traits, int argc, char** argv) {
  exit_when_out_of_memory(traits.program);
  if (raw_arg(argc, argv, 1) == "--version" && argc == 2) {
    const std::string line =
        concat(traits.program, " (userns suite) ", std::string_view(kVersion), "\n");
    return drop_all_but({}, Caller::identify().uid) &&
                   ::write(STDOUT_FILENO, line.data(), line.size()) > 0
               ? 0
               : 1;
  }
  AuditLog log(traits.program);
  std::string summary;
  const auto done = map_ids(traits, argc, argv, log, summary);
  if (done) ::_exit(0);
  log.not_done(summary, done.error());
  (void)keep_only({});
  report(traits.program, done.error());
  ::_exit(1);
}

}  // namespace userns::newidmap
