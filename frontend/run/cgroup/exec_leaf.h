// The cgroup of what exec brings into a container: a leaf of its own below the payload's, for as
// long as it is needed. The payload's own takes nobody once the init inside has enabled
// controllers for its children.
//
//   OWN/payload/.userns-exec-N/   systemd gives no unit a name that begins with a dot
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

class ExecLeaf {
 public:
  ExecLeaf() = default;
  // `number`: of no earlier one. Where the payload's cgroup belongs to the container's root, the
  // leaf does, too: it is made in that root's name, in the user namespace.
  static Result<ExecLeaf> make(const Fd& payload, const Fd& user_namespace, unsigned number);

  // For CLONE_INTO_CGROUP, by the caller, who is in the container's OWN/monitor.
  [[nodiscard]] const Fd& dir() const { return dir_; }
  // All that are in it.
  void kill(const Fd& user_namespace) const;

 private:
  friend class ExecLeaves;
  ExecLeaf(Fd dir, std::string name) : dir_(std::move(dir)), name_(std::move(name)) {}
  Fd dir_;
  std::string name_;
};

// Those whose command has ended, until nobody that it has started is left there.
class ExecLeaves {
 public:
  void add(ExecLeaf leaf);
  void remove_empty(const Fd& payload, const Fd& user_namespace);
  [[nodiscard]] bool none() const { return leaves_.empty(); }

 private:
  std::vector<ExecLeaf> leaves_;
};

}  // namespace userns::frontend
