// The small parsers: decimals, quoting, targets, /proc/PID/status.
#include "policy/proc_status.h"
#include "policy/target.h"
#include "policy/text.h"
#include "tests/fuzz/property.h"

using namespace userns;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = as_text(data, size);
  const auto number = parse_decimal(text);
  if (number) must(concat(*number) == text, "a number has one spelling");
  must(number || !why_not_decimal(text).empty(), "a refusal says why");
  const auto shown = quoted(text);
  for (const char c : shown) must(c >= 0x20 && c < 0x7f, "quoted text is printable ASCII");
  must(shown.size() <= 64 * 4 + 5, "quoted text is short");
  const auto target = parse_target(text);
  if (target && target->kind == Target::Kind::kPid) must(target->number > 0, "a pid is positive");
  (void)proc_field(text, "Uid");
  (void)proc_number(text, "Tgid");
  return 0;
}
