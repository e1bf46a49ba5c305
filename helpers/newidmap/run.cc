#include "helpers/newidmap/run.h"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/asker.h"
#include "common/audit.h"
#include "common/caller.h"
#include "common/capability.h"
#include "common/config.h"
#include "common/lockdown.h"
#include "common/process.h"
#include "common/report.h"
#include "common/startup.h"
#include "common/subid_source.h"
#include "common/trusted_file.h"
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

// What is opened before the lock. What could not be opened speaks once it is needed.
struct Opened {
  Result<Process> process;
  Result<Asker> asker;
  Result<MapFile> map_file;
  SubidSource subids;
  Result<std::string> login_defs;
};

// Nothing but a process of the caller's is opened with a capability.
Result<MapFile> open_map(const Traits& traits, const Caller& caller,
                         const Result<Process>& process) {
  if (!process) return std::unexpected(process.error());
  if (process->owner() != caller.uid || process->group() != caller.gid)
    return fail("IM-OWNER", "the target process is not the caller's");
  auto file = MapFile::open(traits, *process, caller.uid == Uid{0});
  const auto alive = process->still_alive();
  return alive ? std::move(file) : std::unexpected(alive.error());
}

Opened open_all(const Traits& traits, const Caller& caller, const Result<Target>& target) {
  auto process = target ? Process::open(*target) : std::unexpected(target.error());
  // Before the map file, which the child must not have even for a moment.
  auto asker = Asker::start(caller.uid);
  auto map_file = open_map(traits, caller, process);
  return {std::move(process), std::move(asker), std::move(map_file), SubidSource::open(traits.kind),
          read_trusted_file("/etc/login.defs", "SU-NAME")};
}

// What policy says, where more is asked for than an own id.
struct Policy {
  std::string name;
  SubidRanges subids;
  bool group_may_delegate = true;
};

Result<Policy> read_policy(const Caller& caller, const Opened& opened,
                           std::span<const Extent> wanted) {
  if (!opened.asker) return std::unexpected(opened.asker.error());
  const auto login = opened.asker->login(caller.uid);
  if (!login) return std::unexpected(login.error());
  auto subids = opened.subids.read(login->name, caller.uid, *opened.asker, wanted);
  if (!subids) return std::unexpected(subids.error());
  if (!login->group || *login->group == caller.gid) return Policy{login->name, std::move(*subids)};
  // As shadow has it.
  if (!opened.login_defs) return std::unexpected(opened.login_defs.error());
  const bool may = login_defs_says_yes(*opened.login_defs, "GRANT_AUX_GROUP_SUBIDS");
  return Policy{login->name, std::move(*subids), may};
}

Result<MapGrant> judge(const Traits& traits, const Caller& caller, const Opened& opened,
                       const IdMap& request) {
  const auto is_own = [&](const Extent& extent) {
    return is_own_id(traits.kind, caller.uid, caller.gid, extent);
  };
  // An own id needs no policy; but where the own gid is delegated, setgroups(2) stays allowed.
  std::vector<Extent> wanted;
  std::ranges::remove_copy_if(request.extents(), std::back_inserter(wanted), is_own);
  const bool needs_none = wanted.empty();
  auto policy =
      needs_none && traits.kind == IdKind::kUid ? Policy{} : read_policy(caller, opened, wanted);
  if (!policy && needs_none) policy = Policy{};
  if (!policy) return std::unexpected(policy.error());
  return decide({.kind = traits.kind,
                 .caller_uid = caller.uid,
                 .caller_gid = caller.gid,
                 .caller_name = policy->name,
                 .target_uid = opened.process->owner(),
                 .target_gid = opened.process->group(),
                 .group_may_delegate = policy->group_may_delegate,
                 .owned = &policy->subids.owned,
                 .owned_source = policy->subids.source,
                 .skipped = &policy->subids.skipped},
                request);
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
  const auto target =
      parse_target(raw_arg(argc, argv, 1));  // 1: all that is parsed before the lock
  const auto args = sanitise(argc, argv, kLimits, named_fd(target));
  const Caller caller = Caller::identify();  // 2
  summary = concat("uid=", caller.uid.value(), " gid=", caller.gid.value());
  if (auto dropped = drop_all_but(needs_of(traits, caller), caller.uid); !dropped)
    return dropped;  // 3
  const auto opened = open_all(traits, caller, target);
  if (auto logs = log.open(); !logs) return logs;
  if (auto locked = lock_down(kNewidmapFilter); !locked) return locked;
  if (!args) return std::unexpected(args.error());  // 4
  if (args->size() < 2)
    return fail("IM-ARGS", concat("usage: ", traits.program,
                                  " PID|fd:N INSIDE OUTSIDE COUNT [INSIDE OUTSIDE COUNT ...]"));
  const auto request = IdMap::parse(std::span(*args).subspan(1));
  if (opened.process) summary += concat(" target=", opened.process->pid());
  if (request) summary += concat(" map=", summary_of(*request));
  if (!target) return std::unexpected(target.error());
  if (!request) return std::unexpected(request.error());
  if (!opened.process) return std::unexpected(opened.process.error());
  const auto grant = judge(traits, caller, opened, *request);  // 5, 6
  if (!grant) return std::unexpected(grant.error());
  if (!opened.map_file) return std::unexpected(opened.map_file.error());
  log.granted(summary);                           // 7
  return opened.map_file->write(traits, *grant);  // 8
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
