// A policy file as it was read, and its replacement in one step: readers see the old text or the
// new one, whole.
#pragma once

#include <sys/stat.h>

#include <string>
#include <string_view>

#include "policy/error.h"

namespace userns::frontend {

struct Snapshot {
  std::string path;  // of the file itself, behind all links
  std::string text;
  bool exists = false;
  struct stat facts{};
};

// Refuses what the helpers would not believe (TF-PATH, TF-FILE): a replacement would make it look
// safe. The file need not exist; its directory must.
Result<Snapshot> snapshot(const std::string& path);

// Puts `text` there with the owner, mode and extended attributes of the old file (root's and 0644
// for a new one). Fails and leaves everything as it was where the file is no longer as in the
// snapshot, or the disk is full. The change is recorded before it is made (record.h). Call it under
// the lock: what a killed process left of it is cleaned up then.
Result<void> replace(const Snapshot& old, std::string_view text);

// What would be changed, as diff -u has it, in one hunk; empty where nothing is.
std::string diff(std::string_view path, std::string_view before, std::string_view after);

}  // namespace userns::frontend
