#include "frontend/oci/clock.h"

#include <array>
#include <ctime>

namespace userns::frontend {

std::string time_now() {
  std::array<char, 32> text{};
  const std::time_t seconds = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

}  // namespace userns::frontend
