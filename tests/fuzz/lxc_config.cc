// LXC's files: whatever they hold, what they come to is well-formed, and no line of theirs is lost.
#include "frontend/policy_tool/verbs/lxc_config.h"

#include <algorithm>

#include "frontend/spec/config_file.h"
#include "policy/net_conf.h"
#include "tests/fuzz/property.h"

using namespace userns;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(as_text(data, std::min<std::size_t>(size, 4096)));
  const auto read = [&](const std::string& path) -> Result<std::vector<frontend::NamedText>> {
    if (text.size() % 2 != 0) return fail({}, "none");
    std::vector<frontend::NamedText> files;
    files.push_back({path, "lxc.uts.name = x\n"});
    return files;
  };
  const auto config = frontend::translate_lxc_config({"config", text}, read);
  must(config.size() > frontend::kLargestConfig ||
           frontend::ConfigFile::parse(config, "x").has_value(),
       "a config file is written that is one");
  must(parse_net_conf("x", frontend::translate_lxc_usernet({"usernet", text})).has_value(),
       "a net.conf is written that is one");
  return 0;
}
