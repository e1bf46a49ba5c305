// The shift of one tree: survey, log, change. It can be interrupted anywhere, kill -9 and power
// cuts included, and then be resumed or undone.
//
// What makes that possible is mostly arithmetic. No id that a shift gives is one that it takes
// (id_shift.h), so the ids of an inode, in its ACLs and its capabilities too, say by themselves
// whether it is shifted: what is not, is taken; what is, is no longer. To go on is to shift the
// whole tree again, and to go back is to shift it the other way. A half shifted tree cannot be
// shifted twice. The undo log is for the rest, which is small:
//
//   strangers  inodes that had ids where the shift leads before it began. Going back must not take
//   them along. fragile    inodes whose setuid and setgid bits or capabilities chown(2) takes away.
//   Between that call and the ones
//              that give them back, the inode alone no longer says that it had them.
//
// Of each of these the log has a line `old` with all of its state. The survey finds them before
// anything is changed; the log is written whole and synced before the first change, and a fragile
// inode that turns up later is logged and synced before its own. A line `done` says that a fragile
// inode has got back what it had: from then on it is believed itself (an administrator may have
// taken the bit away), where without the line, and with the owner changed, the log is. `done` lines
// are not synced: to lose one only means that the same bits are set once more.
//
// Inodes of which the ids are all that changes, most of a tree, are changed by name first
// (narrow.h), by the names that the survey wrote down. A second walk does the rest, each held by an
// fd.
//
// The log is removed when nothing failed. Where it is on another file system than the tree, the
// tree is synced before; on the same, its journal keeps the order of the changes and the removal.
//
// In a user namespace all ids are those of the namespace, in the log as well, but for the shift in
// its head.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/shift/id_shift.h"
#include "policy/error.h"

namespace userns::shift {

struct ShiftWishes {
  enum class Act : std::uint8_t { kShift, kResume, kUndo } act = Act::kShift;
  Shift shift;  // in the host's numbers
  // Of whom 0 stands for in a namespace that map_for() made; without one, nobody: 0 is root.
  bool in_namespace = false;
  std::uint32_t own_uid = 0;
  std::uint32_t own_gid = 0;
  bool cross_mounts = false;
  bool strict = false;
  bool dry_run = false;
  unsigned jobs = 1;
  std::string log;  // where; empty: log_path()
};

// What people see meanwhile. Called by one thread at a time.
struct ShiftHooks {
  std::function<void(const Error&)> warn;          // something that is not done, or worth a word
  std::function<void(std::string_view)> progress;  // may be empty
  std::function<bool()> interrupted;               // asked about ten times a second
};

// Does it to all of these trees, whose paths hold no symbolic links: all are surveyed before the
// first is changed. Returns what was done, a line for each. An error: nothing was changed, or its
// text says how far it came and how to go on.
Result<std::string> shift_trees(const std::vector<std::string>& directories,
                                const ShiftWishes& wishes, const ShiftHooks& hooks);

}  // namespace userns::shift
