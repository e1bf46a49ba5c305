#include "frontend/start/mounts/sysctls.h"

#include <fcntl.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "common/fd.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

// As sysctl(8): dots stand between the parts, and a slash for a dot in one.
std::string path_of(const std::string& name) {
  std::string path = name;
  for (auto& c : path)
    if (c == '.' || c == '/') c = c == '.' ? '/' : '.';
  return concat("/proc/sys/", path);
}

Result<void> write_setting(const std::string& name, std::string_view value) {
  const auto file = open_at(AT_FDCWD, path_of(name).c_str(), O_WRONLY);
  return file ? write_once(*file, value) : std::unexpected(file.error());
}

std::string_view why(int code) {
  if (code == ENOENT) return ": this kernel has no such setting, or not in a namespace";
  if (code == EACCES || code == EPERM) return ": it is one of the whole machine's";
  if (code == EROFS) return ": /proc/sys is read-only in the container outside";
  return {};
}

// The kernel compares the numbers outside: a range that lies in one piece of the map.
void allow_ping(const Plan& plan) {
  if ((plan.namespaces & CLONE_NEWNET) == 0) return;
  const auto& extents = plan.ids.gids.extents;
  const auto largest = std::ranges::max_element(extents, {}, &Extent::count);
  if (largest == extents.end()) return;
  const auto range = largest->inside();
  // Nobody is worse off for it than without.
  (void)write_setting("net.ipv4.ping_group_range", concat(range.first(), " ", range.end() - 1));
}

}  // namespace

Result<void> set_sysctls(const Plan& plan) {
  allow_ping(plan);
  for (const auto& wish : plan.spec.sysctls)
    if (const auto set = write_setting(wish.name, wish.value); !set)
      return fail({},
                  concat("cannot set --sysctl ", wish.name, "=", wish.value, why(set.error().code)),
                  set.error().code);
  return {};
}

}  // namespace userns::frontend
