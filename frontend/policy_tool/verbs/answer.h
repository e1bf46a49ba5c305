// What explain and report say about a user: text for people, items for programs.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/policy_tool/check/facts.h"
#include "frontend/policy_tool/check/finding.h"
#include "frontend/policy_tool/tool.h"
#include "policy/error.h"
#include "policy/id_range.h"
#include "policy/ids.h"
#include "policy/text.h"
#include "policy/who.h"

namespace userns::frontend {

// group_id(), asked once for each name.
const Result<std::optional<Gid>>& group_id_once(std::string_view name);

struct User {
  Uid uid{0};
  Gid gid{0};
  std::string name;  // as policy files can tell it; may be empty
  std::vector<Gid> groups;
  std::string group_names;

  // A lookup that fails is "no", and remembered, as in the helpers.
  bool is_in(std::string_view group, std::optional<Error>& failed) const {
    const auto& id = group_id_once(group);
    if (!id) failed = id.error();
    return id && *id && contains(groups, **id);
  }
  [[nodiscard]] bool is_meant_by(std::string_view who, std::optional<Error>& failed) const {
    return is_for(who, uid, name, [&](std::string_view group) { return is_in(group, failed); });
  }
  [[nodiscard]] std::string text() const {
    return name.empty() ? concat("uid ", uid.value()) : name;
  }
};

// By login name or uid.
Result<User> find_user(const std::string& word);
// As the helpers are when they read: so that a file which only root can read is as shut to us as to
// them.
Result<void> become(const User& user);
// net.conf or cgroup.conf with the files of its directory, by the helpers' rules (TF-*, NC-READ,
// CC-READ). What is not there is not among them.
Result<std::vector<PolicyText>> read_as_helpers_do(PolicyFile kind);

// A line of a policy file that decides something.
struct SourceLine {
  std::string file;
  std::uint64_t number = 0;
  std::string text;  // the line, or what is wrong with it
};

// One question, and what a helper would say.
struct Item {
  std::string what;             // "newuidmap", "net br0", "cgroup"
  std::optional<bool> allowed;  // nothing: not known to this user
  std::string rule, reason;     // of a refusal
  std::vector<IdRange> ranges;
  std::optional<std::uint64_t> most;  // interfaces, or containers
  std::optional<std::uint64_t> used;  // of these, or processes with the ids; nothing: not known
  struct Limit {
    std::string file, text, controller;
    std::string used;  // of it now; empty: not known
  };
  std::vector<Limit> limits;
  std::vector<SourceLine> lines, malformed;
};

struct Answer {
  std::string text;
  bool allowed = true;
  std::vector<Item> items;

  void refuse(std::string_view what, const Error& error);
  // The item that lines are added to from now on.
  Item& say(std::string_view what, std::string_view sentence);
  void line(const TextLine& line, std::string_view note = {});
  // Malformed lines, in check's words, but for one that was named already; `file`: of it, if there
  // are several.
  void malformed(std::string_view how, std::vector<Finding> findings, std::uint64_t named,
                 std::string_view file = {});
  // Of a file that a helper refuses whole; the refusal names the first.
  void malformed(std::vector<Finding> findings);
};

nlohmann::ordered_json json_of(const SourceLine& line);
nlohmann::ordered_json json_of(const Item& item);
nlohmann::ordered_json json_of(IdRange range);
// A document, whatever bytes are in it.
std::string dumped(const nlohmann::ordered_json& json);

}  // namespace userns::frontend
