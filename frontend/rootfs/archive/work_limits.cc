#include "frontend/rootfs/archive/work_limits.h"

#include <sys/resource.h>

#include <algorithm>

#include "common/fd.h"

namespace userns::frontend {
namespace {

// The largest that a good archive takes are the dictionaries of xz and zstd: 128 MiB.
constexpr rlim_t kMostMemory = 1UL << 30U;
constexpr rlim_t kMostFiles = 8192;

}  // namespace

Result<void> bound_the_work() {
  rlimit memory{};
  rlimit files{};
  if (::getrlimit(RLIMIT_DATA, &memory) != 0 || ::getrlimit(RLIMIT_NOFILE, &files) != 0)
    return fail_errno("cannot find the limits");
  memory.rlim_cur = memory.rlim_max = std::min(memory.rlim_max, kMostMemory);
  files.rlim_cur = std::max(files.rlim_cur, std::min(files.rlim_max, kMostFiles));
  if (::setrlimit(RLIMIT_DATA, &memory) != 0 || ::setrlimit(RLIMIT_NOFILE, &files) != 0)
    return fail_errno("cannot bound the memory that the work takes");
  return {};
}

}  // namespace userns::frontend
