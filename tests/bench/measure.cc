// Measures commands from outside, for tests/bench: wall time in turns, or instructions of one.
//
//   measure time RUNS [--target] COMMAND... [--- COMMAND...]...
//       runs each command RUNS times, in turns, output to /dev/null; prints a line per command:
//       minimum and median in microseconds. A command that fails ends it.
//   measure instructions [--target] COMMAND...
//       prints how many instructions COMMAND and what it execs executed in user mode, counted by
//       single steps (no hardware counter is needed; children are not followed).
//
// With --target each run gets a fresh process in a user namespace of its own; {pid} in a word of a
// command becomes its id. {run} becomes the number of the run, from 0 on with the two that warm up.
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Command = std::vector<std::string>;

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "measure: %s\n", why.c_str());
  std::exit(1);
}

class Target {
 public:
  Target() {
    int ready[2];
    if (::pipe2(ready, O_CLOEXEC) != 0) die("no pipe");
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::unshare(CLONE_NEWUSER) != 0) ::_exit(1);
      if (::write(ready[1], "x", 1) != 1) ::_exit(1);
      while (true) ::pause();
    }
    char byte = 0;
    ::close(ready[1]);
    if (::read(ready[0], &byte, 1) != 1) die("cannot make a user namespace");
    ::close(ready[0]);
  }
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;
  ~Target() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

void fill_in(std::string& word, std::string_view name, long value) {
  if (const auto at = word.find(name); at != std::string::npos)
    word.replace(at, name.size(), std::to_string(value));
}

std::vector<char*> words_for(Command& command, pid_t target, int run) {
  std::vector<char*> words;
  for (auto& word : command) {
    fill_in(word, "{pid}", target);
    fill_in(word, "{run}", run);
    words.push_back(word.data());
  }
  words.push_back(nullptr);
  return words;
}

double run_once(Command command, bool with_target, int run) {
  static posix_spawn_file_actions_t silent = [] {
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    return actions;
  }();
  std::vector<Target> target(with_target ? 1 : 0);
  const auto words = words_for(command, with_target ? target[0].pid() : 0, run);
  const auto begun = std::chrono::steady_clock::now();
  pid_t pid = 0;
  int status = 0;
  if (::posix_spawnp(&pid, words[0], &silent, nullptr, words.data(), ::environ) != 0)
    die("cannot run " + command[0]);
  ::waitpid(pid, &status, 0);
  const auto took = std::chrono::steady_clock::now() - begun;
  if (status != 0) die("failed: " + command[0]);
  return std::chrono::duration<double, std::micro>(took).count();
}

void time_commands(int runs, bool with_target, const std::vector<Command>& commands) {
  std::vector<std::vector<double>> taken(commands.size());
  for (int run = 0; run < runs + 2; ++run)
    for (std::size_t i = 0; i < commands.size(); ++i) {
      const double took = run_once(commands[i], with_target, run);
      if (run >= 2) taken[i].push_back(took);  // two to warm up
    }
  for (auto& times : taken) {
    std::ranges::sort(times);
    std::printf("%.0f %.0f\n", times.front(), times[times.size() / 2]);
  }
}

void count_instructions(Command command, bool with_target) {
  std::vector<Target> target(with_target ? 1 : 0);
  const auto words = words_for(command, with_target ? target[0].pid() : 0, 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::execvp(words[0], words.data());
    ::_exit(127);
  }
  int status = 0;
  long steps = 0;
  ::waitpid(pid, &status, 0);
  while (WIFSTOPPED(status)) {
    const int number = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
    if (::ptrace(PTRACE_SINGLESTEP, pid, nullptr,
                 reinterpret_cast<void*>(static_cast<long>(number))) != 0)
      break;
    ::waitpid(pid, &status, 0);
    ++steps;
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) die("failed: " + command[0]);
  std::printf("%ld\n", steps);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() < 2) die("usage: see the head of measure.cc");
  const bool timing = words[0] == "time";
  std::size_t at = timing ? 2 : 1;
  const bool with_target = words[at] == "--target";
  if (with_target) ++at;
  std::vector<Command> commands(1);
  for (; at < words.size(); ++at)
    if (words[at] == "---")
      commands.emplace_back();
    else
      commands.back().push_back(words[at]);
  if (timing)
    time_commands(std::atoi(words[1].c_str()), with_target, commands);
  else
    count_instructions(commands[0], with_target);
}
