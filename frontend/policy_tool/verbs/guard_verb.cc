// userns-policy guard: the packet filter that goes with net.conf.
#include <string>
#include <utility>
#include <vector>

#include "frontend/policy_tool/guard/guard_text.h"
#include "frontend/policy_tool/guard/nft.h"
#include "frontend/policy_tool/tool.h"
#include "frontend/policy_tool/verbs/answer.h"
#include "policy/net_conf.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr int kCurrent = 0, kOther = 1, kMissing = 2;

// What holds each line's ports.
std::string coverage(const NetLine& line) {
  const auto& terms = line.terms;
  if (terms.guard == NetTerms::Guard::kNo) return "not guarded (guard=no)";
  std::string text = terms.spoof ? "frames of hosts only, from any MAC address"
                                 : concat("frames of hosts only, from ",
                                          terms.macs > 0 ? concat(terms.macs + 1, " MAC addresses")
                                                         : "one MAC address");
  if (terms.addresses() > 0) text += " and its IP addresses";
  if (terms.rate > 0) text += concat(", at most ", terms.rate, " bytes a second each way");
  if (!terms.tagged.empty()) text += ", tagged VLANs";
  return text;
}

std::string coverage(const std::vector<NetLine>& lines) {
  std::string text;
  for (const auto& line : lines)
    if (line.count > 0) text += concat(line.bridge, ": ", line.who, ": ", coverage(line), "\n");
  return text;
}

int check(const std::string& path, const std::vector<NetLine>& lines) {
  switch (guard_state(lines)) {
    case GuardState::kUnknown: {
      const auto asked = run_nft({"list", "tables", "bridge"}, {});
      return tool_failure({.rule = {},
                           .code = 0,
                           .text = concat("cannot see whether the guard is loaded: ",
                                          asked ? "only root can: sudo userns-policy guard --check"
                                                : asked.error().text)});
    }
    case GuardState::kMissing:
      return put(concat("the guard is not loaded: run userns-policy guard --apply, or systemctl "
                        "enable --now userns-net-guard\n",
                        coverage(lines)),
                 kMissing);
    case GuardState::kOther:
      return put(concat("the guard is loaded, but not from what ", path,
                        " says now: run userns-policy guard --apply\n", coverage(lines)),
                 kOther);
    case GuardState::kCurrent:
      break;
  }
  return put(concat("the guard is loaded from what ", path, " says now\n", coverage(lines)),
             kCurrent);
}

int apply(const std::vector<NetLine>& lines) {
  const auto done = run_nft({"-f", "-"}, guard_text(lines));
  return done ? 0 : tool_failure(done.error());
}

// The file that is named; else all that userns-net reads. No file grants nothing: the guard is then
// for ports of before.
Result<std::vector<PolicyText>> texts_to_guard(const Words& words) {
  if (words.names.empty()) return read_as_helpers_do(PolicyFile::kNet);
  auto text = TRY(read_policy(words.names.front()));
  return std::vector{PolicyText{PolicyFile::kNet, words.names.front(), std::move(text)}};
}

}  // namespace

int guard_verb(const Words& words) {
  const bool is_check = words.has("check"), is_apply = words.has("apply");
  if (is_check + is_apply + words.has("print") > 1 || words.names.size() > 1)
    return tool_failure({.rule = {},
                         .code = 0,
                         .text = "guard takes one of --print, --apply and --check, and at most one "
                                 "file (userns-policy guard --help)"});
  const auto path = words.names.empty() ? installed_path(PolicyFile::kNet) : words.names.front();
  const auto texts = texts_to_guard(words);
  if (!texts) return tool_failure(texts.error());
  std::vector<NetLine> lines;
  for (const auto& file : *texts)
    if (const auto added = add_net_conf(lines, file.path, file.text); !added)
      return tool_failure(added.error());
  if (is_check) return check(path, lines);
  return is_apply ? apply(lines) : put(guard_text(lines));
}

}  // namespace userns::frontend
