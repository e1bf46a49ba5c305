// How a process of ours begins, becomes another program, and ends.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

struct NewProcess {
  pid_t pid = 0;  // 0: this is the new one
  Fd pidfd;       // with CLONE_PIDFD
};
// clone3(2): a fork with these CLONE_* flags, in `cgroup` if it is one.
Result<NewProcess> clone_process(std::uint64_t flags, const Fd& cgroup = {});

// What the errno of a clone(2) that was to make a user namespace means to people; ": why" or empty.
// `label`: of this process (apparmor_label()). Pure.
std::string why_no_clone(int code, std::string_view label);

// Waits for a child. Its status is as wait(2) has it; -1: it is not a child of ours.
int collect(pid_t child);
// "was ended by signal 9", "failed with status 1".
std::string how_it_ended(int status);

// A child that does not outlive this: it gets a signal, and is waited for.
class Child {
 public:
  explicit Child(pid_t pid, int last_signal = SIGKILL) : pid_(pid), last_signal_(last_signal) {}
  Child(Child&& other) noexcept
      : pid_(std::exchange(other.pid_, 0)), last_signal_(other.last_signal_) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  Child& operator=(Child&&) = delete;
  ~Child();

  [[nodiscard]] pid_t pid() const { return pid_; }
  // Waits until it ends by itself: collect(). Once.
  int end() { return collect(std::exchange(pid_, 0)); }

 private:
  pid_t pid_;
  int last_signal_;  // 0: none, it ends by itself
};

// None is blocked, as programs expect it.
void unblock_signals();
// Each does its default, too: even those that our caller ignores.
void reset_signals();

// Words as execve(2) takes them. Valid as long as `words`, which execve(2) does not write to.
inline std::vector<char*> argv_of(const std::vector<std::string>& words) {
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (const auto& word : words)
    argv.push_back(const_cast<char*>(word.c_str()));  // NOLINT(*-const-cast): as execve(2) takes it
  argv.push_back(nullptr);
  return argv;
}

struct Program {
  static constexpr int kNowhere = -1;  // /dev/null

  std::vector<std::string> words;  // the first: of PATH if it is not a path
  int input = kNowhere;
  int output = kNowhere;
  int errors = kNowhere;
  int directory = -1;  // is worked in
  int dies_by = 0;     // the signal that ends it together with `starter`
  pid_t starter = 0;   // who forked
};
// In a child: becomes the program, with the environment, umask and signals of this process. If that
// can't be done, exits with 127 if the program is not there, else with 126.
[[noreturn]] void become_program(const Program& program);

}  // namespace userns::frontend
