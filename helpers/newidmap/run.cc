#include <algorithm>
#include <cerrno>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/asker.h"
#include "common/capability.h"
#include "common/helper.h"
#include "common/process.h"
#include "common/subid_source.h"
#include "common/trusted_file.h"
#include "helpers/newidmap/run.h"
#include "lockdown_blob.h"
#include "policy/idmap.h"
#include "policy/idmap_rules.h"
#include "policy/target.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::newidmap {
namespace {

// Twice what a map can take: a little too much is told by IM-EXTENTS, in words of triples.
constexpr StartupLimits kLimits{.most_args = 2 + 6 * kMaxExtents, .longest_arg = 32};

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

// The kernel judges a write by the capabilities of whoever opened the file *and* of whoever writes
// it, and pins the user namespace at open. CAP_SETFCAP: for outside id 0, which only root maps.
CapSet needs_of(const Traits& traits, bool outside_root) {
  return outside_root ? CapSet{traits.capability, CAP_SETFCAP} : CapSet{traits.capability};
}

// The open map of one process.
struct MapFile {
  Fd file;
  Result<Fd> setgroups;  // of gid maps: no file can be opened any more when it is written
};

// As the caller's uid: so the kernel itself checks that the caller owns the namespace.
Result<MapFile> open_map_file(const Traits& traits, const Process& process, bool by_root) {
  auto file = with_capability(needs_of(traits, by_root),
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
  return MapFile{std::move(*file),
                 traits.kind == IdKind::kGid ? process.open_file("setgroups", O_RDWR) : Fd()};
}

// Writes the granted map, all of it or nothing; for gids that were not delegated denies
// setgroups(2) first (IM-SETGROUPS), which cannot be taken back.
Result<void> write_map(const Traits& traits, const MapFile& map, const MapGrant& grant) {
  if (grant.deny_setgroups()) TRY(deny_setgroups(map.setgroups));
  const std::string text = grant.map().kernel_text();
  const auto written = with_capability(needs_of(traits, grant.needs_setfcap()),
                                       [&] { return write_once(map.file, text); });
  if (!written)
    return fail("IM-WRITE",
                concat("the kernel refused the ", traits.map_file,
                       " of the target: it takes one map, and only for a user namespace that was "
                       "made in the one that this program runs in"),
                written.error().code);
  return {};
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
  auto file = open_map_file(traits, *process, caller.uid == Uid{0});
  const auto alive = process->still_alive();
  return alive ? std::move(file) : std::unexpected(alive.error());
}

Opened open_all(const Traits& traits, const Caller& caller, const Result<Target>& target) {
  auto process = target ? Process::open(*target) : std::unexpected(target.error());
  // Before the map file, which the child must not have even for a moment.
  auto asker = Asker::start(caller.uid, Asker::Asks::kUsers);
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
  const auto login = TRY(opened.asker->login(caller.uid));
  auto subids = TRY(opened.subids.read(login.name, caller.uid, *opened.asker, wanted));
  if (!login.group || *login.group == caller.gid) return Policy{login.name, std::move(subids)};
  // As shadow has it.
  if (!opened.login_defs) return std::unexpected(opened.login_defs.error());
  const bool may = login_defs_says_yes(*opened.login_defs, "GRANT_AUX_GROUP_SUBIDS");
  return Policy{login.name, std::move(subids), may};
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

class MapHelper final : public Helper {
 public:
  explicit MapHelper(const Traits& traits)
      : Helper({.name = traits.program, .limits = kLimits, .filter = kNewidmapFilter}),
        traits_(traits) {}

 private:
  std::vector<int> named_fds(int argc, char** argv) override {
    target_ = parse_target(raw_arg(argc, argv, 1));
    return target_ && target_->kind == Target::Kind::kFd ? std::vector{target_->number}
                                                         : std::vector<int>{};
  }
  [[nodiscard]] Needs needs() const override {
    Needs needs{.names = traits_.capability_name,
                .required = {traits_.capability},
                .wanted = {CAP_AUDIT_WRITE}};
    if (Caller::identify().uid == Uid{0}) needs.wanted |= {CAP_SETFCAP};
    return needs;
  }
  void open() override { opened_.emplace(open_all(traits_, caller_, target_)); }
  Result<void> serve(std::span<const std::string_view> args) override;

  const Traits& traits_;
  Result<Target> target_;
  std::optional<Opened> opened_;
};

Result<void> MapHelper::serve(std::span<const std::string_view> args) {
  if (args.size() < 2)
    return fail("IM-ARGS", concat("usage: ", traits_.program,
                                  " PID|fd:N INSIDE OUTSIDE COUNT [INSIDE OUTSIDE COUNT ...]"));
  const auto request = IdMap::parse(args.subspan(1));  // 4
  const auto& [process, asker, map_file, subids, login_defs] = *opened_;
  if (process) summary_ += concat(" target=", process->pid());
  if (request) summary_ += concat(" map=", summary_of(*request));
  if (!target_) return std::unexpected(target_.error());
  if (!request) return std::unexpected(request.error());
  if (!process) return std::unexpected(process.error());
  const auto grant = TRY(judge(traits_, caller_, *opened_, *request));  // 5, 6
  if (!map_file) return std::unexpected(map_file.error());
  record_grant();                               // 7
  return write_map(traits_, *map_file, grant);  // 8
}

}  // namespace

void run(const Traits& traits, int argc, char** argv) { MapHelper(traits).run(argc, argv); }

}  // namespace userns::newidmap
