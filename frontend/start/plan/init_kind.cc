#include "frontend/start/plan/init_kind.h"

#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <string_view>

#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::array<const char*, 10> kPlaces{"/sbin/init",
                                              "/usr/sbin/init",
                                              "/etc/init",
                                              "/bin/init",
                                              "/usr/lib/systemd/systemd",
                                              "/lib/systemd/systemd",
                                              "/sbin/openrc-init",
                                              "/sbin/runit-init",
                                              "/sbin/runit",
                                              "/init"};
// The start of an init is enough to know it; what is longer is not an init but may be a trap.
constexpr std::size_t kLargestLook = 4UL << 20U;

struct Sign {
  InitKind kind;
  std::string_view name;     // of the program
  std::string_view content;  // only in it; empty: the name decides
};
constexpr std::array kSigns{
    Sign{InitKind::kSystemd, "systemd", ""},        Sign{InitKind::kOpenrc, "openrc-init", ""},
    Sign{InitKind::kBusybox, "busybox", ""},        Sign{InitKind::kBusybox, "busybox.static", ""},
    Sign{InitKind::kRunit, "runit-init", ""},       Sign{InitKind::kRunit, "runit", ""},
    Sign{InitKind::kBusybox, "init", "BusyBox v"},  Sign{InitKind::kSysvinit, "init", "sysvinit"},
    Sign{InitKind::kRunit, "init", "runit-init: "}, Sign{InitKind::kOpenrc, "init", "openrc-init"},
};

// The last component of what `file` is open on; a directory that was moved or removed meanwhile
// does no harm.
std::string name_behind(const Fd& file) {
  char path[PATH_MAX];
  const auto length = ::readlink(concat("/proc/self/fd/", file.get()).c_str(), path, sizeof path);
  const std::string_view text(path, length < 0 ? 0 : static_cast<std::size_t>(length));
  return std::string(text.substr(text.rfind('/') + 1));
}

// Empty where it can't be read: then the name has to do.
std::string beginning_of(const Fd& place) {
  const auto file =
      open_at(AT_FDCWD, concat("/proc/self/fd/", place.get()).c_str(), O_RDONLY | O_NOCTTY);
  if (!file) return {};
  std::string text(kLargestLook, '\0');
  text.resize(read_some(*file, text).value_or(0));
  return text;
}

bool is_program(const Fd& file) {
  struct stat facts{};
  return ::fstat(file.get(), &facts) == 0 && S_ISREG(facts.st_mode) && (facts.st_mode & 0111U) != 0;
}

std::string places() {
  std::string text;
  for (const char* place : kPlaces)
    text += concat(text.empty() ? "" : ", ", std::string_view(place));
  return text;
}

}  // namespace

InitKind init_kind(std::string_view name, std::string_view content) {
  const auto* const found = std::ranges::find_if(kSigns, [&](const Sign& sign) {
    return sign.name == name &&
           (sign.content.empty() || content.find(sign.content) != std::string_view::npos);
  });
  return found == kSigns.end() ? InitKind::kOther : found->kind;
}

Result<FoundInit> init_at(const Fd& rootfs, const std::string& path) {
  const auto file =
      TRY(open_at(rootfs.get(), path.c_str(), O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS));
  if (!is_program(file))
    return fail({}, concat(quoted(path), " is not an executable file"), EACCES);
  const auto name = name_behind(file);
  return FoundInit{.kind = init_kind(name, name == "init" ? beginning_of(file) : std::string{}),
                   .path = path};
}

Result<FoundInit> find_init(const Fd& rootfs) {
  for (const char* path : kPlaces)
    if (auto found = init_at(rootfs, path)) return found;
  return fail({},
              concat("there is no init in it: none of ", places(), " is an executable file there"));
}

int stop_signal(InitKind kind) {
  switch (kind) {
    case InitKind::kSystemd:
      return SIGRTMIN + 3;
    case InitKind::kBusybox:
      return SIGUSR2;
    case InitKind::kSysvinit:
      return SIGINT;
    case InitKind::kRunit:
      return SIGCONT;
    default:
      return SIGTERM;
  }
}

std::string_view name_of(InitKind kind) {
  constexpr std::array<std::string_view, 6> kNames{"systemd", "openrc",  "sysvinit",
                                                   "runit",   "busybox", "other"};
  return kNames.at(static_cast<std::size_t>(kind));
}

}  // namespace userns::frontend
