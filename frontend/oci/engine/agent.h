// Who answers for calls that a filter asks about (SCMP_ACT_NOTIFY): the program that listens on
// linux.seccomp.listenerPath. Source: runtime-spec, config-linux.md, "The Container Process State".
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "common/fd.h"
#include "frontend/oci/config/config.h"
#include "policy/error.h"

namespace userns::frontend {

class SeccompAgent {
 public:
  // Reached before a process begins that would wait for it. None: no filter of the config asks.
  static Result<std::optional<SeccompAgent>> reach(const OciConfig& config);
  // Gives it the listener of one process. `state`: of state_text().
  [[nodiscard]] Result<void> hand(const Fd& listener, pid_t process,
                                  const std::string& state) const;

 private:
  SeccompAgent(Fd socket, std::string metadata)
      : socket_(std::move(socket)), metadata_(std::move(metadata)) {}

  Fd socket_;
  std::string metadata_;
};

}  // namespace userns::frontend
