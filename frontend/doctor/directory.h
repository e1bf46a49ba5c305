// The user database (NSS), asked in a child: a module or a directory service that hangs costs
// doctor its patience once and no more.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "common/groups.h"
#include "frontend/spec/user_database.h"
#include "policy/error.h"

namespace userns::frontend::doctor {

class Directory {
 public:
  // For all questions together.
  static constexpr std::chrono::seconds kPatience{10};
  explicit Directory(std::chrono::seconds patience = kPatience) : left_(patience) {}

  // What `answer` returns. `what` it is asked for, for the message: "the login name of uid 1000".
  // After a question that was not answered in time no other is asked (ETIMEDOUT).
  Result<std::string> ask(std::string_view what, const std::function<std::string()>& answer);
  // Whether the caller is in the group; not, where nobody says so.
  bool is_in(std::string_view group);
  // What was asked for when the patience was at its end; empty: all was answered.
  [[nodiscard]] const std::string& unanswered() const { return unanswered_; }

 private:
  std::chrono::milliseconds left_;
  std::string unanswered_;
  Groups groups_ = Groups::of_caller().value_or(Groups{});
  std::map<std::string, bool, std::less<>> known_;
};

}  // namespace userns::frontend::doctor
