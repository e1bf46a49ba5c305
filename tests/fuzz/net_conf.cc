// net.conf: refused whole with a place, or lines of which each is sound.
#include "policy/net_conf.h"

#include "policy/net_rules.h"
#include "tests/fuzz/property.h"

using namespace userns;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto lines = parse_net_conf("net.conf", as_text(data, size));
  if (!lines) {
    must(lines.error().text.starts_with("net.conf:"), "a refusal names the place");
    must(!lines.error().rule.empty(), "a refusal has a rule");
    return 0;
  }
  for (const auto& line : *lines) {
    must(!line.who.empty(), "a line is about somebody");
    must(is_interface_name(line.bridge), "a bridge has a name that an interface can have");
  }
  return 0;
}
