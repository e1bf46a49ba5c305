// What is handed over between the two programs that are a container's monitor, one after the other
// and with the same pid: userns-run, which starts it, and userns-monitor, which is small and stays.
// As words of a command line:
//
//   NAME KEY=VALUE... [--OPTION=VALUE...] -- [COMMAND...]
//
// What begins with the first word that starts with "--" are the options and the command that the
// container was started with; the monitor does not look at them. File descriptors are inherited
// under the numbers given. Pure.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "frontend/store/remains.h"
#include "policy/error.h"

namespace userns::frontend {

// The first word of userns-run when it is to start a container and become its monitor.
inline constexpr std::string_view kStarterWord = ".start";

// Who is connected to the monitor and stays so while the container is started again.
struct HandedClient {
  int fd = -1;
  bool watches = false;  // the console; otherwise it waits for the end
};

struct Handover {
  std::string version;  // of the suite that wrote it; empty: one that did not say so yet
  // From the one who asked for the start on.
  int directory = -1;  // of the container
  int lock = -1;       // lock_run()
  int control = -1;    // the listening socket
  int report = -1;     // where the start's success or failure is told, once; -1: nobody waits
  std::string name;
  std::string program;  // userns-run, for starting again
  std::string path;     // --path, where the container was looked for; empty: default
  std::uint64_t log_size = 1UL << 20U;
  bool restart = false;         // on failure
  bool restart_always = false;  // on success, too
  unsigned restarts_left = 0;
  unsigned restarts = 0;               // so far
  bool retry = false;                  // a first start that fails is within the restart policy
  bool remove = false;                 // afterwards
  std::vector<std::string> pre_start;  // hooks
  std::vector<std::string> started;
  std::vector<std::string> post_stop;
  std::vector<HandedClient> clients;

  // From the start on.
  int pidfd = -1;  // of the container's first process
  pid_t pid = 0;
  int user_namespace = -1;  // the container's own
  OwnIds own_ids;
  int terminal = -1;  // master side of its console
  int notify = -1;    // where a booted system says that it is up
  int life = -1;      // of its user networking: ends with the monitor
  int network = -1;   // its place in a network of the user's, likewise
  std::string kind;   // of init
  int stop_signal = 0;
  bool boots = false;
  bool is_pid_1 = false;               // nothing has default actions there
  std::int64_t stop_timeout = 10000;   // ms
  std::int64_t hook_timeout = 300000;  // ms
  std::int64_t ready_within = -1;      // ms; -1: nobody waits for it
  std::string cgroup;
  std::vector<std::pair<std::string, std::string>> limits;  // file and option
  std::string pid_file;

  std::vector<std::string> rest;  // the options, "--" and the command
};

// What the same container's next run is told by the one that has ended; its clients come on top.
Handover next_run_of(const Handover& ended);

// Before a start that follows an end or a failed start; doubled each time, up to 12.8 seconds.
std::chrono::milliseconds restart_delay(unsigned restarts);

std::vector<std::string> to_words(const Handover& handover);
// Words of another version that this one does not know are passed over: a container goes on across
// an upgrade.
Result<Handover> handover_from(std::span<const std::string_view> words);  // without NAME

}  // namespace userns::frontend
