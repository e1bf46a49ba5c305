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

// Where a path leads by the links in its last part, as they are written; what is above is not
// looked at but for /var/run, which is /run everywhere. `path` itself if it is not a link.
std::string where_it_leads(const Fd& root, const std::string& path);

// The same of a file whose name is a symbolic link to something that is missing: what it leads to
// in `root`.
Result<Fd> place_behind_link(const Fd& root, const std::string& path);

// Why the caller cannot reach `path`: the first directory on the way that is missing or may not be
// searched, with its mode; empty where none is in the way. For messages only.
std::string why_unreachable(const std::string& path);

}  // namespace userns::frontend
