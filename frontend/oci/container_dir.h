// What is known about a container, in a directory of its own below --root:
//
//   ROOT/ID/lock         locked (flock(2)) by whoever changes something
//   ROOT/ID/config.json  the bundle's, as it was read
//   ROOT/ID/cgroups      those that were made for it (cgroup/note.h)
//   ROOT/ID/filter       linux.seccomp, compiled; none: it has none
//   ROOT/ID/start        the socket by which `start` comes to a container that is created
//   ROOT/ID/state.json   the process and the bundle, replaced whole; none: it is just being made
//
// All of it is the caller's own, and nobody else can write there.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/fd.h"
#include "frontend/oci/cgroup/note.h"
#include "frontend/oci/config/config.h"
#include "frontend/oci/inside/seccomp.h"
#include "frontend/store/state.h"
#include "policy/error.h"

namespace userns::frontend {

inline constexpr const char* kOciStart = "start";

enum class OciStatus : std::uint8_t { kCreating, kCreated, kRunning, kPaused, kStopped };
std::string_view name_of(OciStatus status);

struct OciRecord {
  std::string id;
  std::string bundle;
  ProcessId process;
  std::string created;  // RFC 3339
  std::string cgroup;   // its directory; empty: none of its own
  std::string version = "1.2.0";
  std::vector<std::pair<std::string, std::string>> annotations;
};

class ContainerDir {
 public:
  // A new one, locked. Fails where there is one of this id already.
  static Result<ContainerDir> make(const std::string& root, const std::string& id);
  // One that is there; `locked`: waits until nobody else changes it.
  static Result<ContainerDir> open(const std::string& root, const std::string& id,
                                   bool locked = false);
  static Result<std::vector<std::string>> list(const std::string& root);

  [[nodiscard]] const Fd& dir() const { return dir_; }
  [[nodiscard]] Result<OciRecord> record() const;
  [[nodiscard]] Result<void> write(const OciRecord& record) const;
  [[nodiscard]] Result<std::string> config() const;
  [[nodiscard]] Result<void> keep_config(std::string_view text) const;
  [[nodiscard]] Result<void> keep_filter(const SeccompFilter& filter) const;
  [[nodiscard]] Result<SeccompFilter> filter(unsigned flags) const;
  // Empty where there is none.
  [[nodiscard]] Result<CgroupNote> cgroups() const;
  [[nodiscard]] Result<void> keep_cgroups(const CgroupNote& note) const;
  // Of what the record says, now.
  [[nodiscard]] OciStatus status(const OciRecord& record) const;
  // A socket that listens for `start`; a connection to it; its end.
  [[nodiscard]] Result<Fd> listen() const;
  [[nodiscard]] Result<Fd> connect() const;
  void forget_start() const;
  // In a child, which is to hold no lock of its parent's.
  void let_go() {
    lock_.reset();
    dir_.reset();
    root_.reset();
  }
  // All of it.
  void remove() const;

 private:
  ContainerDir(Fd root, Fd dir, std::string id)
      : root_(std::move(root)), dir_(std::move(dir)), id_(std::move(id)) {}
  [[nodiscard]] Result<void> lock(bool wait);

  Fd root_;
  Fd dir_;
  Fd lock_;
  std::string id_;
};

// --root, or the place that a user's containers have.
Result<std::string> oci_root(const std::string& told);

// What `state` prints and hooks read. Source: runtime.md, "State".
std::string state_text(const OciRecord& record, OciStatus status);

}  // namespace userns::frontend
