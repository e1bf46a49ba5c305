// A Debian made by mmdebstrap(1), which brings its own way to be root of many ids; its tar comes
// through a pipe.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/fd.h"
#include "frontend/run/process.h"
#include "policy/error.h"

namespace userns::frontend {

struct DebianWish {
  std::string suite;  // empty: the host's own where that is a Debian, else "stable"
  std::vector<std::string>
      packages;  // beside those that make it boot: systemd-sysv, dbus, iproute2
};

// It runs as the caller. Its package sources are the host's (/etc/apt/sources.list and
// debian.sources) where the host is a Debian of that suite, and so is its way to them (proxies).
class Mmdebstrap {
 public:
  // Fails where the program is not there, with what to install.
  static Result<Mmdebstrap> start(const DebianWish& wish);
  // Waits for the first byte of the tar; meanwhile tells what it says it does. TERM, INT, HUP and
  // QUIT end it, with code EINTR.
  Result<void> await_tar(const std::function<void(std::string_view)>& on_stage);
  [[nodiscard]] const Fd& tar() const { return tar_; }
  // Its end. Anything but success is an error with the last that it complained of.
  Result<void> finish();

 private:
  Mmdebstrap(Fd tar, Fd said, pid_t pid)
      : child_(pid, SIGTERM), tar_(std::move(tar)), said_(std::move(said)) {}

  Child child_;  // TERM: it cleans up behind itself
  Fd tar_;       // closed first
  Fd said_;
};

// Its words, but for the program's name. `sources`: files; `options`: of apt.
std::vector<std::string> mmdebstrap_words(const DebianWish& wish,
                                          const std::vector<std::string>& sources,
                                          const std::vector<std::string>& options);

// The lines of `apt-config dump` that say how to get to a mirror, as apt options. Pure.
std::vector<std::string> ways_to_mirrors(std::string_view dump);

// The first line of what a program said that is a complaint ("E: ..."), else the last line: of
// mmdebstrap the last complaint is always "mmdebstrap failed to run". Pure.
std::string complaint_in(std::string_view said);

}  // namespace userns::frontend
