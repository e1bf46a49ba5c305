// The report on a policy file: it has an error "malformed" or "crlf" exactly where the helpers'
// parser refuses the file, its places are within the text, and nothing of the text reaches a
// terminal as it is.
#include <algorithm>

#include "frontend/policy_tool/check/change.h"
#include "frontend/policy_tool/check/checks.h"
#include "policy/cgroup_conf.h"
#include "policy/net_conf.h"
#include "tests/fuzz/property.h"

using namespace userns;
using namespace userns::frontend;

namespace {

const HostFacts& nobody() {
  static const HostFacts facts = [] {
    HostFacts empty;
    empty.user_by_name = [](std::string_view) { return std::optional<Account>{}; };
    empty.user_by_uid = [](std::uint32_t) { return std::optional<Account>{}; };
    empty.group_by_name = [](std::string_view) { return std::optional<GroupFacts>{}; };
    return empty;
  }();
  return facts;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = as_text(data, size);
  for (const auto kind :
       {PolicyFile::kSubuid, PolicyFile::kSubgid, PolicyFile::kNet, PolicyFile::kCgroup}) {
    const auto found = check({kind, "FILE", std::string(text)}, nobody(), nullptr);
    for (const auto& f : found) {
      must(f.line > 0 && f.column >= 1 && f.column <= f.source.size() + 1,
           "a place is within its line");
      const auto shown = to_text(f, false);
      must(std::ranges::all_of(shown, [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); }),
           "only printable text is shown");
    }
    const bool refused = std::ranges::any_of(
        found, [](const Finding& f) { return f.id == "malformed" || f.id == "crlf"; });
    if (kind == PolicyFile::kNet)
      must(refused == !parse_net_conf("x", text), "net.conf: as the helper");
    if (kind == PolicyFile::kCgroup)
      must(refused == !parse_cgroup_conf(text, "x"), "cgroup.conf: as the helper");
  }
  const std::string who[] = {"alice", "1000"}, setting[] = {"pids.max=5"}, all[] = {"all"};
  if (const auto granted = grant_cgroup(text, who, setting)) {
    must(parse_cgroup_conf(*granted, "x").has_value(), "a changed cgroup.conf is one");
    must(grant_cgroup(*granted, who, setting).value_or("") == *granted, "a grant is made once");
    must(revoke_cgroup(*granted, who, all).has_value(), "what was granted can be revoked");
  }
  if (const auto granted = grant_net(text, who, "br0:2,mtu=1400")) {
    must(parse_net_conf("x", *granted).has_value(), "a changed net.conf is one");
    must(grant_net(*granted, who, "br0:2,mtu=1400").value_or("") == *granted,
         "a grant is made once");
    must(revoke_net(*granted, who, "br0").has_value(), "what was granted can be revoked");
  }
  return 0;
}
