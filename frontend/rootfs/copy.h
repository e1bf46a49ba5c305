// Copies a tree from one container's ids to another's.
//
// Runs inside (in_map()), in the map of both (shift_ids.h). By directory fds on either side: links
// are copied, not followed, and what is mounted somewhere in the source is not part of it. Data is
// shared with the source where the file system can (FICLONE), else copied in the kernel; holes stay
// holes. What vanishes from the source meanwhile is left out. Devices and sockets are left out and
// counted. However deep the tree is, few directories are open at a time.
//
// Of an overlay's layer, what it hides (whiteouts, opaque directories) is copied, too; of a tree
// such marks mean nothing.
#pragma once

#include <sys/stat.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/fd.h"
#include "frontend/rootfs/attributes.h"
#include "frontend/rootfs/shift_ids.h"
#include "frontend/rootfs/unpack.h"
#include "policy/error.h"

namespace userns::frontend {

enum class CopyKind : std::uint8_t { kTree, kLayer };

class Copier {
 public:
  // All must live as long.
  Copier(const Fd& from, const Fd& to, CopyKind kind, const BothIds& ids, UnpackLimits limits,
         std::function<void(const UnpackCounts&)> on_progress);
  Result<void> copy();
  [[nodiscard]] const UnpackCounts& counts() const { return counts_; }

 private:
  // A directory whose entries are being copied.
  struct Level {
    Fd from;  // both closed while we are far below
    Fd to;
    struct stat from_facts{};
    struct stat to_facts{};
    std::vector<std::string> names;  // still to copy
    std::size_t path_size = 0;       // of its own path
  };
  Result<void> enter(Fd from, Fd to);
  Result<void> leave();
  Result<void> copy_below();
  Result<void> copy_entry(const Fd& from, const Fd& to, const std::string& name,
                          const std::string& path);
  Result<void> copy_directory(const Fd& from, const Fd& to, const std::string& name);
  Result<void> copy_file(const Fd& from, const Fd& to, const std::string& name,
                         const std::string& path);
  Result<void> copy_link(const Fd& from, const Fd& to, const std::string& name,
                         const struct stat& facts);
  Result<void> copy_whiteout(const Fd& to, const std::string& name, const struct stat& facts);
  Result<void> copy_fifo(const Fd& to, const std::string& name, const struct stat& facts);
  Result<bool> link_to_earlier(const Fd& to, const std::string& name, const std::string& path,
                               const struct stat& facts);
  Result<void> copy_data(const Fd& from, const Fd& to, const struct stat& facts);
  Result<void> copy_range(const Fd& from, const Fd& to, off_t begin, off_t end);
  Result<void> dress(int from, int to, const struct stat& facts);
  Result<std::vector<Attribute>> shifted(std::vector<Attribute> attributes) const;
  Result<std::pair<std::uint32_t, std::uint32_t>> owner_of(const struct stat& facts) const;
  Result<void> count_entry(std::uint64_t bytes);

  const Fd& from_;
  const Fd& to_;
  CopyKind kind_;
  const BothIds& ids_;
  UnpackLimits limits_;
  CpuBudget cpu_;
  std::function<void(const UnpackCounts&)> on_progress_;
  std::chrono::steady_clock::time_point shown_;
  UnpackCounts counts_;
  std::deque<Level> levels_;
  std::string path_;  // of what is being copied
  bool may_share_ = true;
  std::map<std::pair<dev_t, ino_t>, std::string>
      linked_;  // where the first of several names of a file is
};

}  // namespace userns::frontend
