// The words by which a container's start and its monitor hand over to each other.
#include "frontend/monitor/handover.h"

#include "tests/fuzz/property.h"

using namespace userns;
using namespace userns::frontend;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto words = as_words(as_text(data, size));
  const auto handover = handover_from(words);
  if (!handover) {
    must(!handover.error().text.empty(), "a refusal says why");
    return 0;
  }
  for (const int fd :
       {handover->directory, handover->lock, handover->control, handover->report, handover->pidfd})
    must(fd >= -1, "a file descriptor is one, or none");
  must(handover->pid >= 0, "a pid is never that of a group or of all");
  must(handover->rest.empty() || handover->rest.front().starts_with("--"),
       "the rest begins with an option");
  const auto again = to_words(*handover);
  const std::vector<std::string_view> views(again.begin(), again.end());
  const auto second = handover_from(views);
  must(second.has_value(), "what is handed over is understood");
  must(to_words(*second) == again, "it comes through unchanged");
  return 0;
}
