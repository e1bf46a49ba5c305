// Everybody whom policy speaks of, for report: accounts are listed once, whatever their number, and
// asked for one by one only if the name service does not list them.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "frontend/policy_tool/check/facts.h"
#include "frontend/policy_tool/verbs/answer.h"

namespace userns::frontend {

struct Person {
  User user;
  std::vector<std::string> names;  // login names of the uid: lines of subuid can have any
  bool is_gone = false;            // there is no such user, only lines
};

class People {
 public:
  People();
  // Whom a line of net.conf or cgroup.conf is for; of a group its members, whom the name service
  // lists. "*" adds nobody.
  void add_who(std::string_view who);
  // A login name or a uid, as lines of subuid have them.
  void add_owner(std::string_view owner);
  void add_uid(std::uint32_t uid);

  // Sorted by uid; those who are gone come last. The groups of each are those that were named.
  [[nodiscard]] std::vector<Person> all() const;

 private:
  struct Group {
    std::uint32_t gid = 0;
    std::set<std::string> members;
  };
  void add_group(std::string_view name);
  void add_account(const std::string& name, std::uint32_t uid, std::uint32_t gid);
  void set_groups(Person& person) const;

  std::vector<Account> listed_;
  std::unordered_map<std::string, std::size_t> by_name_;
  std::unordered_map<std::uint32_t, std::vector<std::size_t>> by_uid_;
  std::map<std::string, Group, std::less<>> groups_;
  std::map<std::uint32_t, Person> people_;
  std::set<std::string> gone_;
};

}  // namespace userns::frontend
