// A directory's small files, by its fd: never followed out of it, never read for ever, replaced
// whole.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

// The whole of a regular file of the caller's (or root's) of at most `limit` bytes; ENOENT in the
// error's code where there is none. `name` may be a path where `dir` is AT_FDCWD: then links are
// followed.
Result<std::string> read_file_at(int dir, const char* name, std::size_t limit);
// Such a file, open for reading.
Result<Fd> open_own_file(int dir, const char* name);
// The new text is there as a whole, also after a crash, or the old one is. `name` is one name in
// `dir`, and has one writer at a time: who holds a lock.
Result<void> replace_file(const Fd& dir, const char* name, std::string_view text,
                          unsigned mode = 0600);
// The same for what says nothing once the machine has been restarted: after a crash of it, the file
// may be there, empty, or absent. A disk takes longer to be asked than a container to start.
Result<void> replace_file_of_this_boot(const Fd& dir, const char* name, std::string_view text);

// Names of all entries, sorted.
Result<std::vector<std::string>> list_directory(const Fd& dir);

}  // namespace userns::frontend
