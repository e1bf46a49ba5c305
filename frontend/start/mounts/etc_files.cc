#include "frontend/start/mounts/etc_files.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "common/fd.h"
#include "frontend/run/mount_api.h"
#include "frontend/spec/net.h"
#include "frontend/start/plan/etc_text.h"
#include "frontend/start/plan/network_hosts.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kLargest = 1UL << 20U;
constexpr std::size_t kLargestZone = 64UL << 10U;
constexpr auto kWithin = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;

std::string link_at(int dir, const char* name) {
  std::array<char, PATH_MAX> target{};
  const auto size = ::readlinkat(dir, name, target.data(), target.size());
  return {target.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
}

// A file of the container's may be anything: only a plain one is read, and not for ever.
std::optional<std::string> text_at(int dir, const char* name, std::size_t most,
                                   std::uint64_t resolve) {
  const auto file = open_at(dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, resolve);
  struct stat facts{};
  if (!file || ::fstat(file->get(), &facts) != 0 || !S_ISREG(facts.st_mode)) return std::nullopt;
  auto text = read_all(*file, most);
  return text ? std::optional(std::move(*text)) : std::nullopt;
}

Fd open_root() { return Fd(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)); }

Fd open_etc(const Fd& root) {
  auto etc = open_at(root.get(), "etc", O_RDONLY | O_DIRECTORY, kWithin);
  return etc ? std::move(*etc) : Fd{};
}

enum class There : std::uint8_t { kNothing, kFile, kLink, kOther };
There what_is(const Fd& dir, const char* name) {
  struct statx facts{};
  if (::statx(dir.get(), name, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &facts) != 0)
    return errno == ENOENT ? There::kNothing : There::kOther;
  if ((facts.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0) return There::kOther;
  if (S_ISLNK(facts.stx_mode)) return There::kLink;
  return S_ISREG(facts.stx_mode) ? There::kFile : There::kOther;
}

// Something that the caller asked for lies on it, or on a directory above it.
bool is_callers(const Plan& plan, std::string_view path) {
  return std::ranges::any_of(plan.spec.mounts, [&](const MountWish& wish) {
    const auto& place =
        std::visit([](const auto& w) -> const std::string& { return w.destination; }, wish);
    return path == place || path.starts_with(concat(place, "/"));
  });
}

std::string fresh_name(const char* name) {
  return concat(".", std::string_view(name), ".userns-run-", ::getpid());
}

// All or nothing, also for a reader inside.
bool replace(const Fd& dir, const char* name, std::string_view text) {
  constexpr mode_t kForAll = 0644;
  const auto fresh = fresh_name(name);
  (void)::unlinkat(dir.get(), fresh.c_str(), 0);
  const auto file = open_at(dir.get(), fresh.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW,
                            RESOLVE_BENEATH, kForAll);
  if (!file) return false;
  if (write_all(*file, text) && ::renameat(dir.get(), fresh.c_str(), dir.get(), name) == 0)
    return true;
  (void)::unlinkat(dir.get(), fresh.c_str(), 0);
  return false;
}

bool replace_by_link(const Fd& dir, const char* name, const std::string& target) {
  const auto fresh = fresh_name(name);
  (void)::unlinkat(dir.get(), fresh.c_str(), 0);
  if (::symlinkat(target.c_str(), dir.get(), fresh.c_str()) != 0) return false;
  if (::renameat(dir.get(), fresh.c_str(), dir.get(), name) == 0) return true;
  (void)::unlinkat(dir.get(), fresh.c_str(), 0);
  return false;
}

// --- hosts --------------------------------------------------------------------------------------

std::vector<std::string> known_addresses(const NetWish& net) {
  std::vector<std::string> addresses;
  if (const auto* const bridges = std::get_if<NetBridges>(&net))
    for (const auto& nic : bridges->nics)
      for (const auto& subnet : nic.addresses) addresses.push_back(to_text(subnet.address));
  return addresses;
}

std::string host_name() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data())
                                                          : std::string{};
}

// For a tree that cannot be written to: a file in memory, on the one that is there. /run may be a
// directory of the caller's, with the caller's files.
bool put_on(const Fd& dir, const char* name, std::string_view text) {
  const auto memory = open_at(AT_FDCWD, "/run", O_RDONLY | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
  const auto passing = concat(fresh_name(name), ".text");
  if (!memory || !replace(*memory, passing.c_str(), text)) return false;
  const auto tree = clone_tree(memory->get(), passing.c_str());
  const bool done = tree && attach_at(*tree, dir.get(), name);
  (void)::unlinkat(memory->get(), passing.c_str(), 0);  // the mount keeps it
  return done;
}

// Whether it says what it is to say. What is not a plain file, or the caller's, is left alone.
bool has_hosts(const Plan& plan, const NetWish& net, const Fd& etc) {
  const auto there = what_is(etc, "hosts");
  if (is_callers(plan, "/etc/hosts") || there == There::kLink || there == There::kOther)
    return false;
  const auto present = text_at(etc.get(), "hosts", kLargest, RESOLVE_BENEATH);
  if (!present && there != There::kNothing) return false;
  const auto text = hosts_with(
      present.value_or(""),
      {.own = host_name(), .addresses = known_addresses(net), .added = plan.spec.add_hosts});
  if (!text || (!plan.hosts_tree && replace(etc, "hosts", *text))) return true;
  return there == There::kFile && put_on(etc, "hosts", *text);
}

Result<void> furnish_hosts(const Plan& plan, const NetWish& net, const Fd& etc) {
  if ((etc.valid() && has_hosts(plan, net, etc)) || plan.spec.add_hosts.empty()) return {};
  return fail({},
              "--add-host: /etc/hosts inside is not a plain file that can be written to, or one "
              "that --bind or --tmpfs covers");
}

// --- passwd and group ---------------------------------------------------------------------------

// What is not a plain file stays as it is: then the user has a number, and no name.
void furnish_user(const Plan& plan, const Fd& root, const Fd& etc) {
  if (!plan.spec.user || plan.hosts_tree || is_callers(plan, "/etc/passwd")) return;
  auto user = *plan.spec.user;
  struct stat facts{};
  const auto shell = open_at(root.get(), user.shell.c_str(), O_PATH, kWithin);
  if (!shell || ::fstat(shell->get(), &facts) != 0 || !S_ISREG(facts.st_mode))
    user.shell = "/bin/sh";
  const auto add = [&](const char* name, auto&& with) {
    if (what_is(etc, name) != There::kFile) return;
    const auto present = text_at(etc.get(), name, kLargest, RESOLVE_BENEATH);
    const auto text = present ? with(*present, user) : std::nullopt;
    if (text) (void)replace(etc, name, *text);
  };
  add("passwd", passwd_with);
  add("group", group_with);
}

// --- localtime ----------------------------------------------------------------------------------

// Whether a zone was chosen inside: that one stays.
bool has_own_zone(const Fd& root, const Fd& etc) {
  const auto there = what_is(etc, "localtime");
  if (there == There::kNothing) return false;
  if (there == There::kOther) return true;
  if (there == There::kLink && is_utc_link(link_at(etc.get(), "localtime"))) return false;
  const auto data = text_at(root.get(), "etc/localtime", kLargestZone, kWithin);
  return data && !is_utc_data(*data);
}

Result<void> furnish_zone(const Plan& plan, const Fd& root, const Fd& etc) {
  const auto& zone = plan.zone;
  const bool asked = plan.spec.time_zone != "host";
  if ((zone.name.empty() && zone.data.empty()) || is_callers(plan, "/etc/localtime")) return {};
  if (!asked && has_own_zone(root, etc)) return {};
  const auto inside = concat("usr/share/zoneinfo/", zone.name);
  const bool is_there =
      !zone.name.empty() && text_at(root.get(), inside.c_str(), kLargestZone, kWithin);
  const bool done =
      !plan.hosts_tree && (is_there ? replace_by_link(etc, "localtime", concat("../", inside))
                                    : !zone.data.empty() && replace(etc, "localtime", zone.data));
  if (!done && asked)
    return fail({}, concat("--tz ", zone.name,
                           zone.data.empty() ? ": there is no such time zone, here or inside"
                                             : ": /etc/localtime inside cannot be written"));
  if (done && !zone.name.empty() && what_is(etc, "timezone") == There::kFile)
    (void)replace(etc, "timezone", concat(zone.name, "\n"));
  return {};
}

}  // namespace

Result<TimeZone> find_time_zone(const Spec& spec) {
  if (spec.time_zone == "keep" || (spec.rootfs.empty() && !spec.overlay)) return TimeZone{};
  if (spec.time_zone != "host") {
    const auto path = concat("/usr/share/zoneinfo/", spec.time_zone);
    return TimeZone{.name = spec.time_zone,
                    .data = text_at(AT_FDCWD, path.c_str(), kLargestZone, 0).value_or("")};
  }
  TimeZone zone{.name = zone_of_link(link_at(AT_FDCWD, "/etc/localtime")),
                .data = text_at(AT_FDCWD, "/etc/localtime", kLargestZone, 0).value_or("")};
  if (zone.data.empty() || is_utc_data(zone.data)) return TimeZone{};
  return zone;
}

Result<void> furnish_etc(const Plan& plan, const NetWish& net) {
  if (!plan.own_root) return {};
  const auto root = open_root();
  const auto etc = open_etc(root);
  if (auto done = furnish_hosts(plan, net, etc); !done) return done;
  if (!etc.valid()) return {};
  furnish_user(plan, root, etc);
  return furnish_zone(plan, root, etc);
}

Result<Fd> share_hosts(const Plan& plan, std::string_view lines) {
  const auto root = open_root();
  const auto etc = open_etc(root);
  const auto present =
      etc.valid() ? text_at(etc.get(), "hosts", kLargest, RESOLVE_BENEATH) : std::nullopt;
  const auto there = etc.valid() ? what_is(etc, "hosts") : There::kNothing;
  if (!present || there == There::kLink || is_callers(plan, "/etc/hosts") ||
      !put_on(etc, "hosts", hosts_with_network(*present, lines)))
    return Fd{};
  auto file = open_at(etc.get(), "hosts", O_RDWR, RESOLVE_BENEATH);
  struct stat facts{};
  // One that is in no directory is ours.
  if (!file || ::fstat(file->get(), &facts) != 0 || facts.st_nlink != 0) return Fd{};
  return file;
}

bool write_hostname(const Plan& plan) {
  const auto root = open_root();
  const auto etc = open_etc(root);
  if (!etc.valid() || is_callers(plan, "/etc/hostname")) return false;
  const auto there = what_is(etc, "hostname");
  if (there != There::kFile && there != There::kNothing) return false;
  const auto text = concat(*plan.spec.hostname, "\n");
  return text_at(etc.get(), "hostname", kLargest, RESOLVE_BENEATH) == text ||
         (!plan.hosts_tree && replace(etc, "hostname", text));
}

}  // namespace userns::frontend
