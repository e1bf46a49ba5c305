#include "frontend/policy_tool/tool.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <nss.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "common/config.h"
#include "common/fd.h"
#include "common/list_directory.h"
#include "common/policy_files.h"
#include "frontend/spec/printable.h"
#include "frontend/spec/tell.h"
#include "frontend/spec/user_database.h"
#include "policy/text.h"

namespace userns::frontend {

int tool_failure(const Error& error) {
  tell("userns-policy", error);
  return kToolFailed;
}

int put(std::string_view text, int status) { return put_as_it_is(printable_lines(text), status); }

int put_as_it_is(std::string_view text, int status) {
  const Fd out(::dup(STDOUT_FILENO));
  const auto written = write_all(out, text);
  return written ? status
                 : tool_failure({.rule = {},
                                 .code = written.error().code,
                                 .text = "cannot write to standard output"});
}

bool wants_colour(int fd) {
  const char* const no = std::getenv("NO_COLOR");
  return (no == nullptr || *no == '\0') && ::isatty(fd) == 1;
}

std::string installed_path(PolicyFile kind) {
  switch (kind) {
    case PolicyFile::kSubuid:
      return "/etc/subuid";
    case PolicyFile::kSubgid:
      return "/etc/subgid";
    case PolicyFile::kNet:
      return concat(std::string_view(kPolicyDir), "/net.conf");
    case PolicyFile::kCgroup:
      return concat(std::string_view(kPolicyDir), "/cgroup.conf");
  }
  return {};
}

bool has_directory(PolicyFile kind) {
  return kind == PolicyFile::kNet || kind == PolicyFile::kCgroup;
}

std::vector<std::string> installed_paths(PolicyFile kind, const std::string& root) {
  std::vector<std::string> paths{installed_path(kind)};
  const auto directory = concat(paths.front(), ".d");
  auto opened = has_directory(kind) ? open_below(root, directory) : Result<Fd>(Fd());
  auto names = opened && opened->valid() ? names_in(std::move(*opened), DT_UNKNOWN)
                                         : Result<std::vector<std::string>>{};
  if (!names) return paths;
  keep_conf_names(*names);
  for (const auto& name : *names) paths.push_back(concat(directory, "/", name));
  return paths;
}

std::string ids_conf_path() { return concat(std::string_view(kPolicyDir), "/ids.conf"); }

Result<std::optional<Gid>> group_id(std::string_view name) {
  errno = 0;
  const auto* const entry = ::getgrnam(std::string(name).c_str());
  if (entry != nullptr) return Gid{entry->gr_gid};
  if (!means_absent(errno))
    return fail("SU-NAME", concat("cannot look up group ", quoted(name)), errno);
  return std::nullopt;
}

Result<void> make_directory_of(const std::string& path) {
  const auto directory = path.substr(0, path.rfind('/'));
  if (::mkdir(directory.c_str(), 0755) == 0) {
    // Whatever the umask is.
    if (::chmod(directory.c_str(), 0755) == 0) return {};
    return fail_errno(concat("cannot set the mode of ", directory));
  }
  if (errno == EEXIST || errno == EROFS) return {};
  return fail_errno(concat("cannot make the directory ", directory));
}

Result<void> enter_root(const Words& words) {
  const auto wish = words.one("root");
  if (!wish) return {};
  const std::string root(*wish);
  if (root.empty()) return fail({}, "--root is empty: name the directory of another system");
  // The helpers' look at files needs /proc; the other system's own is seldom mounted.
  const Fd proc(::open_tree(AT_FDCWD, "/proc", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!proc.valid() || ::unshare(CLONE_NEWNS) != 0 ||
      ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return fail_errno(concat("--root ", quoted(root),
                             ": cannot make a mount namespace (only root "
                             "can: sudo)"));
  if (::chdir(root.c_str()) != 0 || ::chroot(".") != 0 || ::chdir("/") != 0)
    return fail_errno(concat("--root ", quoted(root), ": cannot make it the root directory"));
  if (::move_mount(proc.get(), "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return fail_errno(
        concat("--root ", quoted(root), ": cannot mount /proc there (mkdir ", root, "/proc)"));
  for (const char* const database : {"passwd", "group", "shadow", "initgroups"})
    ::__nss_configure_lookup(database, "files");
  is_other_root() = true;
  return {};
}

bool& is_other_root() {
  static bool is = false;
  return is;
}

Result<Fd> open_below(const std::string& root, const std::string& path) {
  constexpr int kFlags = O_RDONLY | O_NOCTTY | O_NONBLOCK;  // a fifo must not make us wait
  if (root.empty()) return open_at(AT_FDCWD, path.c_str(), kFlags);
  const auto top = open_at(AT_FDCWD, root.c_str(), O_PATH | O_DIRECTORY);
  return top ? open_at(top->get(), path.c_str(), kFlags, RESOLVE_IN_ROOT)
             : std::unexpected(top.error());
}

Result<std::string> read_policy(const std::string& path, const std::string& root) {
  if (path.empty()) return fail({}, "the name of a file is empty: name one");
  const auto file = open_below(root, path);
  if (!file && file.error().code == EACCES && ::geteuid() != 0)
    return fail({}, concat("cannot open ", path, " as uid ", ::geteuid(), " (root can: sudo)"),
                EACCES);
  if (!file) return std::unexpected(file.error());
  struct stat facts{};
  if (::fstat(file->get(), &facts) != 0) return fail_errno(concat("cannot examine ", path));
  if (S_ISDIR(facts.st_mode)) return fail({}, concat(path, " is a directory: name a file in it"));
  if (!S_ISREG(facts.st_mode))
    return fail({}, concat(path, " is not a regular file: name a text file"));
  auto text = read_all(*file, kLargestPolicy);
  if (!text) return fail({}, concat("cannot read ", path), text.error().code);
  return text;
}

}  // namespace userns::frontend
