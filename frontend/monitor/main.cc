// userns-monitor: started by userns-run, which it was itself until now; never by hand.
#include <unistd.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "common/config.h"
#include "common/report.h"
#include "frontend/monitor/handover.h"
#include "frontend/monitor/monitor.h"
#include "policy/text.h"

int main(int argc, char** argv) {
  using namespace userns;
  exit_when_out_of_memory("userns-monitor");
  const std::vector<std::string_view> words(argv + std::min(argc, 1), argv + argc);
  if (words.size() == 1 && words.front() == "--version") {
    const auto text = concat("userns-monitor (userns suite) ", std::string_view(kVersion), "\n");
    return ::write(STDOUT_FILENO, text.data(), text.size()) == static_cast<ssize_t>(text.size())
               ? 0
               : 1;
  }
  auto handover = frontend::handover_from(words);
  if (handover && (handover->pid <= 0 || handover->lock < 0 || handover->directory < 0 ||
                   handover->control < 0))
    handover = fail({}, "started by userns-run start, not by hand");
  if (!handover) {
    report("userns-monitor", handover.error());
    return 1;
  }
  return frontend::monitor(std::move(*handover));
}
