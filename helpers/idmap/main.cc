// userns-idmap, from argv to the exit status. Contract: userns-idmap(8).
#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/asker.h"
#include "common/helper.h"
#include "common/process.h"
#include "common/subid_source.h"
#include "helpers/idmap/clone.h"
#include "helpers/idmap/user_namespace.h"
#include "lockdown_blob.h"
#include "policy/text.h"
#include "policy/tree_rules.h"
#include "policy/try.h"

namespace userns::idmap {
namespace {

constexpr std::size_t kLongestMap = 340UL * 40;  // 340 lines of three columns

// The words behind --source, --userns and --to, which stand in one order.
constexpr int kSource = 2, kUserns = 4, kTo = 6;

// A number of an fd, or -1.
int fd_in(const Result<Target>& word) {
  return word && word->kind == Target::Kind::kFd ? word->number : -1;
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
  Fd mounts;
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
  const auto process = TRY(target ? Process::open(*target) : std::unexpected(target.error()));
  auto userns = TRY(user_namespace_of(process));
  auto uid_map = process.open_file("uid_map", O_RDONLY);
  auto gid_map = process.open_file("gid_map", O_RDONLY);
  const auto after = TRY(user_namespace_of(process));
  if (!is_same(userns.fd, after.fd))
    return fail("ID-MAPS", "the process given with --userns has changed its user namespace");
  if (!uid_map || !gid_map)
    return fail("ID-MAPS", "cannot open the maps of the process given with --userns",
                (uid_map ? gid_map : uid_map).error().code);
  return Maps{std::move(userns), std::move(*uid_map), std::move(*gid_map)};
}

Fd copy_of(const Result<Target>& word) { return Fd(::fcntl(fd_in(word), F_DUPFD_CLOEXEC, 0)); }

Opened open_all(const Result<Target>& source, Result<Target> target, const Result<Target>& to,
                const Caller& caller) {
  // Before anything is opened, so that no number means a file of our own.
  if (const int fd = fd_in(target); fd >= 0 && ::fcntl(fd, F_GETFD) < 0)
    target = fail("ID-ARGS", concat("fd:", fd, " (--userns) is not open"));
  Fd directory = copy_of(source);
  Fd socket = copy_of(to);
  // Before the files that the child must not have even for a moment.
  auto asker = Asker::start(caller.uid, Asker::Asks::kUsers);
  return {std::move(directory),
          std::move(socket),
          std::move(asker),
          open_maps(target),
          open_at(AT_FDCWD, "/proc/self/mountinfo", O_RDONLY).value_or(Fd()),
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
  auto extents = TRY(read_map(map));
  all.ranges.at(at) = TRY(opened.subids.at(at).read(name, caller.uid, *opened.asker, extents));
  all.facts.ids.at(at) = {kind, own, std::move(extents), &all.ranges.at(at).owned,
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
  const auto login = TRY(opened.asker->login(caller.uid));
  all.facts.caller = caller.uid;
  all.facts.userns_owner = userns.owner;
  all.facts.userns_is_child = userns.is_child;
  all.facts.tree_owner = Uid{directory.st_uid};
  TRY(gather_ids(all, IdKind::kUid, caller.uid.value(), uid_map, login.name, caller, opened));
  return gather_ids(all, IdKind::kGid, caller.gid.value(), gid_map, login.name, caller, opened);
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

class IdmapHelper final : public Helper {
 public:
  IdmapHelper()
      : Helper({.name = "userns-idmap",
                .limits = {.most_args = 8, .longest_arg = 32},
                .filter = kIdmapFilter,
                .files = Files::kAsTheyAre}) {}

 private:
  std::vector<int> named_fds(int argc, char** argv) override {
    source_ = parse_target(raw_arg(argc, argv, kSource));
    userns_ = parse_target(raw_arg(argc, argv, kUserns));
    to_ = parse_target(raw_arg(argc, argv, kTo));
    return {fd_in(source_), fd_in(userns_), fd_in(to_)};
  }
  [[nodiscard]] Needs needs() const override {
    return {.names = "CAP_SYS_ADMIN", .required = {CAP_SYS_ADMIN}, .wanted = {CAP_AUDIT_WRITE}};
  }
  void open() override { opened_.emplace(open_all(source_, userns_, to_, caller_)); }
  Result<void> serve(std::span<const std::string_view> args) override;

  Result<Target> source_, userns_, to_;
  std::optional<Opened> opened_;
};

Result<void> IdmapHelper::serve(std::span<const std::string_view> args) {
  const auto request = TRY(parse_tree_request(args));  // 4
  Gathered all;
  TRY(gather(all, caller_, *opened_));  // 5
  summary_ += summary_of(all, opened_->directory, request);
  const auto grant = TRY(decide(all.facts, request));  // 6
  record_grant();                                      // 7
  const auto clone =
      TRY(locked_clone(grant, opened_->directory, opened_->maps->userns.fd, opened_->mounts));  // 8
  return send_mount(opened_->socket, clone);
}

}  // namespace
}  // namespace userns::idmap

int main(int argc, char** argv) { userns::idmap::IdmapHelper().run(argc, argv); }
