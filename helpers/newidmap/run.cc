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
#include "common/process.h"
#include "common/report.h"
#include "common/startup.h"
#include "common/subid_source.h"
#include "helpers/newidmap/map_file.h"
#include "policy/idmap.h"
#include "policy/idmap_rules.h"
#include "policy/target.h"
#include "policy/text.h"

namespace userns::newidmap {
namespace {

// Twice what a map can take: a little too much is told by IM-EXTENTS, in words of triples.
constexpr StartupLimits kLimits{.most_args = 2 + 6 * kMaxExtents, .longest_arg = 32};

std::optional<int> named_fd(const Result<Target>& target) {
  const auto* by_fd = target ? std::get_if<ByFd>(&*target) : nullptr;
  return by_fd == nullptr ? std::nullopt : std::optional(by_fd->fd);
}

Needs needs_of(const Traits& traits, const Caller& caller) {
  Needs needs{.names = traits.capability_name, .required = {traits.capability}, .wanted = {CAP_AUDIT_WRITE}};
  if (caller.uid == Uid{0}) needs.wanted.add({CAP_SETFCAP});
  return needs;
}

// What was gathered stays open until the act, so that what is judged is what is acted on.
struct Gathered {
  Process process;
  std::optional<MapFile> map_file;  // none where the target is not the caller's
  bool child_namespace = false;
  std::string name;
  SubidRanges subids;

  [[nodiscard]] MapFacts facts(const Traits& traits, const Caller& caller) const {
    return {.kind = traits.kind,
            .caller_uid = caller.uid,
            .caller_gid = caller.gid,
            .caller_name = name,
            .target_uid = process.owner(),
            .target_gid = process.group(),
            .target_in_child_namespace = child_namespace,
            .target_already_mapped = map_file && map_file->already_written(),
            .owned = &subids.owned,
            .owned_source = subids.source,
            .skipped = &subids.skipped};
  }
};

Result<Gathered> gather(const Traits& traits, const Caller& caller, const Target& target, const IdMap& request) {
  auto process = Process::open(target);
  if (!process) return std::unexpected(process.error());
  Gathered all{.process = std::move(*process), .map_file = {}, .child_namespace = false, .name = {}, .subids = {}};
  if (all.process.owner() == caller.uid && all.process.group() == caller.gid) {
    const bool outside_root = caller.uid == Uid{0} && request.maps_outside_root();
    auto map_file = MapFile::open(traits, all.process, outside_root);
    if (!map_file) return std::unexpected(map_file.error());
    all.map_file = std::move(*map_file);
    const auto child = in_child_user_namespace(all.process);
    if (!child) return std::unexpected(child.error());
    all.child_namespace = *child;
  }
  if (auto alive = all.process.still_alive(); !alive) return std::unexpected(alive.error());
  auto name = login_name(caller.uid);
  if (!name) return std::unexpected(name.error());
  all.name = std::move(*name);
  auto subids = find_subids(traits.kind, all.name, caller.uid);
  if (!subids) return std::unexpected(subids.error());
  all.subids = std::move(*subids);
  return all;
}

std::string summary_of(const IdMap& request) {
  constexpr std::size_t kLongest = 512;  // a record is a line, not a dump of 340 triples
  std::string map;
  for (const auto& extent : request.extents())
    map += cat(map.empty() ? "" : ",", extent.inside().first(), ":", extent.outside().first(), ":", extent.count());
  return map.size() > kLongest ? cat(map.substr(0, kLongest), "...") : map;
}

// The nine steps (SECURITY.md, "The life of a helper"); reporting is run()'s. `summary` is what is known so far, for
// the audit record: numbers and fixed words only.
Result<void> map_ids(const Traits& traits, int argc, char** argv, std::string& summary) {
  const auto target = parse_target(raw_arg(argc, argv, 1));  // 1: only to know which fd to keep
  const auto args = sanitise(argc, argv, kLimits, named_fd(target));
  const Caller caller = Caller::identify();  // 2
  summary = cat("uid=", caller.uid.value(), " gid=", caller.gid.value());
  if (auto dropped = drop_all_but(needs_of(traits, caller), caller.uid); !dropped) return dropped;  // 3
  if (!args) return std::unexpected(args.error());                                                  // 4
  if (args->size() < 2)
    return fail("IM-ARGS", cat("usage: ", traits.program, " PID|fd:N INSIDE OUTSIDE COUNT [INSIDE OUTSIDE COUNT ...]"));
  if (!target) return std::unexpected(target.error());
  const auto request = IdMap::parse(std::span(*args).subspan(1));
  if (!request) return std::unexpected(request.error());
  summary += cat(" target=", args->front(), " map=", summary_of(*request));
  const auto gathered = gather(traits, caller, *target, *request);  // 5
  if (!gathered) return std::unexpected(gathered.error());
  const auto grant = decide(gathered->facts(traits, caller), *request);  // 6
  if (!grant) return std::unexpected(grant.error());
  audit({.program = traits.program, .text = cat(summary, " rule=none"), .granted = true});  // 7
  CapSet spent{CAP_AUDIT_WRITE};
  if (!grant->needs_setfcap()) spent.add({CAP_SETFCAP});
  if (auto dropped = forget(spent); !dropped) return dropped;
  return gathered->map_file->write(traits, gathered->process, *grant);  // 8
}

}  // namespace

int run(const Traits& traits, int argc, char** argv) {
  exit_when_out_of_memory(traits.program);
  if (raw_arg(argc, argv, 1) == "--version" && argc == 2) {
    const std::string line = cat(traits.program, " (userns suite) ", std::string_view(kVersion), "\n");
    return drop_all_but({}, Caller::identify().uid) && ::write(STDOUT_FILENO, line.data(), line.size()) > 0 ? 0 : 1;
  }
  std::string summary;
  const auto done = map_ids(traits, argc, argv, summary);
  if (done) return 0;
  const auto rule = done.error().rule.empty() ? "system" : done.error().rule;
  audit({.program = traits.program, .text = cat(summary, " rule=", rule), .granted = false});
  (void)forget(CapSet::all());
  report(traits.program, done.error());
  return 1;
}

}  // namespace userns::newidmap
