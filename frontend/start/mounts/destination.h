// Places inside a root file system that is not trusted: found and made without ever leaving it.
//
// Every look-up is openat2(2) with RESOLVE_IN_ROOT below the root's fd: an absolute or dotted
// symbolic link in the root file system leads to a place in the root file system. Nothing is made
// through a name that was resolved in another way.
#pragma once

#include <string>

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

enum class PlaceKind : unsigned char { kDirectory, kFile };

// An fd (O_PATH) of `path` inside `root`; made where it is missing (directories 0755, an empty file
// 0644).
Result<Fd> place_inside(const Fd& root, const std::string& path, PlaceKind kind);

// Why the caller cannot reach `path`: the first directory on the way that is missing or may not be
// searched, with its mode; empty where none is in the way. For messages only.
std::string why_unreachable(const std::string& path);

}  // namespace userns::frontend
