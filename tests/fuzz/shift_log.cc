// An undo log of any bytes: refused, or read so that what was read is printed and read again as the
// same.
#include "frontend/shift/log_text.h"
#include "tests/fuzz/property.h"

using namespace userns;
using namespace userns::shift;

namespace {

std::string print(const LogContent& log) {
  std::string text = print_head(log.head, log.old.size());
  for (const auto& [key, old] : log.old) text += print_old(key, old);
  for (const auto& [key, old] : log.old)
    if (old.done) text += print_done(key);
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = as_text(data, size);
  const auto log = parse_log(text);
  if (!log) return 0;
  must(log->sound_bytes <= size, "no more is sound than there is");
  const auto start = parse_log(text.substr(0, log->sound_bytes));
  must(start && start->sound_bytes == log->sound_bytes, "the sound part is sound");
  const auto again = parse_log(print(*log));
  must(again.has_value() && again->head.shift == log->head.shift &&
           again->old.size() == log->old.size(),
       "printed, it is read");
  must(print(*again) == print(*log), "and says the same");
  return 0;
}
