#include "frontend/start/inside/clean.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kLargestPasswd = 1UL << 20U;

}  // namespace

Result<void> refuse_directories() {
  for (int number = 0; number < 3; ++number) {
    struct stat facts{};
    if (::fstat(number, &facts) == 0 && S_ISDIR(facts.st_mode))
      return fail({}, concat("file descriptor ", number,
                             " is a directory, by which the command could leave the container: "
                             "give a file, a pipe, a terminal or /dev/null instead"));
  }
  return {};
}

std::string read_inside(const char* name) {
  const auto root = open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY);
  const auto file = root ? open_at(root->get(), name, O_RDONLY | O_NONBLOCK | O_NOCTTY,
                                   RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
                         : Result<Fd>(std::unexpected(root.error()));
  struct stat facts{};
  if (!file || ::fstat(file->get(), &facts) != 0 || !S_ISREG(facts.st_mode)) return {};
  return read_all(*file, kLargestPasswd).value_or("");
}

}  // namespace userns::frontend
