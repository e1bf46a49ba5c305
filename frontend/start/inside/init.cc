#include "frontend/start/inside/init.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <optional>

#include "common/fd.h"
#include "frontend/run/exit_status.h"
#include "frontend/run/own_words.h"

namespace userns::frontend {
namespace {

// The command's status, once it has ended. Reaps whatever else has.
std::optional<int> reap(pid_t command) {
  std::optional<int> ended;
  int status = 0;
  for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;)
    if (pid == command)
      ended = WIFSIGNALED(status) ? kExitSignalBase + WTERMSIG(status) : WEXITSTATUS(status);
  return ended;
}

[[noreturn]] void be_init(pid_t command, const sigset_t& all) {
  ::prctl(PR_SET_NAME, "userns-init", 0, 0, 0);
  show_instead_of_own_words("userns-init");
  while (true) {
    siginfo_t info{};
    const int number = ::sigwaitinfo(&all, &info);
    if (number > 0 && number != SIGCHLD) ::kill(command, number);
    if (number != SIGCHLD) continue;
    if (const auto status = reap(command)) ::_exit(*status);
  }
}

}  // namespace

Result<void> continue_below_init() {
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);  // the command sets its own before the exec
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return fail_errno("cannot hide init");
  const pid_t command = ::fork();
  if (command < 0) return fail_errno("cannot start the command below init");
  if (command == 0) return {};
  ::close_range(0, ~0U, 0);  // no fd of init keeps a pipe, a terminal or the channel open
  be_init(command, all);
}

}  // namespace userns::frontend
