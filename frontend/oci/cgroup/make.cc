#include "frontend/oci/cgroup/make.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <string_view>
#include <vector>

#include "frontend/oci/cgroup/place.h"
#include "frontend/run/cgroup/files.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

std::string above(const std::string& path) { return path.substr(0, path.rfind('/')); }
bool is_there(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

unsigned count_missing(std::string path) {
  unsigned missing = 0;
  for (; !is_there(path) && path.size() > 1; path = above(path)) ++missing;
  return missing;
}

// Directories that somebody else removes meanwhile, as empty, are made again.
Result<void> make_all(const std::string& path) {
  constexpr int kTries = 10;
  for (int tries = 0; tries < kTries; ++tries) {
    if (::mkdir(path.c_str(), 0755) == 0) return {};
    if (errno != ENOENT) break;
    if (auto made = make_all(above(path)); !made && made.error().code != EEXIST) return made;
  }
  return fail_errno(concat("cannot make the cgroup ", path));
}

// --- where a wish is written ----------------------------------------------------------------

std::string_view controller_of(const ResourceWish& wish) {
  std::string_view rest(wish.file);
  return take_until(rest, '.');
}

// Those of v1 of whose hierarchy v2 has nothing.
bool is_for_v1(const ResourceWish& wish, const std::string& v2_controllers) {
  if (wish.v1.file.empty() || top_of_v1(wish.v1.hierarchy).empty()) return false;
  if (wish.file.empty()) return true;
  std::string_view rest(v2_controllers);
  for (rest = rest.substr(0, rest.find('\n')); !rest.empty();)
    if (take_until(rest, ' ') == controller_of(wish)) return false;
  return true;
}

std::string v2_controllers() {
  return read_path(AT_FDCWD, top_of_cgroups() + "/cgroup.controllers").value_or("");
}

std::set<std::string> hierarchies_for(const OciResources& resources) {
  std::set<std::string> names;
  const auto v2 = v2_controllers();
  for (const auto& wish : resources.wishes)
    if (is_for_v1(wish, v2)) names.insert(wish.v1.hierarchy);
  return names;
}

// Those that are wished for, and those by which engines tell what was used. From the top, since
// each comes from the one above.
void enable(const std::string& path, const OciResources& resources) {
  std::set<std::string> names{"cpu", "io", "memory", "pids"};
  for (const auto& wish : resources.wishes) names.emplace(controller_of(wish));
  const auto top = top_of_cgroups();
  for (std::size_t end = top.size(); end < path.size();
       end = std::min(path.find('/', end + 1), path.size())) {
    const auto file = concat(path.substr(0, end), "/cgroup.subtree_control");
    if (::access(file.c_str(), W_OK) != 0) continue;
    // What cannot be enabled is missed where it is written to.
    for (const auto& name : names) (void)write_file(AT_FDCWD, file, concat("+", name));
  }
}

// A v1 cpuset takes nobody before it has CPUs and memory.
void fill_cpuset(const std::string& path) {
  for (const auto* const file : {"/cpuset.cpus", "/cpuset.mems"}) {
    const auto own = read_path(AT_FDCWD, concat(path, std::string_view(file))).value_or("");
    if (own.find_first_not_of(" \n") != std::string::npos) continue;
    fill_cpuset(above(path));
    const auto from = read_path(AT_FDCWD, concat(above(path), std::string_view(file)));
    if (from) (void)write_file(AT_FDCWD, concat(path, std::string_view(file)), *from);
  }
}

std::string v1_path(const std::string& hierarchy, const std::string& v2) {
  return concat(top_of_v1(hierarchy), v2.substr(top_of_cgroups().size()));
}

// The file of a wish in what was made; empty: there is none.
struct Place {
  std::string path;
  const std::string* text = nullptr;
};
Place place_of(const CgroupNote& note, const ResourceWish& wish) {
  const auto& leaf = note.entries.front().path;
  const auto v2 = concat(leaf, "/", wish.file);
  if (!wish.file.empty() && is_there(v2)) return {v2, &wish.text};
  if (wish.v1.file.empty() || top_of_v1(wish.v1.hierarchy).empty()) return {};
  const auto v1 = concat(v1_path(wish.v1.hierarchy, leaf), "/", wish.v1.file);
  return is_there(v1) ? Place{v1, &wish.v1.text} : Place{};
}

Result<void> set_one(const CgroupNote& note, const ResourceWish& wish) {
  const auto place = place_of(note, wish);
  if (place.text == nullptr)
    return fail({}, concat(wish.place, " cannot be honoured: the container's cgroup ",
                           note.entries.front().path, " has no ",
                           wish.file.empty() ? wish.v1.file : wish.file));
  if (auto written = write_file(AT_FDCWD, place.path, *place.text); !written)
    return fail({},
                concat("cannot set ", wish.place, ": ", quoted(*place.text), " in ", place.path),
                written.error().code);
  return {};
}

std::optional<std::uint64_t> memory_used(const std::string& leaf) {
  std::string path = leaf + "/memory.current";
  if (!is_there(path)) path = v1_path("memory", leaf) + "/memory.usage_in_bytes";
  const auto text = read_path(AT_FDCWD, path);
  return text ? parse_decimal(std::string_view(*text).substr(0, text->find('\n'))) : std::nullopt;
}

Result<void> join_one(const CgroupEntry& entry, pid_t pid) {
  const auto joined = write_file(AT_FDCWD, entry.path + "/cgroup.procs", concat(pid));
  if (joined) return {};
  return fail({}, concat("cannot enter the container's cgroup ", entry.path), joined.error().code);
}

Result<void> make_one(CgroupNote& note, const std::string& path, const KeepNote& keep) {
  if (::rmdir(path.c_str()) != 0 && errno != ENOENT)
    return fail({}, concat("linux.cgroupsPath: the cgroup ", path, " is in use"), EBUSY);
  note.entries.push_back({.path = path, .made = count_missing(path)});
  if (auto kept = keep(note); !kept) return kept;
  if (auto made = make_all(path); !made) return made;
  struct stat facts{};
  if (::stat(path.c_str(), &facts) != 0) return fail_errno(concat("cannot look at ", path));
  note.entries.back().is_ours = true;
  note.entries.back().inode = facts.st_ino;
  return keep(note);
}

}  // namespace

Result<CgroupNote> make_cgroups(const std::string& path, const OciResources& resources,
                                CgroupNote note, const KeepNote& keep) {
  TRY(make_one(note, path, keep));
  for (const auto& name : hierarchies_for(resources)) {
    const auto v1 = v1_path(name, path);
    TRY(make_one(note, v1, keep));
    if (name == "cpuset") fill_cpuset(v1);
  }
  enable(path, resources);
  TRY(set_resources(note, resources));
  return note;
}

Result<void> step_aside(const std::string& own) {
  const auto leaf = concat(own, "/", std::string_view(kRuntimeLeaf));
  if (::mkdir(leaf.c_str(), 0755) != 0 && errno != EEXIST)
    return fail_errno(concat("cannot make the cgroup ", leaf));
  const auto moved = write_file(AT_FDCWD, leaf + "/cgroup.procs", "0");
  return moved ? moved : fail({}, concat("cannot enter the cgroup ", leaf), moved.error().code);
}

Result<void> check_usage(const CgroupNote& note, const OciResources& resources) {
  const auto limit = resources.memory_limit.value_or(-1);
  if (!resources.check_before_update || limit < 0) return {};
  const auto used = memory_used(note.entries.front().path);
  if (!used)
    return fail({}, "memory.checkBeforeUpdate: cannot read how much memory the container uses");
  if (*used <= static_cast<std::uint64_t>(limit)) return {};
  return fail({}, concat("memory.limit ", limit, " is less than the ", *used,
                         " bytes that the container uses (memory.checkBeforeUpdate)"));
}

// One limit may have to be raised before another one: what fails at first is tried again.
Result<void> set_resources(const CgroupNote& note, const OciResources& resources) {
  std::vector<const ResourceWish*> failed;
  for (const auto& wish : resources.wishes)
    if (!set_one(note, wish)) failed.push_back(&wish);
  for (const auto* const wish : failed)
    if (auto set = set_one(note, *wish); !set) return set;
  return {};
}

Result<void> join_cgroups(const CgroupNote& note) {
  for (const auto& entry : note.entries)
    if (auto joined = join_one(entry, 0); !joined) return joined;
  return {};
}

Result<Fd> open_cgroup(const CgroupNote& note) {
  const auto& path = note.entries.front().path;
  auto leaf = open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY);
  if (!leaf) return fail({}, concat("cannot open the cgroup ", path), leaf.error().code);
  return leaf;
}

Result<void> join_v1(const CgroupNote& note, pid_t pid) {
  for (std::size_t i = 1; i < note.entries.size(); ++i)
    if (auto joined = join_one(note.entries[i], pid); !joined) return joined;
  return {};
}

}  // namespace userns::frontend
