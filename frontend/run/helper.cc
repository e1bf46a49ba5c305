#include "frontend/run/helper.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "frontend/run/process.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kLongestComplaint = 2000;

// In the child of a vfork(2): shares all memory with us, so nothing but system calls. Returns
// errno.
int become(const char* path, const char* name, char* const* words, int errors, int output,
           std::span<const int> handed) {
  char* const no_environment[] = {nullptr};
  sigset_t none;
  ::sigemptyset(&none);
  if (::dup2(errors, STDERR_FILENO) < 0 || (output >= 0 && ::dup2(output, STDOUT_FILENO) < 0) ||
      ::sigprocmask(SIG_SETMASK, &none, nullptr) != 0)
    return errno;
  for (const int fd : handed)
    if (::fcntl(fd, F_SETFD, 0) != 0) return errno;
  ::execve(path, words, no_environment);
  if (errno == ENOENT) ::execvpe(name, words, no_environment);
  return errno;
}

// posix_spawn(3) does the same, with 130 system calls more: it resets every signal.
Result<pid_t> spawn(const char* path, const std::string& name, char* const* words, const Fd& errors,
                    const Fd* output, std::span<const int> handed) {
  volatile int error = 0;
  const pid_t pid = ::vfork();  // NOLINT(clang-analyzer-*): the child makes system calls only
  if (pid == 0) {
    error = become(path, name.c_str(), words, errors.get(),  // NOLINT(clang-analyzer-*)
                   output == nullptr ? -1 : output->get(), handed);
    ::_exit(127);
  }
  if (pid < 0) return fail_errno(concat("cannot start ", name));
  if (error == 0) return pid;
  (void)collect(pid);
  if (error == ENOENT)
    return fail({}, concat("cannot find ", name,
                           name == "newuidmap" || name == "newgidmap"
                               ? ": install it (package uidmap, or this suite), or use --map-self"
                               : ": install it"));
  return fail({}, concat("cannot start ", name), error);
}

// What it says until it ends, or says no more. A child of its own that holds the pipe for longer,
// as the map helpers have one, is not waited for.
std::string hear(const Fd& errors, pid_t pid) {
  const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  std::string said;
  std::array<char, kLongestComplaint> part{};
  while (said.size() < kLongestComplaint) {
    std::array polled{pollfd{.fd = errors.get(), .events = POLLIN, .revents = 0},
                      pollfd{.fd = process.get(), .events = POLLIN, .revents = 0}};
    if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR) break;
    if (polled[0].revents == 0 && polled[1].revents != 0) break;
    if (polled[0].revents == 0) continue;
    const auto got = ::read(errors.get(), part.data(), kLongestComplaint - said.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    said.append(part.data(), static_cast<std::size_t>(got));
  }
  return said;
}

std::string one_line(std::string_view text) {
  std::string line;
  for (const char c : text) line.push_back(c == '\n' ? ' ' : c);
  while (line.ends_with(' ')) line.pop_back();
  return line;
}

}  // namespace

Result<Helper> Helper::start(const char* path, const std::vector<std::string>& arguments,
                             const Fd* output, std::span<const int> handed) {
  auto pipe = TRY(make_pipe());
  std::string name(std::string_view(path).substr(std::string_view(path).rfind('/') + 1));
  std::vector<char*> words{name.data()};
  words.reserve(arguments.size() + 2);
  for (const auto& argument : arguments)
    words.push_back(
        const_cast<char*>(argument.c_str()));  // NOLINT(*-const-cast): as execve(2) takes it
  words.push_back(nullptr);
  const auto pid = TRY(spawn(path, name, words.data(), pipe.write, output, handed));
  return Helper(std::move(name), std::move(pipe.read), pid);
}

Result<void> Helper::finish() {
  const auto said = hear(errors_, child_.pid());
  errors_.reset();
  const int status = child_.end();
  if (status < 0) return fail_errno(concat("lost ", name_));
  if (status == 0) return {};
  const auto complaint = one_line(said);
  if (!complaint.empty()) return fail({}, complaint);
  return fail(
      {}, concat(name_, " ", how_it_ended(status), WIFSIGNALED(status) ? "" : " and said nothing"));
}

}  // namespace userns::frontend
