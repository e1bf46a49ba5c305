#include "frontend/start/inside/pty.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "frontend/run/mount_api.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

const dev_t kPtmx = makedev(5, 2);

Result<Fd> open_master(const Plan& plan) {
  const char* const path = plan.own_root ? "/dev/pts/ptmx" : "/dev/ptmx";
  Fd master(::open(path, O_RDWR | O_NOCTTY | O_CLOEXEC));
  int unlocked = 0;
  if (!master.valid() || ::ioctl(master.get(), TIOCSPTLCK, &unlocked) != 0)
    return fail_errno(concat("cannot make a terminal in the container's ", std::string_view(path)));
  // The place may be the container's to rearrange by now.
  struct stat facts{};
  if (::fstat(master.get(), &facts) != 0 || !S_ISCHR(facts.st_mode) || facts.st_rdev != kPtmx)
    return fail({}, concat("the container's ", std::string_view(path),
                           " is not the place where terminals are made"));
  return master;
}

// From the caller's terminal, before the command can look.
void take_window_size(const Fd& master) {
  winsize size{};
  if (::ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0 ||
      ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
    (void)::ioctl(master.get(), TIOCSWINSZ, &size);
}

// What a system's init and getty open. Nice to have: not every container has room for it.
void offer_as(const char* path, const Fd& master) {
  unsigned number = 0;
  if (::ioctl(master.get(), TIOCGPTN, &number) != 0) return;
  const auto slave = clone_tree(AT_FDCWD, concat("/dev/pts/", number).c_str());
  if (!slave) return;
  const Fd console(::open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600));
  if (console.valid()) [[maybe_unused]]
    const auto attached = attach_at(*slave, AT_FDCWD, path);
}

}  // namespace

Result<void> take_terminal(const Plan& plan, const Channel& channel) {
  auto master = TRY(open_master(plan));
  const Fd slave(::ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!slave.valid()) return fail_errno("cannot open the container's terminal");
  if (plan.spec.uid != plan.setup_uid &&
      ::fchown(slave.get(), plan.spec.uid, static_cast<gid_t>(-1)) != 0)
    return fail_errno("cannot give the container's terminal to its user");
  if (!plan.kept) take_window_size(master);
  if (plan.own_root && !plan.joins) offer_as("/dev/console", master);
  // systemd has a login on the console of a container; the others have it on the first terminal of
  // a machine.
  if (plan.boot && plan.boot->init.kind != InitKind::kSystemd) offer_as("/dev/tty1", master);
  Message message{.kind = Message::Kind::kTerminal};
  message.fd = std::move(master);
  if (auto sent = channel.send(message); !sent) return sent;
  // An init's console is nobody's: ^C there is for the login that takes it, and would reboot by way
  // of the init.
  if (!plan.boot && ::ioctl(slave.get(), TIOCSCTTY, 0) != 0)
    return fail_errno("cannot make the terminal the command's own");
  const bool errors_too = plan.kept || plan.boot || ::isatty(STDERR_FILENO) == 1;
  for (int number = 0; number < (errors_too ? 3 : 2); ++number)
    if (::dup2(slave.get(), number) < 0)
      return fail_errno("cannot set up standard input and output");
  return {};
}

}  // namespace userns::frontend
