#include "frontend/monitor/hooks.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <vector>

#include "common/fd.h"
#include "frontend/spec/shell_words.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

[[noreturn]] void become(std::vector<std::string> words) {
  const Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (null.valid()) (void)::dup2(null.get(), STDIN_FILENO);
  for (int number = 1; number < NSIG; ++number) (void)::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  (void)::sigprocmask(SIG_SETMASK, &none, nullptr);
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execvp(argv[0], argv.data());
  ::_exit(errno == ENOENT ? 127 : 126);
}

Result<void> run_hook(const std::string& command) {
  auto words = split_words(command);
  if (!words) return std::unexpected(words.error());
  if (words->empty()) return fail({}, "a hook is empty");
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno(concat("cannot start the hook ", quoted(command)));
  if (pid == 0) become(std::move(*words));
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return fail_errno(concat("lost the hook ", quoted(command)));
  if (status == 0) return {};
  return fail({}, concat("the hook ", quoted(command), " failed: ",
                         WIFSIGNALED(status) ? concat("ended by signal ", WTERMSIG(status))
                                             : concat("status ", WEXITSTATUS(status))));
}

}  // namespace

Result<void> run_hooks(std::span<const std::string> commands, const std::string& name, pid_t pid,
                       int status) {
  if (commands.empty()) return {};
  (void)::setenv("USERNS_NAME", name.c_str(), 1);
  (void)::setenv("USERNS_PID", concat(pid).c_str(), 1);
  (void)::setenv("USERNS_STATUS", concat(status).c_str(), 1);
  for (const auto& command : commands)
    if (auto done = run_hook(command); !done) return done;
  return {};
}

}  // namespace userns::frontend
