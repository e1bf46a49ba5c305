// The life of a helper (SECURITY.md), as far as it is the same in each: sanitise, identify, drop,
// open, lock; then parse, gather, decide, record and act, which serve() does; then report.
#pragma once

#include <linux/filter.h>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/audit.h"
#include "common/caller.h"
#include "common/capability.h"
#include "common/lockdown.h"
#include "policy/error.h"
#include "policy/ids.h"

namespace userns {

struct StartupLimits {
  std::size_t most_args;    // argv[0] included
  std::size_t longest_arg;  // bytes
};

// Bounds argv (ST-ARGS), opens fds 0-2 where they are closed (on /dev/null), closes every other fd
// but those of `keep` (-1: none), empties the environment, sets umask 077 and cwd /, resets the
// slack of timers and SIGCHLD, raises soft limits of open files and processes. Fails with ST-STATE
// where a step that must succeed does not. Returns argv[1..]. The views live as long as the
// process.
Result<std::vector<std::string_view>> sanitise(int argc, char** argv, const StartupLimits& limits,
                                               std::span<const int> keep);

// argv[index] as text; empty where there is none. Safe before sanitise().
std::string_view raw_arg(int argc, char** argv, int index);

class Helper {
 public:
  struct Terms {
    const char* name;  // static storage
    StartupLimits limits;
    std::span<const sock_filter> filter;
    Files files = Files::kDenied;
    std::optional<Uid> held = {};  // real and saved uid after the drop, if not the caller's
  };
  explicit Helper(const Terms& terms) : terms_(terms), log_(terms.name) {}
  virtual ~Helper() = default;
  // From argv to the exit status: 0 done, 1 not (stderr says why). Does not return.
  [[noreturn]] void run(int argc, char** argv);

 protected:
  // Reads the numbers of the fds that argv names, which are kept open: all of it that is parsed
  // before the lock.
  virtual std::vector<int> named_fds(int argc, char** argv) = 0;
  [[nodiscard]] virtual Needs needs() const = 0;
  // Opens what decision and act need, the asker first. What fails speaks once it is needed.
  virtual void open() = 0;
  // After the lock. `summary_` is what is known so far, for the record: numbers and checked words.
  virtual Result<void> serve(std::span<const std::string_view> args) = 0;

  Caller caller_;
  std::string summary_;
  void record_grant() { log_.granted(summary_); }

 private:
  Result<void> live(int argc, char** argv);
  Terms terms_;
  AuditLog log_;
};

}  // namespace userns
