// userns-idmap, from argv to the exit status. Contract: userns-idmap(8).
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
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
#include "helpers/idmap/clone.h"
#include "helpers/idmap/user_namespace.h"
#include "lockdown_blob.h"
#include "policy/text.h"
#include "policy/tree_rules.h"

namespace userns::idmap {
namespace {

constexpr const char* kProgram = "userns-idmap";
constexpr StartupLimits kLimits{.most_args = 8, .longest_arg = 32};
constexpr std::size_t kLongestMap = 340UL * 40;  // 340 lines of three columns
constexpr Needs kNeeds{
    .names = "CAP_SYS_ADMIN", .required = {CAP_SYS_ADMIN}, .wanted = {CAP_AUDIT_WRITE}};

// The word behind --source, --userns or --to, which stand in one order.
Result<Target> word_at(int argc, char** argv, int place) {
  return parse_target(raw_arg(argc, argv, place));
}
constexpr int kSource = 2, kUserns = 4, kTo = 6;

std::optional<int> fd_in(const Result<Target>& word) {
  const auto* const by_fd = word ? std::get_if<ByFd>(&*word) : nullptr;
  return by_fd == nullptr ? std::nullopt : std::optional(by_fd->fd);
}

// 1: the numbers of fds are all that is parsed before the lock.
std::vector<int> named_fds(int argc, char** argv) {
  std::vector<int> found;
  for (const int place : {kSource, kUserns, kTo})
    if (const auto fd = fd_in(word_at(argc, argv, place))) found.push_back(*fd);
  return found;
}

// The user namespace, and its maps, which are read after the lock.
struct Maps {
  UserNamespace userns;
  Fd uid_map, gid_map;
};

// What is opened before the lock. What could not be opened speaks once it is needed.
struct Opened {
  Fd directory, socket;
  Result<Asker> asker;
  Result<Maps> maps;
  std::array<SubidSource, 2> subids;
};

bool is_same(const Fd& one, const Fd& other) {
  struct stat a{}, b{};
  return ::fstat(one.get(), &a) == 0 && ::fstat(other.get(), &b) == 0 && a.st_ino == b.st_ino &&
         a.st_dev == b.st_dev;
}

// A map file is of the user namespace that its process is in when it is opened. A process that
// leaves one can never come back to it, so it was there all the time if it is there before and
// after.
Result<Maps> open_maps(const Result<Target>& target) {
  const auto process = target ? Process::open(*target) : std::unexpected(target.error());
  if (!process) return std::unexpected(process.error());
  auto userns = user_namespace_of(*process);
  if (!userns) return std::unexpected(userns.error());
  auto uid_map = process->open_file("uid_map", O_RDONLY);
  auto gid_map = process->open_file("gid_map", O_RDONLY);
  const auto after = user_namespace_of(*process);
  if (!after) return std::unexpected(after.error());
  if (!is_same(userns->fd, after->fd))
    return fail("ID-MAPS", "the process given with --userns has changed its user namespace");
  if (!uid_map || !gid_map)
    return fail("ID-MAPS", "cannot open the maps of the process given with --userns",
                (uid_map ? gid_map : uid_map).error().code);
  return Maps{std::move(*userns), std::move(*uid_map), std::move(*gid_map)};
}

Fd copy_of(const std::optional<int>& fd) { return Fd(fd ? ::fcntl(*fd, F_DUPFD_CLOEXEC, 0) : -1); }

Opened open_all(int argc, char** argv, const Caller& caller) {
  auto target = word_at(argc, argv, kUserns);
  // Before anything is opened, so that no number means a file of our own.
  if (const auto fd = fd_in(target); fd && ::fcntl(*fd, F_GETFD) < 0)
    target = fail("ID-ARGS", concat("fd:", *fd, " (--userns) is not open"));
  Fd directory = copy_of(fd_in(word_at(argc, argv, kSource)));
  Fd socket = copy_of(fd_in(word_at(argc, argv, kTo)));
  // Before the files that the child must not have even for a moment.
  auto asker = Asker::start(caller.uid);
  return {std::move(directory),
          std::move(socket),
          std::move(asker),
          open_maps(target),
          {SubidSource::open(IdKind::kUid), SubidSource::open(IdKind::kGid)}};
}

// --- after the lock -------------------------------------------------------------------------

struct Gathered {
  std::array<SubidRanges, 2> ranges;
  TreeFacts facts;
};

Result<std::vector<Extent>> read_map(const Fd& file) {
  const auto text = read_all(file, kLongestMap);
  if (!text) return fail("ID-MAPS", "cannot read a map of the user namespace", text.error().code);
  return parse_kernel_map(*text);
}

// One kind of ids: the map, and what policy delegates.
Result<void> gather_ids(Gathered& all, IdKind kind, std::uint64_t own, const Fd& map,
                        const std::string& name, const Caller& caller, const Opened& opened) {
  const std::size_t at = kind == IdKind::kUid ? 0 : 1;
  auto extents = read_map(map);
  if (!extents) return std::unexpected(extents.error());
  auto ranges = opened.subids.at(at).read(name, caller.uid, *opened.asker, *extents);
  if (!ranges) return std::unexpected(ranges.error());
  all.ranges.at(at) = std::move(*ranges);
  all.facts.ids.at(at) = {kind, own, std::move(*extents), &all.ranges.at(at).owned,
                          all.ranges.at(at).source};
  return {};
}

Result<void> gather(Gathered& all, const Caller& caller, const Opened& opened) {
  struct stat directory{};
  if (::fstat(opened.directory.get(), &directory) != 0 || !S_ISDIR(directory.st_mode))
    return fail("ID-SOURCE", "the fd given with --source is not an open directory");
  if (!opened.maps) return std::unexpected(opened.maps.error());
  const auto& [userns, uid_map, gid_map] = *opened.maps;
  if (!opened.asker) return std::unexpected(opened.asker.error());
  const auto login = opened.asker->login(caller.uid);
  if (!login) return std::unexpected(login.error());
  all.facts.caller = caller.uid;
  all.facts.userns_owner = userns.owner;
  all.facts.userns_is_child = userns.is_child;
  all.facts.tree_owner = Uid{directory.st_uid};
  auto done =
      gather_ids(all, IdKind::kUid, caller.uid.value(), uid_map, login->name, caller, opened);
  if (!done) return done;
  return gather_ids(all, IdKind::kGid, caller.gid.value(), gid_map, login->name, caller, opened);
}

std::string map_of(const TreeIds& ids) {
  std::string text;
  for (const auto& extent : ids.map)
    text += concat(text.empty() ? "" : ",", extent.inside().first(), ":", extent.outside().first(),
                   ":", extent.count());
  return text;
}

// Numbers and fixed words only.
std::string summary_of(const Gathered& all, const Fd& directory, const TreeRequest& request) {
  struct stat facts{};
  (void)::fstat(directory.get(), &facts);
  return concat(" dev=", facts.st_dev, " ino=", facts.st_ino, " uids=", map_of(all.facts.ids[0]),
                " gids=", map_of(all.facts.ids[1]), " ro=", request.read_only ? 1 : 0);
}

// The nine steps (SECURITY.md, "The life of a helper"); reporting is main's.
Result<void> give_clone(int argc, char** argv, AuditLog& log, std::string& summary) {
  const auto args = sanitise(argc, argv, kLimits, named_fds(argc, argv));  // 1
  const Caller caller = Caller::identify();                                // 2
  summary = concat("uid=", caller.uid.value(), " gid=", caller.gid.value());
  if (auto dropped = drop_all_but(kNeeds, caller.uid); !dropped) return dropped;  // 3
  const auto opened = open_all(argc, argv, caller);
  if (auto logs = log.open(); !logs) return logs;
  if (auto locked = lock_down(kIdmapFilter, {}, Files::kAsTheyAre); !locked) return locked;
  if (!args) return std::unexpected(args.error());
  const auto request = parse_tree_request(*args);  // 4
  if (!request) return std::unexpected(request.error());
  Gathered all;
  if (auto gathered = gather(all, caller, opened); !gathered) return gathered;  // 5
  summary += summary_of(all, opened.directory, *request);
  const auto grant = decide(all.facts, *request);  // 6
  if (!grant) return std::unexpected(grant.error());
  log.granted(summary);                                                               // 7
  const auto clone = locked_clone(*grant, opened.directory, opened.maps->userns.fd);  // 8
  if (!clone) return std::unexpected(clone.error());
  return send_mount(opened.socket, *clone);
}

}  // namespace
}  // namespace userns::idmap

int main(int argc, char** argv) {
  using namespace userns;
  exit_when_out_of_memory(idmap::kProgram);
  if (argc == 2 && raw_arg(argc, argv, 1) == "--version") {
    const auto line = concat("userns-idmap (userns suite) ", std::string_view(kVersion), "\n");
    const bool said = drop_all_but({}, Caller::identify().uid) &&
                      ::write(STDOUT_FILENO, line.data(), line.size()) > 0;
    return said ? 0 : 1;
  }
  AuditLog log(idmap::kProgram);
  std::string summary;
  const auto done = idmap::give_clone(argc, argv, log, summary);
  if (done) ::_exit(0);
  log.not_done(summary, done.error());
  (void)keep_only({});
  report(idmap::kProgram, done.error());
  ::_exit(1);
}
