#include "frontend/run/own_words.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <span>
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

namespace {

Result<std::string> own_cmdline() {
  constexpr std::size_t kLargest = 4UL << 20U;
  const auto file = open_at(AT_FDCWD, "/proc/self/cmdline", O_RDONLY);
  return file ? read_all(*file, kLargest) : std::unexpected(file.error());
}

}  // namespace

// The kernel shows the memory that held the words at the exec. If its last byte is not zero, it
// takes what is there for one string (setproctitle(3)).
void show_instead_of_own_words(std::string_view name) {
  const auto size = own_cmdline().value_or("").size();
  if (size < 2) return;
  const std::span<char> words(program_invocation_name, size);
  std::ranges::fill(words, '\0');
  std::ranges::copy(name.substr(0, size - 2), words.begin());
  words.back() = '.';
}

Result<std::vector<std::string>> own_words() {
  const auto text = own_cmdline();
  if (!text)
    return fail({}, "cannot read one's own words from /proc/self/cmdline", text.error().code);
  std::vector<std::string> words;
  for (std::string_view rest = *text; !rest.empty();) words.emplace_back(take_until(rest, '\0'));
  return words;
}

}  // namespace userns::frontend
