#include "frontend/cli/terminal.h"

#include <unistd.h>

#include <cerrno>

#include "frontend/run/exit_status.h"
#include "frontend/spec/printable.h"
#include "frontend/start/hint.h"

namespace userns::frontend {

int print(std::string_view text) { return print_as_it_is(printable_lines(text)); }

int print_as_it_is(std::string_view text) {
  while (!text.empty()) {
    const auto written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0)
      return own_failure({.rule = {}, .code = errno, .text = "cannot write to standard output"});
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return 0;
}

int own_failure(const Error& error) {
  report_failure(error);
  return kExitOwnFailure;
}

}  // namespace userns::frontend
