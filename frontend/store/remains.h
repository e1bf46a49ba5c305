// Who is left of a container that is to be over. Its end is when nobody is in its user namespace,
// or below it: only then may its ids be somebody else's.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/fd.h"
#include "policy/id_range.h"

namespace userns::frontend {

struct Remainder {
  pid_t pid = 0;
  std::string name;  // which it has given itself
};

// The ids outside that are the container's alone: without those of the caller.
struct OwnIds {
  std::vector<IdRange> uids;
  std::vector<IdRange> gids;
};

// A file for as long as it is there.
struct FileId {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  friend bool operator==(const FileId&, const FileId&) = default;
};

// A process as the host's /proc shows it. Threads that outlive their first one count.
class Seen {
 public:
  explicit Seen(pid_t pid);
  [[nodiscard]] bool is_alive() const { return alive_; }
  [[nodiscard]] bool has_one_of(const OwnIds& ids) const;
  // Real, effective, saved, and that of file access.
  [[nodiscard]] std::vector<std::uint32_t> uids() const;
  [[nodiscard]] std::vector<std::uint32_t> gids() const;
  // Whether it is in the namespace with this number, or below it.
  [[nodiscard]] bool is_in(ino_t user_namespace) const;
  // The same by id_of(). No value: this kernel has no such ids.
  [[nodiscard]] std::optional<bool> is_in_id(std::uint64_t user_namespace) const;
  // Whether this is its root directory.
  [[nodiscard]] bool has_root(const FileId& root) const;
  // The ids outside that its user namespace maps; of the caller's own namespace none.
  [[nodiscard]] OwnIds mapped() const;
  // The kernel does not say where it is: its program is a file that its own user may not read.
  [[nodiscard]] bool hides() const { return alive_ && !space_.valid(); }
  [[nodiscard]] pid_t parent() const { return parent_; }
  [[nodiscard]] std::uint64_t start() const { return start_; }
  [[nodiscard]] std::string name() const;
  // Whether it is one of ours, by the name of its program's file.
  [[nodiscard]] bool is_userns_run() const;

 private:
  Fd directory_;
  Fd space_;
  std::string status_;
  pid_t parent_ = 0;
  std::uint64_t start_ = 0;
  bool alive_ = false;
};

// Whether one of ours that lives has started it there: the nearest process above it that is outside
// of that namespace. The number of a namespace that is gone is given again, to the next one that is
// made as a rule.
bool is_of_a_living_run(const Seen& seen, ino_t user_namespace);

// Those for which `is_one` holds; each is sent SIGKILL where `kill`, by a pidfd that was opened
// before it was asked for.
std::vector<Remainder> remains(const std::function<bool(const Seen&)>& is_one, bool kill);

// "process 71 (sh)", "3 processes (71 sh, 72 fuse, ...)".
std::string to_text(const std::vector<Remainder>& remains);

// 0: none. The number is given again when the namespace is gone.
ino_t number_of(const Fd& user_namespace);
// Never given again before the next boot. 0: none, or the kernel is older than Linux 6.18.
std::uint64_t id_of(const Fd& user_namespace);
// {}: it cannot be seen.
FileId root_of(pid_t pid);
// Whether a process above it is one of ours.
bool is_below_a_run(const Seen& seen);
// Whether `pid` is below this process.
bool is_below_us(pid_t pid);

}  // namespace userns::frontend
