#include "helpers/cgroup/subtree.h"

#include <linux/sched.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/trusted_file.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::cgroup {
namespace {

constexpr const char* kMount = "/sys/fs/cgroup";
constexpr const char* kEnable = "cgroup.subtree_control";
constexpr const char* kLeaf = "monitor";                 // of userns-run
constexpr const char* kUnit = "/userns-cgroup.service";  // of ours, with Delegate=yes

Result<Fd> open_base(const std::string& path, CgroupVersion version) {
  auto dir = TRY(open_trusted_directory(path));
  if (!dir || !is_cgroup(*dir, version))
    return fail("CG-BASE", concat(path, " is not a directory of a cgroup ",
                                  version == CgroupVersion::kV2 ? "v2" : "v1", " file system"));
  return std::move(*dir);
}

Result<std::string> own_path(std::string_view controller) {
  const auto file = open_at(AT_FDCWD, "/proc/self/cgroup", O_RDONLY);
  const auto text = TRY(file ? read_all(*file, 64UL << 10U) : std::unexpected(file.error()));
  return std::string(cgroup_path(text, controller));
}

// Where this process is in v2, a directory that may be the caller's. None if that cannot be seen
// from here: then what /proc says is of another cgroup namespace than the mount.
Fd find_home(const std::string& mount, const std::string& own) {
  const auto top = open_at(AT_FDCWD, mount.c_str(), O_PATH | O_DIRECTORY);
  auto home = top ? open_cgroup(*top, concat(".", own)) : std::unexpected(top.error());
  const auto pids = home ? read_cgroup_file(*home, "cgroup.procs") : std::unexpected(home.error());
  const bool is_here = pids && concat("\n", *pids).contains(concat("\n", ::getpid(), "\n"));
  return is_here ? std::move(*home) : Fd();
}

bool is_populated(const Fd& user, const std::string& name) {
  const auto container = open_cgroup(user, name);
  if (!container) return true;
  // Nothing is handed over in v1, so there is no process further down.
  const bool is_v2 = is_cgroup(*container, CgroupVersion::kV2);
  const auto text = read_cgroup_file(*container, is_v2 ? "cgroup.events" : "cgroup.procs");
  return !text || !(is_v2 ? text->starts_with("populated 0\n") : text->empty());
}

// v1: no process can enter a cpuset that names no CPUs and memory nodes.
Result<void> fill_cpuset(const Fd& parent, const Fd& dir) {
  for (const char* const file : {"cpuset.cpus", "cpuset.mems"}) {
    const auto text = read_cgroup_file(parent, file);
    TRY(text ? write_cgroup_file(dir, file, *text) : std::unexpected(text.error()));
  }
  return {};
}

Result<void> set_limits(const Fd& user, const CgroupPart& part) {
  for (const auto& [file, text, required] : part.writes)
    if (const auto set = write_cgroup_file(user, file, text); !set && required)
      return fail(
          "CG-LIMIT",
          concat("cannot set ", file, " to ", text, " in the ", part.controller,
                 part.controller.empty() ? "cgroup2" : "", " hierarchy, so nothing is granted"),
          set.error().code);
  return {};
}

// Limits of devices and page sizes stay in the kernel until they are taken back one by one. What
// fails leaves a limit.
void take_back_unnamed(const Fd& user, const CgroupPart& part) {
  if (part.controller != "" && part.controller != "blkio" && part.controller != "hugetlb") return;
  for (const auto& file : interface_files(user).value_or(std::vector<std::string>{})) {
    const bool lists = file == "io.max" || file.starts_with("blkio.throttle.");
    const auto text = lists ? read_cgroup_file(user, file).value_or("") : "";
    for (const auto& write : taken_back(part, file, text))
      (void)write_cgroup_file(user, write.file, write.text);
  }
}

// What one hierarchy needs before this process can enter it.
struct Prepared {
  Fd user;
  Fd container;
};

Result<void> prepare_user_cgroup(Prepared& made, const Hierarchy& where, const CgroupPart& part,
                                 const CgroupGrant& grant) {
  const bool enables = part.controller.empty() && !grant.enable().empty();
  made.user = TRY(lock_cgroup(where.base, where.place.user_cgroup, true));
  Result<void> done;
  if (enables) done = write_cgroup_file(where.base, kEnable, grant.enable());
  if (part.controller == "cpuset") done = fill_cpuset(where.base, made.user);
  if (done) done = set_limits(made.user, part);
  if (done) take_back_unnamed(made.user, part);
  if (done && enables) done = write_cgroup_file(made.user, kEnable, grant.enable());
  return done;
}

// Empty leftovers of the user's, of containers that ended or were never entered. The count
// hierarchy's, which tells of them, is the last to go.
void sweep(std::span<const Prepared> made) {
  for (const auto& name : child_cgroups(made[0].user).value_or(std::vector<std::string>{}))
    if (!is_populated(made[0].user, name))
      for (std::size_t i = made.size(); i > 0; --i)
        (void)remove_cgroups(made[i - 1].user, name, i == 1 ? kDeepest : 0);
}

// The kernel refuses forks alone: who enters, and is already there, looks.
Result<void> look_for_room(const Prepared& made, const CgroupPart& part) {
  const auto limit = std::ranges::find(part.writes, "pids.max", &CgroupWrite::file);
  const auto most = limit == part.writes.end() ? std::nullopt : parse_decimal(limit->text);
  if (!most) return {};
  auto text = TRY(read_cgroup_file(made.user, "pids.current"));
  std::string_view rest = text;
  if (parse_decimal(take_until(rest, '\n')).value_or(UINT64_MAX) <= *most) return {};
  return fail(
      "CG-FULL",
      concat("the ", *most, " processes and threads that policy allows are all in use: end some"));
}

// The tree of the count hierarchy counts the containers.
Result<void> make_container(std::span<Prepared> made, std::size_t at, const CgroupGrant& grant,
                            const Caller& caller) {
  const Fd& user = made[at].user;
  const auto controller = grant.parts()[at].controller;
  auto container = make_cgroup(user, grant.name());
  if (at == 0 && (!container || count_children(user) > grant.containers())) {
    sweep(made);
    container = make_cgroup(user, grant.name());
  }
  if (at == 0 && container && count_children(user) > grant.containers())
    return fail(
        "CG-COUNT",
        concat(
            "the ", grant.containers(),
            " containers that policy allows are all in use: release one, see userns-cgroup list"));
  if (!container) return std::unexpected(container.error());
  made[at].container = std::move(*container);
  if (controller == "cpuset") return fill_cpuset(user, made[at].container);
  return controller.empty() ? hand_over(made[at].container, caller.uid, caller.gid)
                            : Result<void>{};
}

Result<void> join(const Fd& dir, std::string_view controller) {
  return join_cgroup(dir, controller.empty() ? CgroupVersion::kV2 : CgroupVersion::kV1);
}

// fork(2), but that the child has the same parent as this process, and begins in `v2`. It inherits
// the cgroups of v1. No capability is needed as long as cgroup.procs there is root's.
Result<Side> fork_beside(const Fd* v2) {
  clone_args args{};
  args.flags = CLONE_PARENT | (v2 != nullptr ? CLONE_INTO_CGROUP : 0);
  if (v2 != nullptr) args.cgroup = static_cast<__u64>(v2->get());
  const auto pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid >= 0) return pid == 0 ? Side::kInside : Side::kOutside;
  if (errno != EAGAIN) return fail_errno("cannot start a process in the cgroup");
  return fail("CG-FULL", "the processes and threads that policy allows are all in use: end some");
}

Result<Side> begin_in_leaf(const Fd& container, const CgroupGrant& grant, const Caller& caller) {
  if (!grant.enable().empty()) TRY(write_cgroup_file(container, kEnable, grant.enable()));
  TRY(remove_cgroups(container, kLeaf, 0));  // an older one is the user's
  const auto leaf = TRY(make_cgroup(container, kLeaf));
  auto side = fork_beside(&leaf);
  if (!side) (void)remove_cgroups(container, kLeaf, 0);
  if (side == Side::kInside) TRY(hand_over(leaf, caller.uid, caller.gid));
  return side;
}

// The count hierarchy is the last.
Result<Side> go(std::span<const Prepared> made, const CgroupGrant& grant, const Caller& caller,
                Goer goer) {
  const auto parts = grant.parts();
  const bool begins_in_v2 = goer == Goer::kNewProcess && parts[0].controller.empty();
  const std::size_t first = begins_in_v2 ? 1 : 0;  // of those that this process joins
  for (std::size_t i = made.size(); i > first; --i)
    TRY(join(made[i - 1].container, parts[i - 1].controller));
  for (std::size_t i = first; i < made.size(); ++i) TRY(look_for_room(made[i], parts[i]));
  if (goer == Goer::kThisProcess) return Side::kInside;
  return begins_in_v2 ? begin_in_leaf(made[0].container, grant, caller) : fork_beside(nullptr);
}

}  // namespace

Result<Side> enter(const CgroupGrant& grant, const Caller& caller, std::span<const Hierarchy> all,
                   Goer goer) {
  std::vector<Prepared> made(all.size());
  Result<void> done;
  for (std::size_t i = 0; i < all.size() && done; ++i)
    done = prepare_user_cgroup(made[i], all[i], grant.parts()[i], grant);
  for (std::size_t i = 0; i < all.size() && done; ++i)
    done = make_container(made, i, grant, caller);
  auto side = done ? go(made, grant, caller, goer) : std::unexpected(done.error());
  if (side) return side;
  for (std::size_t i = 0; i < all.size(); ++i) {
    (void)join(all[i].home, all[i].controller);
    if (made[i].user.valid()) (void)remove_cgroups(made[i].user, grant.name(), 0);
  }
  return side;
}

void take_back(const Hierarchy& where, const CgroupPart& part) {
  const auto user = lock_cgroup(where.base, where.place.user_cgroup, false);
  if (!user) return;
  if (part.controller == "cpuset") (void)fill_cpuset(where.base, *user);
  (void)set_limits(*user, part);
  take_back_unnamed(*user, part);
}

Result<void> release(const ContainerName& name, std::span<const Hierarchy> all) {
  std::vector<Fd> users;
  for (const auto& where : all) {
    auto user = lock_cgroup(where.base, where.place.user_cgroup, false);
    if (!user && user.error().code != ENOENT) return std::unexpected(user.error());
    users.push_back(user ? std::move(*user) : Fd());
  }
  const auto container =
      users[0].valid() ? open_cgroup(users[0], name.text()) : Result<Fd>(fail({}, {}, ENOENT));
  if (!container)
    return fail("CG-GONE",
                concat("there is no container ", name.text(), " of yours: see userns-cgroup list"));
  if (is_populated(users[0], name.text()))
    return fail("CG-BUSY",
                concat("container ", name.text(), " still has processes: end them first"));
  // The count hierarchy is last: its lock is what keeps a new container of this name away.
  Result<void> done;
  for (std::size_t i = all.size(); i > 0 && done; --i)
    if (users[i - 1].valid())
      done = remove_cgroups(users[i - 1], name.text(), i == 1 ? kDeepest : 0);
  return done;
}

Result<std::string> list(const Hierarchy& counted, bool json) {
  std::string out;
  const auto user = open_cgroup(counted.base, counted.place.user_cgroup);
  if (!user && user.error().code != ENOENT) return std::unexpected(user.error());
  auto names = TRY(user ? child_cgroups(*user) : Result<std::vector<std::string>>{});
  std::ranges::sort(names);
  for (const auto& name : names) {
    const bool populated = is_populated(*user, name);
    const std::string path = concat(counted.path, "/", counted.place.user_cgroup, "/", name);
    out += json ? concat(out.empty() ? "" : ",", R"({"name":")", name, R"(","populated":)",
                         populated ? "true" : "false", R"(,"path":")", path, "\"}")
                : concat(name, populated ? " running " : " empty ", path, "\n");
  }
  return json ? concat("[", out, "]\n") : out;
}

Result<Hierarchy> open_v1(std::string_view controller, const CgroupConf& conf, Uid uid) {
  const auto own = TRY(own_path(controller));
  if (own.empty() || own.contains("/.."))
    return fail("CG-CONTROLLER",
                concat("this host has no ", controller, " controller that can be used here"));
  const auto mount = concat(kMount, "/", controller), home = concat(mount, own);
  const std::string path = conf.v1_base.empty()
                               ? std::string(above_user_cgroup(home, v1_user_cgroup(uid)))
                               : concat(mount, conf.v1_base);
  auto at = TRY(open_base(home, CgroupVersion::kV1));
  auto base = TRY(path == home ? open_cgroup(at, ".") : open_base(path, CgroupVersion::kV1));
  return Hierarchy{controller,
                   std::move(base),
                   path,
                   std::move(at),
                   {own, path_below(mount, path), v1_user_cgroup(uid)}};
}

Result<Hierarchy> open_count_hierarchy(const CgroupConf& conf, Uid uid) {
  const auto top = open_at(AT_FDCWD, kMount, O_PATH | O_DIRECTORY);
  const std::string mount =
      top && is_cgroup(*top, CgroupVersion::kV2) ? kMount : concat(kMount, "/unified");
  const std::string unit = concat(mount, "/system.slice", kUnit);
  const std::string found = open_at(AT_FDCWD, unit.c_str(), O_PATH) ? unit : mount;
  const std::string& path = conf.base.empty() ? found : conf.base;
  auto base = open_base(path, CgroupVersion::kV2);
  if (base) {
    const auto own = TRY(own_path(""));
    auto home = find_home(mount, own);
    const CgroupPlace place{home.valid() ? own : "", path_below(mount, path), concat(uid.value())};
    return Hierarchy{{}, std::move(*base), path, std::move(home), place};
  }
  if (conf.base.empty() && base.error().rule == "CG-BASE")
    for (const std::string_view controller : kV1Controllers)
      if (auto v1 = open_v1(controller, conf, uid); v1 || v1.error().rule != "CG-CONTROLLER")
        return v1;
  return std::unexpected(base.error());
}

bool is_systemds_own(const Hierarchy& v2, const CgroupConf& conf) {
  if (!v2.controller.empty() || ::access("/run/systemd/system", F_OK) != 0) return false;
  // Root alone can write to any of these directories, so their names are as good as fds.
  for (auto end = v2.path.find('/', 1);; end = v2.path.find('/', end + 1)) {
    const std::string part = v2.path.substr(0, end);
    char value = '0';
    // Before systemd 251 nothing that this process can read tells: only a unit of ours is known, or
    // root's word.
    const bool told = part.ends_with(kUnit) ||
                      (conf.delegated && (part.ends_with(".service") || part.ends_with(".scope")));
    if (told || (::getxattr(part.c_str(), "user.delegate", &value, 1) == 1 && value == '1'))
      return false;
    if (end == std::string::npos) return true;
  }
}

}  // namespace userns::cgroup
