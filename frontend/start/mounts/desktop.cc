#include "frontend/start/mounts/desktop.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "common/fd.h"
#include "frontend/spec/values.h"
#include "frontend/start/plan/desktop_text.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr auto kHere = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
constexpr std::size_t kLargestCookies = 64UL << 10U;
constexpr const char* kOurs = "userns-desktop";

std::string variable(const char* name) {
  const char* const value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): one thread
  return value == nullptr ? std::string{} : std::string(value);
}

void set(Spec& spec, std::string_view name, std::string_view value) {
  // Before those that were asked for by name, which count.
  spec.env.insert(spec.env.begin(), {.name = std::string(name), .value = std::string(value)});
}

// What the caller is called inside.
std::uint32_t inside_of(const Spec& spec) { return spec.user_said ? spec.uid : spec.user->id; }

bool is_mine(const struct stat& facts) { return facts.st_uid == ::geteuid(); }

// --- $XDG_RUNTIME_DIR ---------------------------------------------------------------------------

struct Runtime {
  std::string path;
  Fd dir;
};

Result<Runtime> runtime_dir(std::string_view option) {
  Runtime runtime{.path = variable("XDG_RUNTIME_DIR"), .dir = {}};
  if (!runtime.path.starts_with('/'))
    return fail({}, concat("--", option,
                           ": XDG_RUNTIME_DIR is not set to an absolute path: there is no session "
                           "of yours here whose sockets could go in"));
  auto dir = open_at(AT_FDCWD, runtime.path.c_str(), O_RDONLY | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
  if (!dir)
    return fail({}, concat("--", option, ": cannot open XDG_RUNTIME_DIR ", quoted(runtime.path)),
                dir.error().code);
  struct stat facts{};
  if (::fstat(dir->get(), &facts) != 0 || !is_mine(facts) || (facts.st_mode & 022) != 0)
    return fail({}, concat("--", option, ": XDG_RUNTIME_DIR ", quoted(runtime.path),
                           " is not a directory that belongs to you and that you alone can write "
                           "to: nothing in it is handed in"));
  runtime.dir = std::move(*dir);
  return runtime;
}

// Not valid() if it is not there in a dry run, which makes nothing.
Result<Fd> own_directory(const Fd& parent, const char* name, bool dry_run) {
  constexpr mode_t kMine = 0700;
  if (dry_run && !parent.valid()) return Fd{};
  if (!dry_run && ::mkdirat(parent.get(), name, kMine) != 0 && errno != EEXIST)
    return fail_errno(
        concat("cannot make the directory ", std::string_view(name), " in XDG_RUNTIME_DIR"));
  auto dir = open_at(parent.get(), name, O_RDONLY | O_DIRECTORY, kHere);
  if (dry_run && !dir && dir.error().code == ENOENT) return Fd{};
  struct stat facts{};
  if (!dir || ::fstat(dir->get(), &facts) != 0 || !is_mine(facts))
    return fail({}, concat("in XDG_RUNTIME_DIR ", std::string_view(name),
                           " is not a directory of yours: remove it"));
  return dir;
}

// A directory for this one socket, which the container gets. Of each display another one: what a
// later container is given shows up in none that runs.
Result<Fd> shared_directory(Spec& spec, const Runtime& runtime, const std::string& kind,
                            std::string_view inside) {
  const auto ours = TRY(own_directory(runtime.dir, kOurs, spec.dry_run));
  auto dir = TRY(own_directory(ours, kind.c_str(), spec.dry_run));
  spec.mounts.emplace_back(
      BindWish{.source = concat(runtime.path, "/", std::string_view(kOurs), "/", kind),
               .destination = std::string(inside),
               .read_only = true,
               .own_as = inside_of(spec)});
  return spec.dry_run ? Fd{} : std::move(dir);
}

// The socket itself and not what a link names. False: there is none. A dry run has no `shared`.
Result<bool> share_socket(const Runtime& runtime, const std::string& name, const Fd& shared,
                          const char* as) {
  const auto socket = open_at(runtime.dir.get(), name.c_str(), O_PATH | O_NOFOLLOW, kHere);
  if (!socket && socket.error().code == ENOENT) return false;
  struct stat facts{};
  if (!socket || ::fstat(socket->get(), &facts) != 0 || !S_ISSOCK(facts.st_mode) || !is_mine(facts))
    return fail({}, concat(quoted(concat(runtime.path, "/", name)),
                           " is not a socket of yours: it is not handed in"));
  if (!shared.valid()) return true;
  const auto fresh = concat(".new-", ::getpid());
  (void)::unlinkat(shared.get(), fresh.c_str(), 0);
  if (::linkat(AT_FDCWD, concat("/proc/self/fd/", socket->get()).c_str(), shared.get(),
               fresh.c_str(), AT_SYMLINK_FOLLOW) != 0)
    return fail_errno(concat("cannot hand in ", quoted(concat(runtime.path, "/", name))));
  const int renamed = ::renameat(shared.get(), fresh.c_str(), shared.get(), as);
  const int code = errno;
  (void)::unlinkat(shared.get(), fresh.c_str(), 0);  // it stays if both were the same socket
  if (renamed != 0) return fail({}, "cannot hand in a socket", code);
  return true;
}

// --- each of them -------------------------------------------------------------------------------

Result<void> add_wayland(Spec& spec) {
  const auto runtime = TRY(runtime_dir("wayland"));
  auto name = variable("WAYLAND_DISPLAY");
  if (name.empty()) name = "wayland-0";
  if (name.starts_with(concat(runtime.path, "/"))) name.erase(0, runtime.path.size() + 1);
  if (name.contains('/'))
    return fail({}, concat("--wayland: WAYLAND_DISPLAY ", quoted(name),
                           " is not the name of a socket in XDG_RUNTIME_DIR"));
  const auto shared =
      TRY(shared_directory(spec, runtime, concat("wayland-", name), kWaylandInside));
  const auto done = TRY(share_socket(runtime, name, shared, "wayland-0"));
  if (!done)
    return fail({}, concat("--wayland: there is no socket ", quoted(name), " in ",
                           quoted(runtime.path), ": no Wayland compositor of yours runs here"));
  set(spec, "WAYLAND_DISPLAY", concat(kWaylandInside, "/wayland-0"));
  return {};
}

Result<void> add_audio(Spec& spec) {
  const auto runtime = TRY(runtime_dir("audio"));
  const auto shared = TRY(shared_directory(spec, runtime, "audio", kAudioInside));
  const auto pulse = TRY(share_socket(runtime, "pulse/native", shared, "pulse"));
  const auto pipewire = TRY(share_socket(runtime, "pipewire-0", shared, "pipewire"));
  if (!pulse && !pipewire)
    return fail({}, concat("--audio: there is neither pulse/native nor pipewire-0 in ",
                           quoted(runtime.path), ": no sound server of yours runs here"));
  if (pulse) set(spec, "PULSE_SERVER", concat("unix:", kAudioInside, "/pulse"));
  if (pipewire) set(spec, "PIPEWIRE_REMOTE", concat(kAudioInside, "/pipewire"));
  return {};
}

std::string cookies(std::uint32_t display) {
  auto path = variable("XAUTHORITY");
  if (path.empty()) path = concat(variable("HOME"), "/.Xauthority");
  const auto file = open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  struct stat facts{};
  if (!file || ::fstat(file->get(), &facts) != 0 || !S_ISREG(facts.st_mode) || !is_mine(facts))
    return {};
  return cookies_for(read_all(*file, kLargestCookies).value_or(""), display);
}

Result<void> add_cookies(Spec& spec, std::uint32_t display, std::vector<std::string>& notes) {
  const auto text = cookies(display);
  if (text.empty()) {
    notes.emplace_back(
        "--x11: no cookie of yours for this display was found; the X server may "
        "refuse the container");
    return {};
  }
  const auto runtime = TRY(runtime_dir("x11"));
  const auto shared = TRY(shared_directory(spec, runtime, concat("x11-", display), kX11Inside));
  const auto name = concat("cookies-", display);
  set(spec, "XAUTHORITY", concat(kX11Inside, "/", name));
  if (!shared.valid()) return {};
  constexpr mode_t kMine = 0600;
  const auto fresh = concat(".new-", ::getpid());
  (void)::unlinkat(shared.get(), fresh.c_str(), 0);
  const auto file = open_at(shared.get(), fresh.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW,
                            RESOLVE_BENEATH, kMine);
  if (!file || !write_all(*file, text) ||
      ::renameat(shared.get(), fresh.c_str(), shared.get(), name.c_str()) != 0)
    return fail_errno("--x11: cannot hand in the cookie of the X server");
  return {};
}

// In one that another user may change, a socket of the caller's may be a link to anything of theirs
// by the time that it is bound.
bool keeps_sockets(const char* directory) {
  struct stat facts{};
  return ::lstat(directory, &facts) == 0 && S_ISDIR(facts.st_mode) &&
         (is_mine(facts) || facts.st_uid == 0) &&
         ((facts.st_mode & 022) == 0 || (facts.st_mode & S_ISVTX) != 0);
}

Result<void> add_x11(Spec& spec, std::vector<std::string>& notes) {
  const auto value = variable("DISPLAY");
  const auto display = local_display(value);
  if (!display)
    return fail({}, concat("--x11: DISPLAY ", quoted(value),
                           " is not a display of this machine's, such as :0"));
  constexpr const char* kSockets = "/tmp/.X11-unix";
  const auto path = concat(std::string_view(kSockets), "/X", *display);
  if (::access(kSockets, F_OK) == 0 && !keeps_sockets(kSockets))
    return fail({}, concat("--x11: other users can replace what is in ", quoted(kSockets),
                           ": it has to be root's directory, with mode 1777"));
  struct stat facts{};
  const bool there = ::lstat(path.c_str(), &facts) == 0;
  if (!there || !S_ISSOCK(facts.st_mode) || (!is_mine(facts) && facts.st_uid != 0))
    return fail({}, concat("--x11: ", quoted(path),
                           there ? " is not a socket of yours or of root's"
                                 : " is not there: no X server runs here"));
  if ((facts.st_mode & S_IWOTH) == 0)
    return fail({}, concat("--x11: only its owner may connect to ", quoted(path),
                           ": chmod 777 lets the container, and the cookie keeps others out"));
  spec.mounts.emplace_back(BindWish{.source = path, .destination = path, .own_as = {}});
  set(spec, "DISPLAY", concat(":", *display));
  return add_cookies(spec, *display, notes);
}

std::vector<std::string> nodes_in(const char* directory, std::span<const std::string_view> begins) {
  std::vector<std::string> nodes;
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(directory), ::closedir);
  struct stat facts{};
  while (const dirent* entry = entries ? ::readdir(entries.get()) : nullptr) {
    const std::string_view name(entry->d_name);
    const auto path = concat(std::string_view(directory), "/", name);
    const bool wanted =
        std::ranges::any_of(begins, [&](std::string_view one) { return name.starts_with(one); });
    if (wanted && ::lstat(path.c_str(), &facts) == 0 && S_ISCHR(facts.st_mode))
      nodes.push_back(path);
  }
  std::ranges::sort(nodes);
  return nodes;
}

// A caller who may use a node only as a member of its group needs that group inside.
Result<void> add_group_of(Spec& spec, const std::string& node) {
  struct stat facts{};
  constexpr mode_t kAll = S_IROTH | S_IWOTH;
  if (::stat(node.c_str(), &facts) != 0 || (facts.st_mode & kAll) == kAll) return {};
  const group* const entry = ::getgrgid(facts.st_gid);  // NOLINT(concurrency-mt-unsafe)
  const auto name = entry == nullptr ? concat(facts.st_gid) : std::string(entry->gr_name);
  if (facts.st_gid == 0 || ::group_member(facts.st_gid) == 0)
    return fail({}, concat("--gpu: only members of the group ", name, " may use ", quoted(node),
                           ", and you are not one: ask the administrator for usermod -aG ", name));
  if (std::ranges::find(spec.group_add, name) == spec.group_add.end())
    spec.group_add.push_back(name);
  return {};
}

Result<void> add_gpu(Spec& spec) {
  constexpr std::string_view kDri[]{"renderD", "card"};
  constexpr std::string_view kOther[]{"nvidia", "kfd"};
  auto nodes = nodes_in("/dev/dri", kDri);
  std::ranges::copy(nodes_in("/dev", kOther), std::back_inserter(nodes));
  if (nodes.empty())
    return fail({},
                "--gpu: no GPU was found: there is neither a node like /dev/dri/renderD128 nor "
                "/dev/nvidia0 or /dev/kfd");
  for (const auto& node : nodes) {
    // A screen's node is its compositor's; what draws needs the render node alone.
    if (node.contains("/card") && nodes.size() > 1) continue;
    if (auto grouped = add_group_of(spec, node); !grouped) return grouped;
    spec.mounts.emplace_back(BindWish{.source = node, .destination = node, .own_as = {}});
  }
  return {};
}

Result<void> add_home(Spec& spec) {
  const auto home = variable("HOME");
  const auto path = parse_path(home);
  struct stat facts{};
  if (!path || *path == "/" || ::stat(home.c_str(), &facts) != 0 || !S_ISDIR(facts.st_mode))
    return fail({}, concat("--home: HOME ", quoted(home),
                           " is not the absolute path of a directory below /"));
  if (::geteuid() == 0)
    return fail({}, "--home is for ordinary users: root's own files belong to no container");
  if (!is_mine(facts)) return fail({}, concat("--home: ", quoted(home), " does not belong to you"));
  // First, so that what is bound below it by name lies over it.
  spec.mounts.insert(spec.mounts.begin(),
                     BindWish{.source = home, .destination = *path, .own_as = inside_of(spec)});
  const passwd* const entry = ::getpwuid(::geteuid());  // NOLINT(concurrency-mt-unsafe)
  auto shell = variable("SHELL");
  if (!shell.starts_with('/')) shell = "/bin/sh";
  spec.user->name = entry == nullptr ? std::string{} : entry->pw_name;
  spec.user->home = *path;
  spec.user->shell = std::move(shell);
  for (const auto* const name : {"LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES"})
    spec.env.insert(spec.env.begin(), {.name = name, .value = {}});
  if (spec.boot || spec.user_said) return {};
  spec.uid = spec.gid = spec.user->id;
  set(spec, "HOME", *path);
  return {};
}

}  // namespace

Result<void> add_desktop(Spec& spec, std::uint32_t inside, std::vector<std::string>& notes) {
  const auto wish = spec.desktop;
  spec.user = UserWish{.name = {}, .id = inside, .home = {}, .shell = {}};
  auto done = wish.gpu ? add_gpu(spec) : Result<void>{};
  if (done && wish.wayland) done = add_wayland(spec);
  if (done && wish.x11) done = add_x11(spec, notes);
  if (done && wish.audio) done = add_audio(spec);
  if (done && wish.home) done = add_home(spec);
  return done;
}

}  // namespace userns::frontend
