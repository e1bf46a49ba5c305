#include "frontend/start/plan/desktop_text.h"

#include <array>
#include <cstddef>

#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::array kParts{
    DesktopPart{"home",
                "your home directory, to read and to write, with your keys and what your shell "
                "runs at its start: what runs inside can do all that you can"},
    DesktopPart{"gpu", "the devices of the GPU"},
    DesktopPart{"wayland", "the socket of your Wayland compositor, and nothing beside it"},
    DesktopPart{"x11",
                "your X server, where each program sees all windows and all keys, and its cookie"},
    DesktopPart{"audio", "sound: what is played, and what the microphone hears"},
};

constexpr std::size_t kLargestDisplay = 65535;

// A 16-bit number, the high byte first.
std::optional<std::size_t> take_number(std::string_view& rest) {
  if (rest.size() < 2) return std::nullopt;
  const auto number = static_cast<std::size_t>(static_cast<unsigned char>(rest[0])) << 8U |
                      static_cast<unsigned char>(rest[1]);
  rest.remove_prefix(2);
  return number;
}

std::optional<std::string_view> take_counted(std::string_view& rest) {
  const auto size = take_number(rest);
  if (!size || rest.size() < *size) return std::nullopt;
  const auto text = rest.substr(0, *size);
  rest.remove_prefix(*size);
  return text;
}

std::string counted(std::string_view text) {
  std::string all{static_cast<char>(text.size() >> 8U), static_cast<char>(text.size() & 0xffU)};
  return all.append(text);
}

}  // namespace

std::span<const DesktopPart> desktop_parts() { return kParts; }

std::optional<std::uint32_t> local_display(std::string_view display) {
  if (!display.starts_with(':')) return std::nullopt;
  display.remove_prefix(1);
  const auto number = parse_decimal(take_until(display, '.'));
  if (!number || *number > kLargestDisplay) return std::nullopt;
  return static_cast<std::uint32_t>(*number);
}

std::string cookies_for(std::string_view file, std::uint32_t display) {
  constexpr std::string_view kAnyHost("\xff\xff\0\0", 4);  // FamilyWild, and no address
  std::string found;
  while (take_number(file)) {
    const auto address = take_counted(file);
    const auto number = address ? take_counted(file) : std::nullopt;
    const auto name = number ? take_counted(file) : std::nullopt;
    const auto data = name ? take_counted(file) : std::nullopt;
    if (!data) break;
    if (number->empty() || parse_decimal(*number) == display)
      found.append(kAnyHost).append(counted(*number)).append(counted(*name)).append(counted(*data));
  }
  return found;
}

}  // namespace userns::frontend
