#include "frontend/start/boot/boot.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string_view>

#include "frontend/run/mount_api.h"
#include "frontend/start/mounts/destination.h"
#include "frontend/start/mounts/etc_files.h"
#include "frontend/start/plan/environment.h"
#include "policy/cgroup_rules.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

// Not the container's to use whatever its init thinks: units that need them ask for them and are
// left out. With audit's an init and its journal would wait for a kernel that does not talk to
// them. CAP_AUDIT_WRITE is no reason for anything to wait, and programs (docker) demand it.
constexpr std::array kNotForAnInit{
    CAP_AUDIT_CONTROL, CAP_AUDIT_READ, CAP_SYS_MODULE,   CAP_SYS_RAWIO,     CAP_SYS_TIME,
    CAP_SYSLOG,        CAP_MAC_ADMIN,  CAP_MAC_OVERRIDE, CAP_BLOCK_SUSPEND, CAP_WAKE_ALARM};

// What --cap-keep names stays.
void drop_for_an_init(Spec& spec) {
  for (const int cap : kNotForAnInit)
    if (!spec.cap_keep || std::ranges::find(*spec.cap_keep, cap) == spec.cap_keep->end())
      spec.cap_drop.push_back(cap);
}

// Two rounds of FNV-1a with a finisher: the uuid has to be different for different systems, not a
// secret.
std::uint64_t mixed(std::string_view text, std::uint64_t seed) {
  std::uint64_t hash = 0xcbf29ce484222325U ^ seed;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  hash = (hash ^ (hash >> 33U)) * 0xff51afd7ed558ccdU;
  return hash ^ (hash >> 33U);
}

std::string hexadecimal(std::uint64_t number) {
  std::string text(16, '0');
  for (auto& digit : text) {
    digit = "0123456789abcdef"[number >> 60U];
    number <<= 4U;
  }
  return text;
}

// Where the directory's time of birth is known, the uuid stays when it is moved, and a copy has
// another.
std::string uuid_of(const Fd& rootfs, const std::string& path) {
  struct statx facts{};
  const bool known =
      ::statx(rootfs.get(), "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &facts) == 0 &&
      (facts.stx_mask & STATX_BTIME) != 0;
  const auto text = known ? concat(::getuid(), " ", facts.stx_ino, " ", facts.stx_btime.tv_sec, " ",
                                   facts.stx_btime.tv_nsec)
                          : concat(::getuid(), " ", facts.stx_ino, " ", path);
  auto uuid = hexadecimal(mixed(text, 1)) + hexadecimal(mixed(text, 2));
  uuid[12] = '4';  // as sd-id128(3) has them: version 4, variant DCE
  uuid[16] = 'a';
  return uuid;
}

Result<FoundInit> init_for(const Spec& spec, const Fd& rootfs) {
  if (spec.command.empty()) return find_init(rootfs);
  auto named = init_at(rootfs, spec.command.front());
  return named ? named : FoundInit{.kind = InitKind::kOther, .path = spec.command.front()};
}

Result<void> put_file(const std::string& path, std::string_view text) {
  const auto file =
      open_at(AT_FDCWD, path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0, 0444);
  if (!file) return fail({}, concat("cannot make ", path, " inside"), file.error().code);
  return write_all(*file, text);
}

// A file of the tree's: programs inside change it. In one that cannot be written to it is a mount;
// a root file system that has no place for it and is read-only keeps the name that it has.
Result<void> offer_hostname(const Plan& plan) {
  constexpr const char* kOffered = "/run/host/hostname";
  if (auto put = put_file(kOffered, concat(*plan.spec.hostname, "\n")); !put) return put;
  if (write_hostname(plan)) return {};
  const auto root = TRY(open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY));
  const auto place = place_inside(root, "/etc/hostname", PlaceKind::kFile);
  if (!place) return {};
  const auto tree = clone_tree(AT_FDCWD, kOffered);
  return tree ? attach(*tree, *place) : std::unexpected(tree.error());
}

// runit ends at SIGCONT where such a file is executable. Its scripts make it anew without that bit
// at each boot, which they cannot where something is mounted.
Result<void> prepare_runit() {
  if (::mkdir("/run/runit", 0755) != 0) return fail_errno("cannot make /run/runit inside");
  for (const char* path : {"/run/runit.stopit", "/run/runit/stopit"}) {
    if (auto put = put_file(path, ""); !put) return put;
    if (::chmod(path, 0100) != 0)
      return fail_errno(concat("cannot prepare ", std::string_view(path), " inside"));
    const auto tree = TRY(clone_tree(AT_FDCWD, path));
    if (auto put = attach_at(tree, AT_FDCWD, path); !put) return put;
  }
  return {};
}

Result<Fd> notify_socket() {
  Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, kNotifySocket.data(), kNotifySocket.size());
  const int yes = 1;
  if (!socket.valid() ||
      ::setsockopt(socket.get(), SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) != 0 ||
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::chmod(address.sun_path, 0600) != 0)
    return fail_errno(concat("cannot make ", kNotifySocket, " inside"));
  return socket;
}

}  // namespace

namespace {

// Without one of its own it goes into the caller's, which root inside may write if that is the
// caller, and the cgroup delegated.
bool may_have_cgroups(const Plan& plan) {
  constexpr std::string_view kMount = "/sys/fs/cgroup";
  constexpr const char* kOnlyV2 = "/sys/fs/cgroup/cgroup.controllers";
  constexpr std::size_t kLargestCgroupText = 64UL << 10U;
  if (plan.spec.cgroup != CgroupMode::kNone || ::access(kOnlyV2, F_OK) != 0) return true;
  const bool is_caller = plan.ids.uids.has(0) && plan.ids.uids.writer == MapWriter::kSelf;
  const auto file = open_at(AT_FDCWD, "/proc/self/cgroup", O_RDONLY);
  const auto text = file ? read_all(*file, kLargestCgroupText) : std::unexpected(file.error());
  if (!text) return true;
  return is_caller && ::access(concat(kMount, cgroup_path(*text, ""), "/.").c_str(), W_OK) == 0;
}

}  // namespace

Result<void> plan_boot(Plan& plan) {
  auto& spec = plan.spec;
  // Only now it is known what a root file system starts that was given no command.
  if (!spec.boot && spec.wait_ready)
    return fail({}, "--wait-ready waits for a system that boots: give --boot, too");
  if (!spec.boot) return {};
  const auto rootfs = open_at(AT_FDCWD, spec.rootfs.c_str(), O_PATH | O_DIRECTORY);
  if (!rootfs)
    return fail({}, concat("cannot use ", quoted(spec.rootfs), why_unreachable(spec.rootfs)),
                rootfs.error().code);
  auto init = init_for(spec, *rootfs);
  if (!init)
    return fail({}, concat("cannot boot ", quoted(spec.rootfs), ": ", init.error().text,
                           "; name it after --, or leave out --boot to get a shell"));
  if (spec.wait_ready && init->kind != InitKind::kSystemd)
    return fail({},
                concat("--wait-ready: only systemd says when it is up, and ", quoted(init->path),
                       " in ", quoted(spec.rootfs), " is ", name_of(init->kind), "; drop it"));
  if (spec.command.empty()) spec.command = {init->path};
  drop_for_an_init(spec);
  if (spec.cgroup_unsaid && init->kind == InitKind::kSystemd) spec.cgroup = CgroupMode::kAuto;
  if (init->kind == InitKind::kSystemd && !may_have_cgroups(plan))
    return fail(
        {}, concat("--cgroup none: ", quoted(init->path), " in ", quoted(spec.rootfs),
                   " is systemd, which needs a cgroup of its own where there is only cgroup v2, "
                   "and would end at once; leave --cgroup out, or give auto, helper or "
                   "systemd"));
  plan.boot = Boot{.init = std::move(*init), .uuid = uuid_of(*rootfs, spec.rootfs)};
  return {};
}

Result<Fd> furnish_boot(const Plan& plan) {
  const auto& boot = *plan.boot;
  if (::mkdir("/run/host", 0755) != 0) return fail_errno("cannot make /run/host inside");
  TRY(put_file("/run/host/container-manager", "userns-run\n"));
  TRY(put_file("/run/host/container-uuid", concat(boot.uuid, "\n")));
  if (plan.spec.hostname) TRY(offer_hostname(plan));
  if (boot.init.kind == InitKind::kRunit) TRY(prepare_runit());
  return boot.init.kind == InitKind::kSystemd ? notify_socket() : Fd{};
}

}  // namespace userns::frontend
