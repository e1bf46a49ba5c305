// What is said over the socket of a container's monitor (SOCK_SEQPACKET, `control` in the
// container's directory).
//
// A client's first packet is a request, in text; each packet from the monitor begins with one of
// `Said`. Only the uid that the monitor runs as, and root, are heard. Pure.
//
//   request = "init" | "wait" | "ready" | "console " size [ " leash" ] | "stop " ms [ " keep" ] |
//   "exec-long" | "exec" NUL word { NUL word } ; size    = "-" | rows "x" columns ;
//
//   init     kOk "PID", with a pidfd (SCM_RIGHTS) of the container's first process
//   wait     kEnd when it has ended for good
//   ready    kOk once the booted system says that it is up; kEnd otherwise
//   console  kOk, then kData until the end; the client sends kData and kSize. With a leash, the
//   container is stopped when
//            the client is gone.
//   stop     asks init to stop, kills it after so many milliseconds; kEnd, or kError where
//            processes of it do not die. To keep is a container
//   that would be
//            destroyed at its end.
//   exec     with three fds (SCM_RIGHTS), which become 0 to 2 of userns-run, started in the
//   monitor's cgroup with these
//            words; the environment is empty but for those before an empty word, and kLeafVariable.
//            kOk with a pidfd, then kEnd "STATUS".
//   exec-long  a fourth fd, a memfd sealed against writing and shrinking, holds the request "exec"
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/error.h"

namespace userns::frontend {

enum class Said : char {
  kOk = 'o',
  kError = 'x',
  kData = 'd',
  kSize = 'w',   // "ROWSxCOLUMNS"
  kLost = 'l',   // so many bytes of the console went by unread
  kAgain = 'a',  // the container is being started again
  kMet = 'm',    // before kEnd: which limits were met
  kEnd = 'e',    // "STATUS"
};

// In the environment of what a monitor starts for exec: the fd of the cgroup that the command is to
// be in.
inline constexpr const char* kLeafVariable = "USERNS_RUN_LEAF";

inline constexpr std::size_t kLargestRequest = 32768;     // in a packet
inline constexpr std::size_t kLongestExec = 16UL << 20U;  // in a memfd; more than execve(2) takes
inline constexpr std::size_t kLargestData = 4096;         // in a packet, after the first byte

struct WindowSize {
  std::uint16_t rows = 0;
  std::uint16_t columns = 0;
};

struct Request {
  enum class Kind : std::uint8_t {
    kInit,
    kWait,
    kReady,
    kConsole,
    kStop,
    kExec,
    kLongExec
  } kind = Kind::kInit;
  std::optional<WindowSize> size;  // kConsole
  bool leash = false;              // kConsole
  std::int64_t timeout = 0;        // kStop, ms
  bool keep = false;               // kStop
  std::vector<std::string> environment;
  std::vector<std::string> words;  // kExec; at least one
};

Result<Request> parse_request(std::string_view text);
std::string to_text(const Request& request);
std::optional<WindowSize> parse_size(std::string_view text);
std::string to_text(const WindowSize& size);

}  // namespace userns::frontend
