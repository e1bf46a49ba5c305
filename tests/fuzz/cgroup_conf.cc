// cgroup.conf: refused whole with a place, or lines of which each is sound.
#include "policy/cgroup_conf.h"

#include "policy/cgroup_rules.h"
#include "tests/fuzz/property.h"

using namespace userns;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = as_text(data, size);
  const auto conf = parse_cgroup_conf(text, "cgroup.conf");
  if (!conf) {
    must(conf.error().text.starts_with("cgroup.conf:"), "a refusal names the place");
    return 0;
  }
  must(conf->base.empty() || conf->base.front() == '/', "a base is absolute");
  for (const auto& line : conf->lines) {
    must(!line.who.empty(), "a line is about somebody");
    for (const auto& setting : line.settings) {
      must(setting.key != nullptr && !setting.text.empty(), "a setting has a key and a value");
      must(setting.file.find('/') == std::string::npos, "a setting's file stays in its directory");
      must(setting.text.find('\n') == std::string::npos, "a value is one line");
    }
  }
  (void)ContainerName::parse(text);
  return 0;
}
