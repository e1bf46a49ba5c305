#include "frontend/cli/terminal.h"

#include <unistd.h>

#include <cerrno>

#include "frontend/run/exit_status.h"
#include "frontend/spec/printable.h"
#include "frontend/start/hint.h"
#include "policy/text.h"

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

ProgressLine::ProgressLine() : on_terminal_(::isatty(STDERR_FILENO) == 1) {}

void ProgressLine::show(std::string_view text) {
  if (!on_terminal_) return;
  const auto line = concat("\r\x1b[K", printable(text));
  shown_ = ::write(STDERR_FILENO, line.data(), line.size()) > 0;
}

void ProgressLine::clear() {
  if (shown_) show("");
  shown_ = false;
}

}  // namespace userns::frontend
