// A helper program that runs while others do: started at once, collected later.
#pragma once

#include <sys/types.h>

#include <span>
#include <string>
#include <vector>

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

class Helper {
 public:
  // Starts `path`, or the program of the same name on PATH where `path` is not there. Its
  // environment is empty, its signal mask and dispositions are the default, its stderr is a pipe to
  // us, its stdout is ours or `output`. It keeps the fds `handed`
  // under their numbers.
  static Result<Helper> start(const char* path, const std::vector<std::string>& arguments,
                              const Fd* output = nullptr, std::span<const int> handed = {});
  // Waits for its end; anything but exit status 0 is an error with what it said.
  Result<void> finish();

  Helper(Helper&& other) noexcept
      : name_(std::move(other.name_)),
        errors_(std::move(other.errors_)),
        pid_(std::exchange(other.pid_, 0)) {}
  Helper(const Helper&) = delete;
  Helper& operator=(const Helper&) = delete;
  Helper& operator=(Helper&&) = delete;
  // Collects it: a helper that is left alone would stay as a zombie.
  ~Helper();

 private:
  Helper(std::string name, Fd errors, pid_t pid)
      : name_(std::move(name)), errors_(std::move(errors)), pid_(pid) {}

  std::string name_;
  Fd errors_;
  pid_t pid_;
};

// For a child that was forked: becomes the program words[0] of PATH, with the caller's environment,
// nothing to read, and these as its stdout (below 0: nowhere) and stderr. TERM ends it together
// with `starter`.
// Where it cannot be run, exits with 127 if it is not there, else with 126.
[[noreturn]] void become_program(const std::vector<std::string>& words, int output, int errors,
                                 pid_t starter);

}  // namespace userns::frontend
