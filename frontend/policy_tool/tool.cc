#include "frontend/policy_tool/tool.h"

#include <grp.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "common/config.h"
#include "common/fd.h"
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

std::string ids_conf_path() { return concat(std::string_view(kPolicyDir), "/ids.conf"); }

Result<std::optional<Gid>> group_id(std::string_view name) {
  errno = 0;
  const auto* const entry = ::getgrnam(std::string(name).c_str());
  if (entry != nullptr) return Gid{entry->gr_gid};
  if (!means_absent(errno))
    return fail("SU-NAME", concat("cannot look up group ", quoted(name)), errno);
  return std::nullopt;
}

Result<void> check_directory(const std::string& path) {
  const auto directory = path.substr(0, path.rfind('/'));
  if (::access(directory.c_str(), F_OK) == 0 || errno != ENOENT) return {};
  return fail({}, concat("there is no directory ", directory, ": mkdir ", directory));
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
