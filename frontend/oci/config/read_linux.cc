#include "frontend/oci/config/read_linux.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>

#include "frontend/oci/config/read_resources.h"
#include "frontend/oci/config/read_seccomp.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::array<std::pair<std::string_view, std::uint64_t>, 8> kNamespaces{
    {{"pid", CLONE_NEWPID},
     {"network", CLONE_NEWNET},
     {"mount", CLONE_NEWNS},
     {"ipc", CLONE_NEWIPC},
     {"uts", CLONE_NEWUTS},
     {"user", CLONE_NEWUSER},
     {"cgroup", CLONE_NEWCGROUP},
     {"time", CLONE_NEWTIME}}};

void read_namespaces(const Node& node, OciConfig& config) {
  node.for_each([&](const Node& one) {
    one["type"].require();
    OciNamespace space{.flag = one["type"].one_of(kNamespaces), .path = one["path"].text()};
    if (!space.path.empty() && !space.path.starts_with('/'))
      one["path"].refuse("is not an absolute path");
    if (space.flag != 0 && config.has(space.flag)) one.refuse("is listed twice");
    config.namespaces.push_back(std::move(space));
  });
}

std::vector<Extent> read_map(const Node& node) {
  std::vector<Extent> extents;
  node.for_each([&](const Node& one) {
    const auto extent =
        Extent::make(one["containerID"].number(), one["hostID"].number(), one["size"].number());
    if (extent)
      extents.push_back(*extent);
    else
      one.refuse("is not a range of ids");
  });
  return extents;
}

void read_maps(const Node& node, OciConfig& config) {
  config.uids = read_map(node["uidMappings"]);
  config.gids = read_map(node["gidMappings"]);
  const bool maps = !config.uids.empty() || !config.gids.empty();
  if (maps && !config.makes(CLONE_NEWUSER))
    node["uidMappings"].refuse("is for a new user namespace, which namespaces does not list");
  if (!maps && config.makes(CLONE_NEWUSER))
    node["uidMappings"].refuse("is missing: the new user namespace would have no ids");
}

void read_offsets(const Node& node, OciConfig& config) {
  constexpr std::int64_t kMost = 1LL << 40U;
  constexpr std::uint64_t kNanosecond = 999999999;
  for (const char* clock : {"monotonic", "boottime"})
    if (const auto one = node[clock]; one.there())
      config.time_offsets.push_back(
          {.clock = clock,
           .seconds = one["secs"].integer(-kMost, kMost),
           .nanoseconds = static_cast<std::uint32_t>(one["nanosecs"].number(kNanosecond))});
  if (!config.time_offsets.empty() && !config.makes(CLONE_NEWTIME))
    node.refuse("is for a new time namespace, which namespaces does not list");
}

// The last part is the name of what is made.
bool is_place_of_node(std::string_view path) {
  const auto name = path.substr(path.rfind('/') + 1);
  return path.starts_with('/') && !name.empty() && name != "." && name != "..";
}

void read_owner(const Node& node, OciDevice& device) {
  constexpr std::uint64_t kAllBits = 07777;
  constexpr std::uint64_t kLargestId = 4294967294;
  if (const auto mode = node["fileMode"]; mode.there())
    device.mode = static_cast<mode_t>(mode.number(kAllBits));
  device.uid = static_cast<std::uint32_t>(node["uid"].number(kLargestId));
  device.gid = static_cast<std::uint32_t>(node["gid"].number(kLargestId));
}

OciDevice read_device(const Node& node) {
  constexpr std::uint64_t kLargest = 0xfffff;
  constexpr std::array<std::pair<std::string_view, mode_t>, 4> kTypes{
      {{"c", S_IFCHR}, {"u", S_IFCHR}, {"b", S_IFBLK}, {"p", S_IFIFO}}};
  OciDevice device{.path = node["path"].text(), .type = node["type"].one_of(kTypes)};
  node["type"].require();
  if (!is_place_of_node(device.path)) node["path"].refuse("is not an absolute path of a file");
  device.number = ::makedev(static_cast<unsigned>(node["major"].integer(-1, kLargest)),
                            static_cast<unsigned>(node["minor"].integer(-1, kLargest)));
  read_owner(node, device);
  return device;
}

std::uint64_t read_propagation(const Node& node) {
  constexpr std::array<std::pair<std::string_view, std::uint64_t>, 9> kKinds{
      {{"", 0},
       {"private", MS_PRIVATE},
       {"rprivate", MS_PRIVATE | MS_REC},
       {"shared", MS_SHARED},
       {"rshared", MS_SHARED | MS_REC},
       {"slave", MS_SLAVE},
       {"rslave", MS_SLAVE | MS_REC},
       {"unbindable", MS_UNBINDABLE},
       {"runbindable", MS_UNBINDABLE | MS_REC}}};
  return node.one_of(kKinds);
}

void read_personality(const Node& node, OciConfig& config) {
  constexpr std::array<std::pair<std::string_view, unsigned long>, 2> kDomains{
      {{"LINUX", PER_LINUX}, {"LINUX32", PER_LINUX32}}};
  if (!node.there()) return;
  node["domain"].require();
  config.personality = node["domain"].one_of(kDomains);
  node["flags"].must_not_ask();
}

std::vector<std::string> read_paths(const Node& node) {
  auto paths = node.texts();
  if (std::ranges::any_of(paths, [](const std::string& path) { return !path.starts_with('/'); }))
    node.refuse("holds a path that is not absolute");
  return paths;
}

}  // namespace

void read_linux(const Node& node, OciConfig& config) {
  read_namespaces(node["namespaces"], config);
  read_maps(node, config);
  read_offsets(node["timeOffsets"], config);
  node["devices"].for_each([&](const Node& one) { config.devices.push_back(read_device(one)); });
  config.cgroups_path = node["cgroupsPath"].text();
  config.resources = read_resources(node["resources"]);
  config.sysctls = node["sysctl"].pairs();
  if (const auto seccomp = node["seccomp"]; seccomp.asks()) config.seccomp = read_seccomp(seccomp);
  config.propagation = read_propagation(node["rootfsPropagation"]);
  config.masked_paths = read_paths(node["maskedPaths"]);
  config.readonly_paths = read_paths(node["readonlyPaths"]);
  read_personality(node["personality"], config);
  config.mount_label = node["mountLabel"].text();
  node["intelRdt"].must_not_ask();
}

}  // namespace userns::frontend
