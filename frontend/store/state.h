// Whether a named container runs, and what is known about it: in the container's own directory.
//
//   running      locked (fcntl(2), open file description lock) for as long as its monitor lives,
//   from before the start
//                on. The kernel lets go of the lock when the monitor is gone, however it went: so
//                nothing can be stale.
//   state.json   written before the command runs, removed when it has ended; what a killed monitor
//   or a crash of the
//                machine leaves is told from the truth by the lock, and cleaned up by the next verb
//                that changes things
//   started      with what `start` was called, for restart; there from before the start until the
//   end last.json    how the last run ended control      the monitor's socket
//   (frontend/monitor/control.h) console.log, console.log.1
//
// All functions take an fd of that directory; it is the caller's own and nobody else can write
// there.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/fd.h"
#include "frontend/spec/spec.h"
#include "frontend/store/last_end.h"
#include "frontend/store/remains.h"
#include "policy/error.h"

namespace userns::frontend {

inline constexpr const char* kRunningFile = "running";
inline constexpr const char* kStateFile = "state.json";
inline constexpr const char* kStartedFile = "started";
// Empty; there from the moment on that the booted system has said that it is up.
inline constexpr const char* kReadyFile = "ready";
// What an image said that nothing is done about: a line each, of a stranger's text.
inline constexpr const char* kImageFile = "image";
inline constexpr const char* kControlFile = "control";
inline constexpr const char* kLogFile = "console.log";
inline constexpr const char* kOldLogFile = "console.log.1";

// A process for ever: a pid comes again, with another time of start.
struct ProcessId {
  pid_t pid = 0;
  std::uint64_t start = 0;  // clock ticks since boot: proc(5), /proc/PID/stat

  static std::optional<ProcessId> of(pid_t pid);
  [[nodiscard]] bool lives() const;
  // It lives, but does not run until it gets SIGCONT, or who traces it lets it.
  [[nodiscard]] bool is_stopped() const;
};

// What every process of the container's is put into, also those that come later (exec).
struct Dress {
  std::vector<int> cap_drop;
  std::optional<std::vector<int>> cap_keep;
  bool no_new_privs = false;
  bool seccomp = true;
  bool nesting = false;
  std::vector<RlimitWish> rlimits;
  std::vector<std::pair<std::string, std::string>> env;
};

// What one version writes, another may read: a monitor goes on as what it was started, whatever is
// installed meanwhile.
struct State {
  std::string version;  // of the suite that wrote it; empty: one that did not say so yet
  // Not empty: this version cannot read all of it, and what cannot be read is as below; the
  // container runs all the same.
  std::string problem = {};
  std::string boot_id;
  ProcessId monitor;
  ProcessId init;                       // as seen from the host
  std::int64_t started_at = 0;          // seconds since 1970
  std::string kind;                     // of init: name_of(InitKind), or "command"
  unsigned restarts = 0;                // since `start`
  std::uint64_t namespaces = 0;         // CLONE_NEW* of its own
  std::uint64_t user_namespace = 0;     // its number (nsfs); 0: not known
  std::uint64_t user_namespace_id = 0;  // id_of(); 0: not known
  FileId root = {};                     // of the container's own tree; {}: it has none
  OwnIds ids = {};
  std::string cgroup;     // its directory; empty where it has none
  bool own_root = false;  // not the host's own tree
  Dress dress;
  std::vector<std::string> command;
  // Of the config that it was started with, which may be broken by now; nothing where an older
  // version started it.
  bool autostart = false;
  std::vector<std::string> groups = {};
};

// The state of a container that runs; nothing where it does not. One that is just being started has
// a state without an init (pid 0).
Result<std::optional<State>> read_state(const Fd& directory);
std::optional<LastEnd> read_last_end(const Fd& directory);
// The same of a run that ended in order. No value: a monitor that was killed has left its state, or
// it runs.
std::optional<LastEnd> read_orderly_end(const Fd& directory);
Result<void> write_state(const Fd& directory, const State& state);

// The words behind `start NAME` of the run, as parse_words() takes them, "--" and the command
// included. None: nobody wrote them down, or they can't be read.
std::vector<std::string> read_started(const Fd& directory);
Result<void> write_started(const Fd& directory, const std::vector<std::string>& words);

// The lock of a run, for whoever is to become the monitor. No value: somebody holds it, so the
// container runs.
Result<std::optional<Fd>> lock_run(const Fd& directory);

// After lock_run(): what a run that did not end in order has left, processes included. Fails where
// one of them does not die: then the container is not over, and its ids are in use.
Result<void> clean_up_after_crash(const Fd& directory);

std::string boot_id();

// The text of a state, and back. Pure; never fails: see State::problem.
std::string to_json(const State& state);
State state_from_json(std::string_view text);

// The process that holds the lock of a run, by the host's /proc; nothing where it is not found.
std::optional<ProcessId> find_monitor(const Fd& directory);

}  // namespace userns::frontend
