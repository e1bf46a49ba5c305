#include "helpers/cgroup/subtree.h"

#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>

#include "common/trusted_file.h"
#include "policy/text.h"

namespace userns::cgroup {
namespace {

constexpr const char* kMount = "/sys/fs/cgroup";
constexpr const char* kEnable = "cgroup.subtree_control";
constexpr const char* kUnit = "/userns-cgroup.service";  // of ours, with Delegate=yes

Result<Fd> open_base(const std::string& path, CgroupVersion version) {
  auto dir = open_trusted_directory(path);
  if (!dir) return std::unexpected(dir.error());
  if (!*dir || !is_cgroup(**dir, version))
    return fail("CG-BASE", cat(path, " is no directory of a cgroup ", version == CgroupVersion::kV2 ? "v2" : "v1",
                               " file system"));
  return std::move(**dir);
}

Result<std::string> own_path(std::string_view controller) {
  const auto file = open_at(AT_FDCWD, "/proc/self/cgroup", O_RDONLY);
  const auto text = file ? read_all(*file, 64UL << 10U) : std::unexpected(file.error());
  if (!text) return std::unexpected(text.error());
  return std::string(cgroup_path(*text, controller));
}

bool is_populated(const Fd& node, const std::string& name) {
  const auto box = open_cgroup(node, name);
  const auto events = box ? read_cgroup_file(*box, "cgroup.events") : std::unexpected(box.error());
  return !events || !events->starts_with("populated 0\n");
}

// Empty leftovers of the user's, of containers that ended or were never entered.
void sweep(const Fd& node) {
  for (const auto& name : child_cgroups(node).value_or(std::vector<std::string>{}))
    if (!is_populated(node, name)) (void)remove_cgroups(node, name, kDeepest);
}

// v1: no process can enter a cpuset that names no CPUs and memory nodes.
Result<void> fill_cpuset(const Fd& parent, const Fd& dir) {
  for (const char* const file : {"cpuset.cpus", "cpuset.mems"}) {
    const auto text = read_cgroup_file(parent, file);
    auto done = text ? write_cgroup_file(dir, file, *text) : std::unexpected(text.error());
    if (!done) return done;
  }
  return {};
}

Result<void> set_limits(const Fd& node, const CgroupPart& part) {
  for (const auto& [file, text, required] : part.writes)
    if (const auto set = write_cgroup_file(node, file, text); !set && required)
      return fail("CG-LIMIT",
                  cat("cannot set ", file, " to ", text, " in the ", part.controller,
                      part.controller.empty() ? "cgroup2" : "", " hierarchy, so nothing is granted"),
                  set.error().code);
  return {};
}

// The v2 tree counts the containers.
Result<Fd> make_container(const Fd& node, const CgroupGrant& grant, bool is_v2) {
  auto box = make_cgroup(node, grant.name());
  if (!is_v2) return box;
  if (!box || count_children(node) > grant.containers()) {
    sweep(node);
    box = make_cgroup(node, grant.name());
  }
  if (box && count_children(node) > grant.containers())
    return fail("CG-COUNT", cat("the ", grant.containers(),
                                " containers that policy allows are all in use: release one, see userns-cgroup list"));
  return box;
}

// What one hierarchy needs before this process can enter it.
struct Prepared {
  Fd node;
  Fd box;
};

Result<void> prepare(Prepared& made, const Hierarchy& where, const CgroupPart& part, const CgroupGrant& grant,
                     const Caller& caller) {
  const bool is_v2 = part.controller.empty();
  auto node = lock_cgroup(where.base, where.node, true);
  if (!node) return std::unexpected(node.error());
  made.node = std::move(*node);
  Result<void> done;
  if (is_v2 && !grant.enable().empty()) done = write_cgroup_file(where.base, kEnable, grant.enable());
  if (part.controller == "cpuset") done = fill_cpuset(where.base, made.node);
  if (done) done = set_limits(made.node, part);
  if (done && is_v2 && !grant.enable().empty()) done = write_cgroup_file(made.node, kEnable, grant.enable());
  if (!done) return done;
  auto box = make_container(made.node, grant, is_v2);
  if (!box) return std::unexpected(box.error());
  made.box = std::move(*box);
  if (part.controller == "cpuset") return fill_cpuset(made.node, made.box);
  return is_v2 ? hand_over(made.box, caller.uid, caller.gid) : done;
}

Result<void> join(const Fd& dir) { return write_cgroup_file(dir, "cgroup.procs", "0"); }

}  // namespace

Result<void> enter(const CgroupGrant& grant, const Caller& caller, std::span<const Hierarchy> all) {
  std::vector<Prepared> made(all.size());
  Result<void> done;
  for (std::size_t i = 0; i < all.size() && done; ++i) done = prepare(made[i], all[i], grant.parts()[i], grant, caller);
  // v2 is last, so that only v1 has a way back to go.
  for (std::size_t i = all.size(); i > 0 && done; --i) done = join(made[i - 1].box);
  if (done) return done;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].home.valid()) (void)join(all[i].home);
    if (made[i].node.valid()) (void)remove_cgroups(made[i].node, grant.name(), 0);
    (void)remove_cgroups(all[i].base, all[i].node, 0);
  }
  return done;
}

Result<void> release(const ContainerName& name, std::span<const Hierarchy> all) {
  std::vector<Fd> nodes;
  for (const auto& where : all) {
    auto node = lock_cgroup(where.base, where.node, false);
    if (!node && node.error().code != ENOENT) return std::unexpected(node.error());
    nodes.push_back(node ? std::move(*node) : Fd());
  }
  const auto box = nodes[0].valid() ? open_cgroup(nodes[0], name.text()) : Result<Fd>(fail({}, {}, ENOENT));
  if (!box) return fail("CG-GONE", cat("there is no container ", name.text(), " of yours: see userns-cgroup list"));
  if (is_populated(nodes[0], name.text()))
    return fail("CG-BUSY", cat("container ", name.text(), " still has processes: end them first"));
  // v2 is last: its lock is what keeps a new container of this name away.
  Result<void> done;
  for (std::size_t i = all.size(); i > 0 && done; --i) {
    if (nodes[i - 1].valid()) done = remove_cgroups(nodes[i - 1], name.text(), i == 1 ? kDeepest : 0);
    (void)remove_cgroups(all[i - 1].base, all[i - 1].node, 0);
  }
  return done;
}

Result<std::string> list(const Hierarchy& v2, bool json) {
  std::string out;
  const auto node = open_cgroup(v2.base, v2.node);
  if (!node && node.error().code != ENOENT) return std::unexpected(node.error());
  auto names = node ? child_cgroups(*node) : Result<std::vector<std::string>>{};
  if (!names) return std::unexpected(names.error());
  std::ranges::sort(*names);
  for (const auto& name : *names) {
    const bool populated = is_populated(*node, name);
    const std::string path = cat(v2.path, "/", v2.node, "/", name);
    out += json ? cat(out.empty() ? "" : ",", R"({"name":")", name, R"(","populated":)", populated ? "true" : "false",
                      R"(,"path":")", path, "\"}")
                : cat(name, populated ? " running " : " empty ", path, "\n");
  }
  return json ? cat("[", out, "]\n") : out;
}

Result<Hierarchy> open_v2(const std::string& configured, Uid uid) {
  const auto top = open_base(kMount, CgroupVersion::kV2);
  const std::string mount = top ? kMount : cat(kMount, "/unified");
  const std::string unit = cat(mount, "/system.slice", kUnit);
  const std::string found = ::access(unit.c_str(), F_OK) == 0 ? unit : mount;
  const std::string& path = configured.empty() ? found : configured;
  auto base = open_base(path, CgroupVersion::kV2);
  if (!base) return std::unexpected(base.error());
  return Hierarchy{std::move(*base), cat(uid.value()), Fd(), path};
}

Result<Hierarchy> open_v1(std::string_view controller, Uid uid) {
  const auto own = own_path(controller);
  if (!own) return std::unexpected(own.error());
  if (own->empty() || own->contains("/.."))
    return fail("CG-CONTROLLER", cat("this host has no ", controller, " controller that can be used here"));
  const std::string home = cat(kMount, "/", controller, *own);
  std::string path(above_node(home, v1_node(uid)));
  auto at = open_base(home, CgroupVersion::kV1);
  if (!at) return std::unexpected(at.error());
  auto base = open_base(path, CgroupVersion::kV1);
  if (!base) return std::unexpected(base.error());
  return Hierarchy{std::move(*base), v1_node(uid), std::move(*at), std::move(path)};
}

bool is_systemds_own(const std::string& path) {
  if (::access("/run/systemd/system", F_OK) != 0) return false;
  // Root alone can write to any of these directories, so their names are as good as fds.
  for (auto end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    char value = '0';
    // Before systemd 251 only the unit's name tells.
    if ((::getxattr(part.c_str(), "user.delegate", &value, 1) == 1 && value == '1') || part.ends_with(kUnit))
      return false;
    if (end == std::string::npos) return true;
  }
}

}  // namespace userns::cgroup
