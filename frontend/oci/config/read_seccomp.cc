#include "frontend/oci/config/read_seccomp.h"

#include <linux/seccomp.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace userns::frontend {
namespace {

template <class Value, std::size_t kSize>
using Table = std::array<std::pair<std::string_view, Value>, kSize>;

constexpr Table<SeccompAction, 9> kActions{{{"SCMP_ACT_KILL", SeccompAction::kKillThread},
                                            {"SCMP_ACT_KILL_THREAD", SeccompAction::kKillThread},
                                            {"SCMP_ACT_KILL_PROCESS", SeccompAction::kKillProcess},
                                            {"SCMP_ACT_TRAP", SeccompAction::kTrap},
                                            {"SCMP_ACT_ERRNO", SeccompAction::kErrno},
                                            {"SCMP_ACT_TRACE", SeccompAction::kTrace},
                                            {"SCMP_ACT_ALLOW", SeccompAction::kAllow},
                                            {"SCMP_ACT_LOG", SeccompAction::kLog},
                                            {"SCMP_ACT_NOTIFY", SeccompAction::kNotify}}};
constexpr Table<SeccompOp, 7> kOps{{{"SCMP_CMP_NE", SeccompOp::kNotEqual},
                                    {"SCMP_CMP_LT", SeccompOp::kLess},
                                    {"SCMP_CMP_LE", SeccompOp::kLessEqual},
                                    {"SCMP_CMP_EQ", SeccompOp::kEqual},
                                    {"SCMP_CMP_GE", SeccompOp::kGreaterEqual},
                                    {"SCMP_CMP_GT", SeccompOp::kGreater},
                                    {"SCMP_CMP_MASKED_EQ", SeccompOp::kMaskedEqual}}};
constexpr Table<unsigned, 2> kFlags{
    {{"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
     {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW}}};
constexpr std::array<std::string_view, 19> kArchitectures{
    "X86",       "X86_64", "X32",      "ARM",         "AARCH64", "MIPS",  "MIPS64",
    "MIPS64N32", "MIPSEL", "MIPSEL64", "MIPSEL64N32", "PPC",     "PPC64", "PPC64LE",
    "S390",      "S390X",  "PARISC",   "PARISC64",    "RISCV64"};
constexpr std::string_view kArchitecture = "SCMP_ARCH_";

SeccompAnswer read_answer(const Node& action, const Node& number) {
  constexpr std::uint64_t kLargestErrno = 4095;
  action.require();
  SeccompAnswer answer{.action = action.one_of(kActions)};
  if (number.there()) answer.number = static_cast<std::uint16_t>(number.number(kLargestErrno));
  return answer;
}

std::string read_architecture(const Node& node) {
  const auto word = node.text();
  const std::string_view name(word);
  if (!name.starts_with(kArchitecture) ||
      std::ranges::find(kArchitectures, name.substr(kArchitecture.size())) ==
          kArchitectures.end()) {
    node.refuse("is not an architecture that this runtime knows");
    return {};
  }
  std::string plain(name.substr(kArchitecture.size()));
  std::ranges::transform(plain, plain.begin(), [](unsigned char c) { return std::tolower(c); });
  return plain;
}

SeccompArg read_arg(const Node& node) {
  constexpr std::uint64_t kLastArgument = 5;
  node["op"].require();
  return {.index = static_cast<unsigned>(node["index"].number(kLastArgument)),
          .op = node["op"].one_of(kOps),
          .value = node["value"].number(),
          .value_two = node["valueTwo"].number()};
}

SeccompRule read_rule(const Node& node) {
  SeccompRule rule{.names = node["names"].texts(),
                   .answer = read_answer(node["action"], node["errnoRet"]),
                   .args = {}};
  node["args"].for_each([&](const Node& arg) { rule.args.push_back(read_arg(arg)); });
  // By it the agent gets the listener; nobody would answer.
  if (rule.answer.action == SeccompAction::kNotify &&
      std::ranges::find(rule.names, "sendmsg") != rule.names.end())
    node["names"].refuse("asks the agent about sendmsg, by which the agent is reached");
  return rule;
}

void read_listener(const Node& seccomp, SeccompRules& rules) {
  rules.listener_path = seccomp["listenerPath"].text();
  rules.listener_metadata = seccomp["listenerMetadata"].text();
  const bool has_path = !rules.listener_path.empty();
  if (has_path && !rules.listener_path.starts_with('/'))
    seccomp["listenerPath"].refuse("is not an absolute path");
  if (!has_path && rules.notifies())
    seccomp["listenerPath"].refuse("is missing: SCMP_ACT_NOTIFY asks an agent");
  if (!has_path && !rules.listener_metadata.empty())
    seccomp["listenerMetadata"].refuse("is for an agent, which listenerPath does not name");
}

template <class Names>
std::vector<std::string> first_of(const Names& table) {
  std::vector<std::string> names;
  for (const auto& [name, value] : table) names.emplace_back(name);
  return names;
}

}  // namespace

SeccompRules read_seccomp(const Node& seccomp) {
  SeccompRules rules;
  rules.otherwise = read_answer(seccomp["defaultAction"], seccomp["defaultErrnoRet"]);
  seccomp["architectures"].for_each(
      [&](const Node& node) { rules.architectures.push_back(read_architecture(node)); });
  seccomp["flags"].for_each([&](const Node& node) { rules.flags |= node.one_of(kFlags); });
  if (rules.otherwise.action == SeccompAction::kNotify)
    seccomp["defaultAction"].refuse("is SCMP_ACT_NOTIFY: nobody would answer before the agent");
  seccomp["syscalls"].for_each([&](const Node& node) { rules.rules.push_back(read_rule(node)); });
  read_listener(seccomp, rules);
  return rules;
}

std::vector<std::string> known_seccomp_actions() { return first_of(kActions); }
std::vector<std::string> known_seccomp_operators() { return first_of(kOps); }
std::vector<std::string> known_seccomp_architectures() {
  std::vector<std::string> names;
  for (const auto name : kArchitectures) names.push_back(std::string(kArchitecture).append(name));
  return names;
}

}  // namespace userns::frontend
