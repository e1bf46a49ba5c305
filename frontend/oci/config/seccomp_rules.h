// linux.seccomp of a bundle, typed. Source: config-linux.md, "Seccomp".
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace userns::frontend {

enum class SeccompAction : std::uint8_t {
  kKillThread,
  kKillProcess,
  kTrap,
  kErrno,
  kTrace,
  kAllow,
  kLog,
  kNotify,
};
struct SeccompAnswer {
  SeccompAction action = SeccompAction::kKillThread;
  std::uint16_t number = 1;  // kErrno, kTrace: the errno (EPERM), the message
};
enum class SeccompOp : std::uint8_t {
  kNotEqual = 1,
  kLess,
  kLessEqual,
  kEqual,
  kGreaterEqual,
  kGreater,
  kMaskedEqual,
};
struct SeccompArg {
  unsigned index = 0;
  SeccompOp op = SeccompOp::kEqual;
  std::uint64_t value = 0;
  std::uint64_t value_two = 0;
};
struct SeccompRule {
  std::vector<std::string> names;
  SeccompAnswer answer;
  std::vector<SeccompArg> args;
};
struct SeccompRules {
  SeccompAnswer otherwise;
  std::vector<std::string> architectures;  // as libseccomp names them: "x86_64"
  unsigned flags = 0;                      // SECCOMP_FILTER_FLAG_*
  std::vector<SeccompRule> rules;
  std::string listener_path;  // of the agent that kNotify asks
  std::string listener_metadata;

  [[nodiscard]] bool notifies() const {
    return std::ranges::any_of(rules, [](const SeccompRule& rule) {
      return rule.answer.action == SeccompAction::kNotify;
    });
  }
};

}  // namespace userns::frontend
