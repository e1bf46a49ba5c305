// What others can read about a running container: the pid file and the JSON of --info-fd.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "frontend/start/plan/plan.h"
#include "policy/error.h"

namespace userns::frontend {

// Inode numbers of the namespaces of process `pid`, by name ("net": 4026531840), as JSON text with
// pid and maps. While the process is still dumpable: later its /proc is closed to us.
Result<std::string> describe(const Plan& plan, pid_t pid);

// The same with the mount namespace that it has at its exec. 0: it is what it was.
std::string with_mount_namespace(const std::string& json, std::uint64_t id);

// Writes `json` and a newline to spec.info_fd.
Result<void> write_info(const Plan& plan, const std::string& json);

// The pid of the container's first process in a file that goes with this object.
class PidFile {
 public:
  PidFile() = default;
  PidFile(const PidFile&) = delete;
  PidFile& operator=(const PidFile&) = delete;
  PidFile(PidFile&&) = delete;
  PidFile& operator=(PidFile&&) = delete;
  ~PidFile();
  // Never through a file that is there already: pid files lie in shared directories.
  Result<void> write(const std::string& path, pid_t pid);

 private:
  std::string path_;
};

}  // namespace userns::frontend
