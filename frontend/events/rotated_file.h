// A file that is put aside under a second name when it is full, read over such moments.
#pragma once

#include <functional>

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

// Opens one of the two for reading; an Fd that is not valid() if there is none.
using OpenPart = std::function<Result<Fd>(const char* name)>;

// The file to read after `last`, which was read to its end: the one that was put aside since then,
// or the newest. Not valid() if there is nothing newer than `last`, which may be not valid() at
// first. `last` must have been open all the time, so that its inode number is no other file's. Both
// names are opened before `drain` reads the rest of `last`: what was written to it before the
// newest one was begun is then read, too.
Result<Fd> next_part(const Fd& last, const char* old_name, const char* name, const OpenPart& open,
                     const std::function<Result<void>()>& drain);

}  // namespace userns::frontend
