#include "frontend/monitor/beside.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <string_view>
#include <utility>

#include "frontend/run/exit_status.h"
#include "frontend/run/process.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

[[noreturn]] void become_beside(const std::string& program, const Request& request,
                                const std::vector<Fd>& fds, const ExecLeaf& leaf) {
  ::setsid();
  for (int number = 0; number < 3; ++number)
    if (::dup2(fds[static_cast<std::size_t>(number)].get(), number) < 0) ::_exit(kExitOwnFailure);
  reset_signals();
  auto words = request.words;
  auto environment = request.environment;
  if (leaf.dir().valid()) {
    (void)::fcntl(leaf.dir().get(), F_SETFD, 0);
    environment.push_back(concat(std::string_view(kLeafVariable), "=", leaf.dir().get()));
  }
  ::execve(program.c_str(), argv_of(words).data(), argv_of(environment).data());
  ::_exit(kExitOwnFailure);
}

}  // namespace

void Beside::signal(int number) const {
  if (pidfd.valid()) (void)::syscall(SYS_pidfd_send_signal, pidfd.get(), number, nullptr, 0);
}

Result<Beside> start_beside(const std::string& program, const Request& request,
                            const std::vector<Fd>& fds, const Cgroup& cgroup,
                            const Fd& user_namespace, unsigned number) {
  if (fds.size() != 3) return fail({}, "exec needs three file descriptors");
  Beside beside;
  if (cgroup.payload().valid()) {
    auto leaf = TRY(ExecLeaf::make(cgroup.payload(), user_namespace, number));
    beside.leaf = std::move(leaf);
  }
  auto made = TRY(clone_process(CLONE_PIDFD));
  if (made.pid == 0) become_beside(program, request, fds, beside.leaf);
  beside.pid = made.pid;
  beside.pidfd = std::move(made.pidfd);
  return beside;
}

}  // namespace userns::frontend
