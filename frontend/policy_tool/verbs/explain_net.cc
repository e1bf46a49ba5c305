#include "frontend/policy_tool/verbs/explain.h"

#include <algorithm>

#include "frontend/policy_tool/host_facts.h"
#include "policy/net_conf.h"
#include "policy/net_rules.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

std::string address_text(const NetTerms& terms) {
  std::string text;
  for (const auto& block : terms.blocks)
    text += concat(text.empty() ? ", with an address of " : " and ", block.text());
  return text;
}

std::string terms_text(const NetTerms& terms) {
  return concat(
      terms.mtu > 0 ? concat(" mtu=", terms.mtu) : "",
      terms.vlan > 0 ? concat(" vlan=", terms.vlan) : "", terms.isolated ? " isolated" : "",
      terms.spoof ? " any sender address" : " locked to its MAC address",
      terms.spoof || !terms.blocks.empty() ? ""
      : terms.any_mac                      ? ", which the user may choose"
                      : ", which nobody chooses: mac= of --net and hwaddr of LXC need mac=any",
      address_text(terms),
      terms.needs_guard() ? ", refused unless the guard is loaded (NR-GUARD)" : "");
}

// Of all lines of the file.
void explain_one(Answer& answer, const User& user, std::span<const NetEntry> entries,
                 std::string_view bridge) {
  std::vector<const NetEntry*> lines;
  std::optional<Error> failed;
  for (const auto& entry : entries)
    if (entry.parsed.bridge == bridge && user.is_meant_by(entry.parsed.who, failed))
      lines.push_back(&entry);
  if (failed) return answer.refuse(concat("net ", bridge), *failed);
  explain_bridge(answer, user, lines, bridge);
}

}  // namespace

void explain_bridge(Answer& answer, const User& user, std::span<const NetEntry* const> lines,
                    std::string_view bridge) {
  const auto what = concat("net ", bridge);
  NetFacts facts{.caller = user.uid, .netns_owner = user.uid, .bridge = {}, .lines = {}};
  for (const auto* const entry : lines) facts.lines.push_back(entry->parsed);
  const auto found = interface_facts(std::string(bridge));
  if (found.index > 0)
    facts.bridge = {found.index, found.is_bridge, found.up, found.filters_vlans, found.mtu, {}};
  facts.has_guard = true;  // only root sees whether it is; the lines say who needs it
  const auto grant =
      decide(facts, {.netns = {}, .bridge = bridge, .name = {}, .container = {}, .mac = {}});
  if (!grant) {
    answer.refuse(what, grant.error());
  } else {
    const auto slots = grant->slots_to_try([](std::uint32_t) { return false; }).size();
    answer
        .say(what,
             concat("allowed: ", slots, slots == 1 ? " interface" : " interfaces", " at a time"))
        .most = slots;
  }
  for (const auto* const entry : lines)
    answer.line(entry->line, concat(entry->parsed.count, ":", terms_text(entry->parsed.terms)));
}

Result<Answer> explain_net(const User& user, std::optional<std::string_view> asked) {
  Answer answer;
  // In the helper's order: words first.
  if (asked && !is_interface_name(*asked)) {
    answer.refuse(concat("net ", *asked),
                  {.rule = "NR-NAME",
                   .code = 0,
                   .text = concat(quoted(*asked), " is not a name of a bridge")});
    return answer;
  }
  const auto path = installed_path(PolicyFile::kNet);
  const auto texts = read_as_helpers_do(PolicyFile::kNet);
  const auto parsed = texts ? parse(*texts) : std::unexpected(texts.error());
  if (!parsed) {
    answer.refuse("net", parsed.error());
    std::vector<Finding> findings;
    if (texts) (void)net_entries(*texts, &findings);
    answer.malformed(std::move(findings));
    return answer;
  }
  const auto entries = net_entries(*texts, nullptr);
  if (asked) {
    explain_one(answer, user, entries, *asked);
    return answer;
  }
  std::vector<std::string_view> bridges;
  std::optional<Error> failed;  // told of each bridge
  for (const auto& entry : entries)
    if (user.is_meant_by(entry.parsed.who, failed) && !contains(bridges, entry.parsed.bridge))
      bridges.push_back(entry.parsed.bridge);
  if (bridges.empty()) {
    answer.say("net", concat("nothing: no line of ", path, " is for ", user.text())).allowed =
        false;
    answer.allowed = false;
  }
  for (const auto bridge : bridges) explain_one(answer, user, entries, bridge);
  return answer;
}

}  // namespace userns::frontend
