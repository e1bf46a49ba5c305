// What userns-run ends with, beside the command's own exit status.
#pragma once

namespace userns::frontend {

inline constexpr int kExitOwnFailure = 125;
inline constexpr int kExitNotExecutable = 126;
inline constexpr int kExitNotFound = 127;
inline constexpr int kExitSignalBase = 128;
inline constexpr int kExitReboot =
    133;  // a booted system asks to be started again, as systemd-nspawn has it

}  // namespace userns::frontend
