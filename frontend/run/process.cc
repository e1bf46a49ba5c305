#include "frontend/run/process.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "frontend/run/apparmor.h"
#include "frontend/run/exit_status.h"
#include "policy/text.h"

namespace userns::frontend {

Result<NewProcess> clone_process(std::uint64_t flags, const Fd& cgroup) {
  int pidfd = -1;
  clone_args args{};
  args.flags = flags | (cgroup.valid() ? CLONE_INTO_CGROUP : 0);
  args.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  args.exit_signal = (flags & CLONE_PARENT) != 0 ? 0 : SIGCHLD;
  args.cgroup = cgroup.valid() ? static_cast<decltype(args.cgroup)>(cgroup.get()) : 0;
  const long pid = ::syscall(SYS_clone3, &args, sizeof args);
  const int code = errno;
  if (pid < 0 && (flags & CLONE_NEWUSER) != 0)
    return fail({}, concat("cannot make a user namespace", why_no_clone(code, apparmor_label())),
                code);
  if (pid < 0) return fail({}, "cannot start a process", code);
  return NewProcess{.pid = static_cast<pid_t>(pid), .pidfd = Fd(pidfd)};
}

std::string why_no_clone(int code, std::string_view label) {
  if (code == ENOSPC) return ": a limit in /proc/sys/user is reached";
  if ((code == EACCES || code == EPERM) && is_enforced(label))
    return concat(": this process is under the AppArmor profile ", quoted(profile_name(label)),
                  ", which has no rule for it");
  if (code == EACCES) return ": a security module forbids it; the kernel's log says which";
  if (code == EPERM)
    return ": user namespaces are switched off here (sysctl kernel.unprivileged_userns_clone, "
           "user.max_user_namespaces, "
           "kernel.apparmor_restrict_unprivileged_userns, or a seccomp filter), or this is a "
           "chroot";
  return {};
}

int collect(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return -1;
  return status;
}

Child::~Child() {
  if (pid_ == 0) return;
  if (last_signal_ != 0) ::kill(pid_, last_signal_);  // not reaped yet: the number is its own
  (void)collect(pid_);
}

std::string how_it_ended(int status) {
  return WIFSIGNALED(status) ? concat("was ended by signal ", WTERMSIG(status))
                             : concat("failed with status ", WEXITSTATUS(status));
}

void unblock_signals() {
  sigset_t none;
  ::sigemptyset(&none);
  (void)::sigprocmask(SIG_SETMASK, &none, nullptr);
}

void reset_signals() {
  for (int number = 1; number < NSIG; ++number) (void)::signal(number, SIG_DFL);
  unblock_signals();
}

void become_program(const Program& program) {
  const auto argv = argv_of(program.words);
  const Fd nowhere(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const auto put = [&](int fd, int number) {
    return fd == number || ::dup2(fd == Program::kNowhere ? nowhere.get() : fd, number) >= 0;
  };
  if (!put(program.input, STDIN_FILENO) || !put(program.output, STDOUT_FILENO) ||
      !put(program.errors, STDERR_FILENO) ||
      (program.directory >= 0 && ::fchdir(program.directory) != 0) ||
      (program.dies_by != 0 && (::prctl(PR_SET_PDEATHSIG, program.dies_by, 0, 0, 0) != 0 ||
                                ::getppid() != program.starter)))
    ::_exit(kExitNotExecutable);
  ::execvp(argv[0], argv.data());
  ::_exit(errno == ENOENT ? kExitNotFound : kExitNotExecutable);
}

}  // namespace userns::frontend
