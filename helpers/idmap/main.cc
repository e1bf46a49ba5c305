// userns-idmap, from argv to the exit status. Contract: userns-idmap(8).
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

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

// Before the parsing proper: which fds are not to be closed.
std::vector<int> named_fds(int argc, char** argv) {
  std::vector<int> found;
  for (int i = 2; i < argc && i < 7; i += 2)
    if (const auto target = parse_target(argv[i]); target && std::holds_alternative<ByFd>(*target))
      found.push_back(std::get<ByFd>(*target).fd);
  return found;
}

// What was gathered stays open until the act, so that what is judged is what is acted on.
struct Gathered {
  Fd directory, userns, socket;
  SubidRanges uids, gids;
  TreeFacts facts;
};

Result<std::vector<Extent>> read_map(const Process& process, const char* name) {
  const auto file = process.open_file(name, O_RDONLY);
  const auto text = file ? read_all(*file, kLongestMap) : std::unexpected(file.error());
  if (!text)
    return fail("ID-MAPS", concat("cannot read ", name, " of the process given with --userns"),
                text.error().code);
  return parse_kernel_map(*text);
}

bool is_same(const Fd& one, const Fd& other) {
  struct stat a{}, b{};
  return ::fstat(one.get(), &a) == 0 && ::fstat(other.get(), &b) == 0 && a.st_ino == b.st_ino &&
         a.st_dev == b.st_dev;
}

// Both maps of one user namespace: a process that leaves one can never come back to it, so it was
// there all the time if it is there before and after.
Result<void> gather_userns(Gathered& all, const Target& target) {
  const auto process = Process::open(target);
  if (!process) return std::unexpected(process.error());
  auto userns = user_namespace_of(*process);
  if (!userns) return std::unexpected(userns.error());
  auto uids = read_map(*process, "uid_map");
  auto gids = read_map(*process, "gid_map");
  const auto after = user_namespace_of(*process);
  if (!after) return std::unexpected(after.error());
  if (!is_same(userns->fd, after->fd))
    return fail("ID-MAPS", "the process given with --userns has changed its user namespace");
  if (!uids || !gids) return std::unexpected(uids ? gids.error() : uids.error());
  all.facts.userns_owner = userns->owner;
  all.facts.userns_is_child = userns->is_child;
  all.facts.ids[0].map = std::move(*uids);
  all.facts.ids[1].map = std::move(*gids);
  all.userns = std::move(userns->fd);
  return {};
}

// Before anything is opened, so that no number means a file of our own.
Result<void> take_fds(Gathered& all, const TreeRequest& request) {
  const auto* const by_fd = std::get_if<ByFd>(&request.userns);
  if (by_fd != nullptr && ::fcntl(by_fd->fd, F_GETFD) < 0)
    return fail("ID-ARGS", concat("fd:", by_fd->fd, " (--userns) is not open"));
  all.directory = Fd(::fcntl(request.source, F_DUPFD_CLOEXEC, 0));
  all.socket = Fd(::fcntl(request.to, F_DUPFD_CLOEXEC, 0));
  struct stat facts{};
  if (!all.directory.valid() || ::fstat(all.directory.get(), &facts) != 0 ||
      !S_ISDIR(facts.st_mode))
    return fail("ID-SOURCE", concat("fd:", request.source, " is not an open directory"));
  all.facts.tree_owner = Uid{facts.st_uid};
  return {};
}

Result<void> gather_ranges(Gathered& all, const Caller& caller) {
  const auto asker = Asker::start(caller.uid);
  if (!asker) return std::unexpected(asker.error());
  const auto login = asker->login();
  if (!login) return std::unexpected(login.error());
  const auto read = [&](IdKind kind, const std::vector<Extent>& wanted) {
    return SubidSource::open(kind).read(login->name, caller.uid, *asker, wanted);
  };
  auto uids = read(IdKind::kUid, all.facts.ids[0].map);
  auto gids = read(IdKind::kGid, all.facts.ids[1].map);
  if (!uids || !gids) return std::unexpected(uids ? gids.error() : uids.error());
  all.uids = std::move(*uids);
  all.gids = std::move(*gids);
  return {};
}

Result<void> gather(Gathered& all, const TreeRequest& request, const Caller& caller) {
  if (auto taken = take_fds(all, request); !taken) return taken;
  if (auto userns = gather_userns(all, request.userns); !userns) return userns;
  if (auto ranges = gather_ranges(all, caller); !ranges) return ranges;
  all.facts.caller = caller.uid;
  const auto set = [](TreeIds& ids, IdKind kind, std::uint64_t own, const SubidRanges& ranges) {
    ids.kind = kind;
    ids.own = own;
    ids.owned = &ranges.owned;
    ids.source = ranges.source;
  };
  set(all.facts.ids[0], IdKind::kUid, caller.uid.value(), all.uids);
  set(all.facts.ids[1], IdKind::kGid, caller.gid.value(), all.gids);
  return {};
}

std::string map_of(const TreeIds& ids) {
  std::string text;
  for (const auto& extent : ids.map)
    text += concat(text.empty() ? "" : ",", extent.inside().first(), ":", extent.outside().first(),
                   ":", extent.count());
  return text;
}

// Numbers and fixed words only.
std::string summary_of(const Caller& caller, const Gathered& all, const TreeRequest& request) {
  struct stat facts{};
  (void)::fstat(all.directory.get(), &facts);
  return concat("uid=", caller.uid.value(), " gid=", caller.gid.value(), " dev=", facts.st_dev,
                " ino=", facts.st_ino, " uids=", map_of(all.facts.ids[0]),
                " gids=", map_of(all.facts.ids[1]), " ro=", request.read_only ? 1 : 0);
}

// The nine steps (SECURITY.md, "The life of a helper"); reporting is main's.
Result<void> give_clone(int argc, char** argv, AuditLog& log, std::string& summary) {
  const auto args = sanitise(argc, argv, kLimits, named_fds(argc, argv));  // 1
  const Caller caller = Caller::identify();                                // 2
  summary = concat("uid=", caller.uid.value(), " gid=", caller.gid.value());
  if (auto dropped = drop_all_but(kNeeds, caller.uid); !dropped) return dropped;  // 3
  if (!args) return std::unexpected(args.error());
  const auto request = parse_tree_request(*args);  // 4
  if (!request) return std::unexpected(request.error());
  Gathered all;
  if (auto gathered = gather(all, *request, caller); !gathered) return gathered;  // 5
  summary = summary_of(caller, all, *request);
  const auto grant = decide(all.facts, *request);  // 6
  if (!grant) return std::unexpected(grant.error());
  log.open();
  if (auto locked = lock_down(kIdmapFilter, {}, Files::kAsTheyAre); !locked) return locked;
  log.granted(summary);                                                // 7
  const auto clone = locked_clone(*grant, all.directory, all.userns);  // 8
  if (!clone) return std::unexpected(clone.error());
  return send_mount(all.socket, *clone);
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
  if (done) return 0;
  log.not_done(summary, done.error());
  (void)keep_only({});
  report(idmap::kProgram, done.error());
  return 1;
}
