// userns-cgroup's argv: refused with a rule, or a verb with the name that it needs.
#include "policy/cgroup_rules.h"
#include "tests/fuzz/property.h"

using namespace userns;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto words = as_words(as_text(data, size));
  const auto request = parse_cgroup_request(words);
  if (!request) {
    must(request.error().rule == "CG-ARGS" || request.error().rule == "CG-NAME",
         "a refusal has a rule");
    return 0;
  }
  using enum CgroupRequest::Verb;
  must(request->name.has_value() == (request->verb != kList),
       "a container is named where one is meant");
  must(!request->json || request->verb == kList, "JSON is for lists");
  const bool runs = request->verb == kEnter || request->verb == kSpawn;
  must(!runs || (words.size() >= 4 && words[2] == "--"), "a command follows --");
  if (request->name)
    must(request->name->text().find_first_of("/.") == std::string::npos,
         "a name stays in its directory");
  return 0;
}
