// A helper program that runs while others do: started at once, collected later.
#pragma once

#include <sys/types.h>

#include <span>
#include <string>
#include <vector>

#include "common/fd.h"
#include "frontend/run/process.h"
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

 private:
  Helper(std::string name, Fd errors, pid_t pid)
      : name_(std::move(name)), child_(pid, 0), errors_(std::move(errors)) {}

  std::string name_;
  Child child_;
  Fd errors_;  // closed first: a helper that still writes then ends
};

}  // namespace userns::frontend
