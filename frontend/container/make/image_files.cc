#include "frontend/container/make/image_files.h"

#include <algorithm>
#include <string_view>

#include "frontend/store/files.h"
#include "frontend/store/state.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

std::string counted(const std::vector<std::string>& lines, std::string_view kind) {
  const auto is_of = [&](const std::string& line) { return line.starts_with(concat(kind, " ")); };
  const auto count = std::ranges::count_if(lines, is_of);
  return count == 0 ? std::string{} : concat(count, " ", kind, count == 1 ? "" : "s");
}

}  // namespace

Result<void> keep_what_it_says(const Fd& container, const ImageConfig& image,
                               std::vector<std::string>& notes) {
  if (image.says.empty()) return {};
  // Whoever unpacked it may have been taken over.
  constexpr std::size_t kMost = 32UL << 10U;
  std::string text;
  for (const auto& line : image.says)
    if (text.size() + line.size() < kMost) text += concat(line, "\n");
  if (auto kept = replace_file(container, kImageFile, text); !kept) return kept;
  std::string what;
  for (const std::string_view kind : {"volume", "port", "healthcheck"})
    if (const auto some = counted(image.says, kind); !some.empty())
      what += concat(what.empty() ? "" : ", ", some);
  if (!what.empty())
    notes.push_back(concat("the image names ", what,
                           ": nothing is done about them; userns-run info shows them"));
  return {};
}

}  // namespace userns::frontend
