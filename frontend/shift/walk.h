// Every inode below a directory, by several threads, and nothing that is not below it.
//
// The walk goes from directory fd to directory fd by single names that are never followed. What
// others do to the tree meanwhile can make it miss what they move, or see it twice, but never lead
// it out: a directory's fd is what it is, wherever its name goes. Depth costs neither stack nor
// fds: beyond a budget a directory is opened again by its names from the nearest one that is open
// (openat2(2) RESOLVE_BENEATH), and must then be the same inode.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/fd.h"
#include "frontend/shift/inode.h"
#include "policy/error.h"

namespace userns::shift {

class Branch;  // a directory of the walk

// What the walk met. All of it is good only during the call.
struct Found {
  Spot spot;
  Spot named;  // by its name, which may be another inode's by now
  const Facts& facts;
  const Branch* parent;   // nullptr: the tree's own directory
  std::string_view name;  // in it
  std::uint64_t listed;   // the inode number that the directory says, 0: of the tree's own
  // From the tree's own directory on; "." for itself.
  [[nodiscard]] std::string path() const;
  // The directory that the name is in; of a directory, itself.
  [[nodiscard]] Seen directory() const;
  [[nodiscard]] std::string directory_path() const;
};

// A name of something that is not a directory, as its directory lists it.
struct Listed {
  int directory;
  const char* name;
  InodeKey key;  // the device is the directory's
};

struct WalkWishes {
  unsigned jobs = 1;
  bool cross_mounts = false;
  // Each inode is held by an fd, so that what is changed is what was looked at. Without: two calls
  // less.
  bool hold = false;
};
// Called by all threads at once; each hard link of an inode is met.
struct WalkHooks {
  // True: that was all, nothing is to be found out about it. May be empty.
  std::function<bool(const Listed&)> quick;
  std::function<void(const Found&)> found;
  // Something of the tree that could not be walked (found() may have been called for it).
  std::function<void(const std::string& path, const Error&)> failed;
  std::function<void(const std::string& path)> mount;  // not entered
  // A name that was there is no longer, or a directory was moved: another walk may find more.
  std::function<void()> gone;
  // By the calling thread only, about ten times a second; true ends the walk.
  std::function<bool()> stop;
};

// `root`: open for reading. False where stop() ended it.
bool walk(const Fd& root, const WalkWishes& wishes, const WalkHooks& hooks);

}  // namespace userns::shift
