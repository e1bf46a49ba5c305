#include "frontend/start/helper.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kLongestComplaint = 2000;

class Attributes {
 public:
  explicit Attributes(const Fd& errors) {
    sigset_t none;
    ::sigemptyset(&none);
    ::posix_spawnattr_init(&attributes_);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK);
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawn_file_actions_adddup2(&actions_, errors.get(), STDERR_FILENO);
  }
  ~Attributes() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;

  // errno of the spawn.
  int spawn(pid_t& pid, const char* path, const char* name, char* const* words) const {
    char* const no_environment[] = {nullptr};
    const int error = ::posix_spawn(&pid, path, &actions_, &attributes_, words, no_environment);
    return error == ENOENT ? ::posix_spawnp(&pid, name, &actions_, &attributes_, words, no_environment) : error;
  }

 private:
  posix_spawnattr_t attributes_{};
  posix_spawn_file_actions_t actions_{};
};

std::string one_line(std::string_view text) {
  std::string line;
  for (const char c : text) line.push_back(c == '\n' ? ' ' : c);
  while (line.ends_with(' ')) line.pop_back();
  return line;
}

}  // namespace

Result<Helper> Helper::start(const char* path, const std::vector<std::string>& arguments) {
  auto pipe = make_pipe();
  if (!pipe) return std::unexpected(pipe.error());
  std::string name(std::string_view(path).substr(std::string_view(path).rfind('/') + 1));
  std::vector<char*> words{name.data()};
  words.reserve(arguments.size() + 2);
  for (const auto& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  pid_t pid = 0;
  const int error = Attributes(pipe->write).spawn(pid, path, name.c_str(), words.data());
  if (error == ENOENT)
    return fail({}, cat("cannot find ", name, ": install it (package uidmap, or this suite), or use --map-self"));
  if (error != 0) return fail({}, cat("cannot start ", name), error);
  return Helper(std::move(name), std::move(pipe->read), pid);
}

Result<void> Helper::finish() {
  std::array<char, kLongestComplaint> said{};
  const auto length = read_some(errors_, said);
  errors_.reset();
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0)
    if (errno != EINTR) return fail_errno(cat("lost ", name_));
  pid_ = 0;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  const auto complaint = one_line({said.data(), length.value_or(0)});
  if (!complaint.empty()) return fail({}, complaint);
  return fail({}, WIFSIGNALED(status) ? cat(name_, " was ended by signal ", WTERMSIG(status))
                                      : cat(name_, " failed with status ", WEXITSTATUS(status), " and said nothing"));
}

Helper::~Helper() {
  if (pid_ == 0) return;
  errors_.reset();
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) continue;
}

}  // namespace userns::frontend
