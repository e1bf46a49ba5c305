#include "frontend/run/own_words.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <string_view>

#include "common/fd.h"
#include "policy/text.h"

namespace userns::frontend {

Result<std::string> own_program() {
  std::array<char, PATH_MAX> path{};
  const auto size = ::readlink("/proc/self/exe", path.data(), path.size());
  if (size <= 0) return fail_errno("cannot find one's own program by /proc/self/exe");
  std::string_view text(path.data(), static_cast<std::size_t>(size));
  constexpr std::string_view kDeleted = " (deleted)";  // an upgrade meanwhile: the new one is there
  if (text.ends_with(kDeleted)) text.remove_suffix(kDeleted.size());
  return std::string(text);
}

Result<std::vector<std::string>> own_words() {
  constexpr std::size_t kLargest = 4UL << 20U;
  const auto file = open_at(AT_FDCWD, "/proc/self/cmdline", O_RDONLY);
  const auto text = file ? read_all(*file, kLargest) : std::unexpected(file.error());
  if (!text)
    return fail({}, "cannot read one's own words from /proc/self/cmdline", text.error().code);
  std::vector<std::string> words;
  for (std::string_view rest = *text; !rest.empty();) words.emplace_back(take_until(rest, '\0'));
  return words;
}

}  // namespace userns::frontend
