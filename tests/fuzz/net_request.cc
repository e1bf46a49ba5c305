// userns-net's argv: refused with a rule, or a request whose words can go into a name and an alias.
#include "policy/net_rules.h"
#include "tests/fuzz/property.h"

using namespace userns;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = as_text(data, size);
  const auto words = as_words(text);
  const auto request = parse_net_request(words);
  if (!request) {
    must(!request.error().rule.empty() && !request.error().text.empty(),
         "a refusal has a rule and says why");
  } else {
    for (const char c : request->container)
      must(c > ' ' && c < 0x7f && c != '"', "a container's name is plain");
    if (!request->name.empty())
      must(is_interface_name(request->name), "an interface's name is one");
  }
  if (const auto slot = Slot::from_name(text)) must(slot->name() == text, "a slot has one name");
  if (const auto mac = Mac::parse(text))
    must(Mac::parse(mac->text()) == *mac, "a MAC address survives its text");
  return 0;
}
