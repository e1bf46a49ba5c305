// A request that parses is one that the kernel takes, and a grant never leaves what the caller has.
#include "policy/idmap.h"

#include "policy/idmap_rules.h"
#include "policy/subid.h"
#include "policy/text.h"
#include "tests/fuzz/property.h"

using namespace userns;

namespace {

// First line: the words of the request. The rest: the subid file.
void check_decision(const IdMap& request, std::string_view file) {
  SubidScanner scanner("alice", Uid{1000});
  scanner.feed(file);
  if (!scanner.finish()) return;
  MapFacts facts;
  facts.caller_uid = facts.target_uid = Uid{1000};
  facts.caller_gid = facts.target_gid = Gid{1000};
  facts.caller_name = "alice";
  facts.owned = &scanner.ranges();
  facts.owned_source = "/etc/subuid";
  facts.skipped = &scanner.skipped();
  const auto grant = decide(facts, request);
  must(grant || !grant.error().text.empty(), "a refusal says why");
  if (!grant) return;
  for (const auto& extent : grant->map().extents()) {
    must(extent.outside().first() != 0, "nobody but root gets outside id 0");
    const bool own = extent.count() == 1 && extent.outside().first() == 1000;
    must(own || scanner.ranges().covers(extent.outside()), "no id beyond the caller's");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto text = as_text(data, size);
  auto line = take_until(text, '\n');
  std::vector<std::string_view> words;
  while (!line.empty()) words.push_back(take_until(line, ' '));
  const auto map = IdMap::parse(words);
  if (!map) {
    must(!map.error().rule.empty() && !map.error().text.empty(),
         "a refusal has a rule and says why");
    return 0;
  }
  must(!map->extents().empty() && map->extents().size() <= kMaxExtents, "1 to 340 extents");
  must(map->kernel_text().size() <= kMaxMapBytes, "fits in the kernel's page");
  must(map->kernel_text().find("  ") == std::string::npos, "canonical text");
  check_decision(*map, text);
  return 0;
}
