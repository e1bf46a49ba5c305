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

bool same_texts(const std::vector<PolicyText>& a, const std::vector<PolicyText>& b) {
  return std::ranges::equal(a, b, {}, &PolicyText::text, &PolicyText::text);
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
  // The first half in the file itself, the other in its directory.
  const auto half = std::min(text.find('\n', text.size() / 2), text.size());
  const auto files_of = [&](PolicyFile kind) {
    return std::vector<PolicyText>{{kind, "x", std::string(text.substr(0, half))},
                                   {kind, "x.d/y", std::string(text.substr(half))}};
  };
  auto files = files_of(PolicyFile::kCgroup);
  if (grant_cgroup(files, who, setting)) {
    must(parse(files).has_value(), "a changed cgroup.conf is one");
    const auto granted = files;
    must(grant_cgroup(files, who, setting).has_value(), "a grant can be made again");
    must(same_texts(files, granted), "a grant is made once");
    must(revoke_cgroup(files, who, all).has_value(), "what was granted can be revoked");
  }
  files = files_of(PolicyFile::kNet);
  if (grant_net(files, who, "br0:2,mtu=1400")) {
    must(parse(files).has_value(), "a changed net.conf is one");
    const auto granted = files;
    must(grant_net(files, who, "br0:2,mtu=1400").has_value(), "a grant can be made again");
    must(same_texts(files, granted), "a grant is made once");
    must(revoke_net(files, who, "br0").has_value(), "what was granted can be revoked");
  }
  return 0;
}
