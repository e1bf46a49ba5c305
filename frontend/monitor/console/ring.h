// The last bytes of an endless text, for readers that each are somewhere in it. Pure.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace userns::frontend {

class Ring {
 public:
  explicit Ring(std::size_t size) : bytes_(size, '\0') {}

  void append(std::string_view text) {
    const auto skipped = text.size() - std::min(text.size(), bytes_.size());
    end_ += skipped;
    text.remove_prefix(skipped);
    while (!text.empty()) {
      const auto at = static_cast<std::size_t>(end_ % bytes_.size());
      const auto part = std::min(text.size(), bytes_.size() - at);
      bytes_.replace(at, part, text.substr(0, part));
      text.remove_prefix(part);
      end_ += part;
    }
  }

  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  // Positions count from the first byte that ever was.
  [[nodiscard]] std::uint64_t end() const { return end_; }
  [[nodiscard]] std::uint64_t begin() const {
    return end_ - std::min<std::uint64_t>(end_, bytes_.size());
  }
  // What follows `position`, which is in [begin(), end()], in one piece: empty only at the end.
  [[nodiscard]] std::string_view after(std::uint64_t position, std::size_t most) const {
    const auto at = static_cast<std::size_t>(position % bytes_.size());
    const auto there =
        static_cast<std::size_t>(std::min<std::uint64_t>(end_ - position, bytes_.size() - at));
    return std::string_view(bytes_).substr(at, std::min(there, most));
  }

 private:
  std::string bytes_;
  std::uint64_t end_ = 0;
};

}  // namespace userns::frontend
