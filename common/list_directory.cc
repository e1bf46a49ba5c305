#include "common/list_directory.h"

#include <dirent.h>

#include <cerrno>
#include <memory>
#include <string_view>

namespace userns {

Result<std::vector<std::string>> names_in(Fd dir, unsigned char type) {
  const std::unique_ptr<DIR, int (*)(DIR*)> list(::fdopendir(dir.get()), ::closedir);
  if (!list) return fail_errno("cannot list a directory");
  (void)dir.release();
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* const entry = ::readdir(list.get())) {
    const std::string_view name(static_cast<const char*>(entry->d_name));
    const bool is_wanted = type == DT_UNKNOWN || entry->d_type == type;
    if (is_wanted && name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return fail_errno("cannot list a directory");
  return names;
}

}  // namespace userns
