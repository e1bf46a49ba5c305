// What --home, --gpu, --wayland, --x11 and --audio hand in, in words and variables. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace userns::frontend {

struct DesktopPart {
  std::string_view option;
  std::string_view gives;  // a sentence's end, for people
};
std::span<const DesktopPart> desktop_parts();

// Where the sockets are inside.
inline constexpr std::string_view kWaylandInside = "/run/host/wayland";
inline constexpr std::string_view kAudioInside = "/run/host/audio";
inline constexpr std::string_view kX11Inside = "/run/host/x11";

// Of $DISPLAY, ":0" or ":0.1"; none for another machine's, or what is none.
std::optional<std::uint32_t> local_display(std::string_view display);

// The entries of an Xauthority file (Xau(3)) for this display, for whatever host name: the
// container has another. What is not whole is left out.
std::string cookies_for(std::string_view file, std::uint32_t display);

}  // namespace userns::frontend
