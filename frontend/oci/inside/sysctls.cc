#include "frontend/oci/inside/sysctls.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>

#include <algorithm>
#include <array>

#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::array<std::string_view, 7> kIpc{
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni",         "kernel.sem",
    "kernel.shmall", "kernel.shmmax", "kernel.shm_rmid_forced"};

// As sysctl(8): dots stand between the parts, and a slash for a dot in one. Names with slashes
// between the parts are their own paths.
std::string path_of(std::string_view name) {
  std::string path(name);
  if (path.find('.') > path.find('/')) return path;
  for (auto& c : path)
    if (c == '.' || c == '/') c = c == '.' ? '/' : '.';
  return path;
}

// "net/../kernel/core_pattern" is not one of net's.
bool is_plain(std::string_view path) {
  while (!path.empty())
    if (const auto part = take_until(path, '/'); part.empty() || part == "." || part == "..")
      return false;
  return true;
}

}  // namespace

std::uint64_t space_of_sysctl(std::string_view name) {
  auto path = path_of(name);
  if (!is_plain(path)) return 0;
  std::ranges::replace(path, '/', '.');
  if (path.starts_with("net.")) return CLONE_NEWNET;
  if (path.starts_with("fs.mqueue.") || path == "kernel.shmmni") return CLONE_NEWIPC;
  if (std::ranges::find(kIpc, path) != kIpc.end()) return CLONE_NEWIPC;
  if (path == "kernel.domainname" || path == "kernel.hostname") return CLONE_NEWUTS;
  return 0;
}

Result<void> set_oci_sysctls(const OciConfig& config, const Fd& settings) {
  for (const auto& [name, value] : config.sysctls) {
    const auto space = space_of_sysctl(name);
    if (space == 0 || !config.has(space))
      return fail({}, concat("linux.sysctl: ", quoted(name),
                             space == 0 ? " is a setting of the whole machine"
                                        : " belongs to a namespace that linux.namespaces does not "
                                          "list"));
    const auto file = open_at(settings.get(), path_of(name).c_str(), O_WRONLY,
                              RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    const auto set = file ? write_once(*file, value) : std::unexpected(file.error());
    if (!set)
      return fail({}, concat("linux.sysctl: cannot set ", quoted(name), " to ", quoted(value)),
                  set.error().code);
  }
  return {};
}

}  // namespace userns::frontend
