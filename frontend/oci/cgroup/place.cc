#include "frontend/oci/cgroup/place.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "frontend/run/cgroup/files.h"
#include "policy/cgroup_rules.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr const char* kMount = "/sys/fs/cgroup";

bool is_there(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }
bool is_writable(const std::string& path) {
  return ::faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) == 0;
}

std::string above(const std::string& path) { return path.substr(0, path.rfind('/')); }
std::string_view last_of(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// The nearest cgroup that both are in or below.
std::string common_of(const std::string& a, const std::string& b) {
  std::string common = a;
  while (b != common && !b.starts_with(common + "/")) common = above(common);
  return common;
}

// A process is moved by who may write to both places and to what they have in common.
bool may_move(const std::string& own, const std::string& base) {
  return is_writable(base) && is_writable(base + "/cgroup.procs") &&
         is_writable(common_of(own, base) + "/cgroup.procs");
}

// systemd is the only writer of what it has not delegated.
bool is_systemds(const std::string& path) {
  const auto name = last_of(path);
  return is_there("/run/systemd/system") && (name.ends_with(".slice") || name.starts_with("user@"));
}

bool has_word(const std::string& file, std::string_view word) {
  const auto text = read_path(AT_FDCWD, file).value_or("");
  std::string_view rest(text);
  for (rest = rest.substr(0, rest.find('\n')); !rest.empty();)
    if (take_until(rest, ' ') == word) return true;
  return false;
}

// Controllers are for the children of a cgroup that has no processes of its own, and come from the
// one above.
bool can_enable(const std::string& base, const std::string& top, std::string_view controller) {
  if (has_word(base + "/cgroup.subtree_control", controller)) return true;
  if (!is_writable(base + "/cgroup.subtree_control")) return false;
  const bool has = has_word(base + "/cgroup.controllers", controller);
  if (base == top) return has;
  const auto inside = read_path(AT_FDCWD, base + "/cgroup.procs");
  return inside && inside->empty() && (has || can_enable(above(base), top, controller));
}

Result<void> can_hold(const std::string& base, const std::string& top,
                      const OciResources& resources) {
  for (const auto& wish : resources.wishes) {
    std::string_view rest(wish.file);
    const auto controller = take_until(rest, '.');
    if (controller == "cgroup") continue;
    if (!wish.file.empty() && can_enable(base, top, controller)) continue;
    const auto v1 = wish.v1.file.empty() ? "" : top_of_v1(wish.v1.hierarchy);
    if (!v1.empty() && is_writable(v1)) continue;
    if (wish.file.empty())
      return fail({}, concat(wish.place, " is for cgroup v1 and has no counterpart in v2"));
    return fail({}, concat(wish.place, " needs the controller ", controller,
                           ", which cannot be enabled below ", base));
  }
  return {};
}

// The last one on the way to `path` that is there.
std::string deepest_of(const std::string& top, const std::string& below) {
  std::string at = above(concat(top, "/", below));
  while (at.size() > top.size() && !is_there(at)) at = above(at);
  return at;
}

}  // namespace

std::string top_of_cgroups() {
  for (const auto* const rest : {"", "/unified"})
    if (auto top = concat(std::string_view(kMount), std::string_view(rest));
        is_there(top + "/cgroup.controllers"))
      return top;
  return {};
}

std::string top_of_v1(const std::string& hierarchy) {
  auto top = concat(std::string_view(kMount), "/", hierarchy);
  return is_there(top + "/cgroup.procs") && is_there(top + "/tasks") ? top : std::string{};
}

Result<std::string> own_cgroup() {
  const auto top = top_of_cgroups();
  const auto text = read_path(AT_FDCWD, "/proc/self/cgroup");
  if (!text) return fail({}, "cannot read one's own cgroup", text.error().code);
  const auto path = cgroup_path(*text, "");
  if (top.empty() || path.empty() || path.starts_with("/..")) return std::string{};
  return path == "/" ? top : concat(top, path);
}

Result<std::string> find_place(const CgroupsPath& path, const OciResources& resources) {
  const auto top = top_of_cgroups();
  const auto own = TRY(own_cgroup());
  if (own.empty()) return fail({}, "no cgroup v2 hierarchy is mounted at /sys/fs/cgroup");
  Result<void> why = fail({}, "the caller has no cgroup to make others in");
  const auto is_fit = [&](const std::string& base) {
    if (!may_move(own, base)) return false;
    auto held = can_hold(base, top, resources);
    if (!held) why = std::unexpected(held.error());
    return held.has_value();
  };
  auto whole = concat(top, "/", path.below);
  if (path.is_absolute && is_fit(deepest_of(top, path.below))) return whole;
  for (std::string at = own; at.size() > top.size(); at = above(at))
    if (!is_systemds(at) && is_fit(at)) return concat(at, "/", path.below);
  if (!path.is_absolute && is_fit(top)) return whole;
  return std::unexpected(why.error());
}

}  // namespace userns::frontend
