// The locks that shadow's tools take: FILE.lock, a link to a file that holds the owner's pid
// (commonio_lock of shadow), made under lckpwdf(3). We take them for all policy files.
//
// A lock whose process is gone is taken over. Dropped at the end of the object's life; a killed
// process leaves one that the next takes over, as shadow's tools do.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "policy/error.h"

namespace userns::frontend {

enum class Hold : bool { kFiles, kAccounts };

class PolicyLock {
 public:
  // All of `files`, or none; waits up to 15 seconds, as shadow's tools do, and after one says on
  // stderr for what and whom. kAccounts keeps lckpwdf(3), too: useradd and usermod then wait for us
  // instead of giving up. For short work only: passwd(1) waits as well.
  static Result<PolicyLock> take(std::span<const std::string> files, Hold hold);
  // Nobody has one of them now.
  static bool is_free(std::span<const std::string> files);
  // Whether the process is gone that the lock file `lock` names.
  static bool is_stale(const std::string& lock);
  // Of nothing: for who only looks.
  static PolicyLock none() { return {}; }
  PolicyLock(PolicyLock&& other) noexcept;
  PolicyLock& operator=(PolicyLock&&) = delete;
  ~PolicyLock();

 private:
  PolicyLock() = default;
  std::vector<std::string> locks_;
  bool accounts_ = false;
};

}  // namespace userns::frontend
