// newuidmap's argv as it comes: a target and triples, or a refusal with a rule.
#include "policy/idmap.h"
#include "policy/target.h"
#include "tests/fuzz/property.h"

using namespace userns;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto words = as_words(as_text(data, size));
  if (words.empty()) return 0;
  const auto target = parse_target(words.front());
  const auto map = IdMap::parse(std::span(words).subspan(1));
  must(target || target.error().rule == "IM-TARGET", "a target that is none has its rule");
  must(map || map.error().rule.starts_with("IM-"), "a map that is none has its rule");
  if (!map) return 0;
  must(words.size() == 1 + 3 * map->extents().size(), "no word is passed over");
  must(IdMap::from_extents({map->extents().begin(), map->extents().end()}).has_value(),
       "what parses is sound");
  must((map->outside_root() != nullptr) == map->kernel_text().contains(" 0 "),
       "outside id 0 is noticed");
  return 0;
}
