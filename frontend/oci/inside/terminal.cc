#include "frontend/oci/inside/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include "common/fd.h"
#include "frontend/start/inside/pty.h"
#include "frontend/start/plan/plan.h"

namespace userns::frontend {

Result<void> take_oci_terminal(const OciProcess& process, const Channel& channel, bool first) {
  Plan plan;
  plan.own_root = true;
  plan.kept = true;  // its size is not that of the caller's terminal
  plan.joins = !first;
  plan.spec.uid = process.uid;
  if (auto taken = take_terminal(plan, channel); !taken) return taken;
  if (!process.console_size) return {};
  winsize size{};
  size.ws_row = process.console_size->first;
  size.ws_col = process.console_size->second;
  if (::ioctl(STDIN_FILENO, TIOCSWINSZ, &size) != 0)
    return fail_errno("cannot set process.consoleSize");
  return {};
}

}  // namespace userns::frontend
