#include "frontend/cli/files/network.h"

#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "frontend/cli/table.h"
#include "frontend/cli/terminal.h"
#include "frontend/spec/tell.h"
#include "frontend/start/net/user_network.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

using nlohmann::json;

std::string table_of(const std::vector<NetworkFacts>& all) {
  std::vector<std::vector<std::string>> rows{{"NETWORK", "ADDRESSES", "NAME", "ADDRESS"}};
  for (const auto& one : all)
    for (const auto& member : one.members)
      rows.push_back({one.network, one.addresses, member.name, member.address});
  return to_table(std::move(rows));
}

json json_of(const std::vector<NetworkFacts>& all) {
  auto list = json::array();
  for (const auto& one : all) {
    auto members = json::array();
    for (const auto& member : one.members)
      members.push_back({{"name", member.name}, {"address", member.address}});
    list.push_back({{"network", one.network}, {"addresses", one.addresses}, {"members", members}});
  }
  return list;
}

int network_verb(const Words& words) {
  if (!words.names.empty())
    return own_failure({.rule = {},
                        .code = 0,
                        .text = "network lists all networks and takes no names: a container joins "
                                "one by --net user=NAME"});
  const auto all = networks();
  if (!all) return own_failure(all.error());
  return print(words.has("json") ? json_of(*all).dump() + "\n" : table_of(*all));
}

constexpr std::array kNetworkOptions{VerbOption{"json", "", "for programs"}};

}  // namespace

constinit const Verb kNetworkVerb{
    .name = "network",
    .arguments = "",
    .summary = "Shows your networks (--net user=NAME) and their members",
    .options = kNetworkOptions,
    .run = network_verb,
    .kind = VerbKind::kLook};

}  // namespace userns::frontend
