// What an image says about how it is to be run. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "frontend/start/inside_names.h"

namespace userns::frontend {

struct ImageConfig {
  std::vector<std::string> env;         // NAME=VALUE
  std::vector<std::string> entrypoint;  // the command is entrypoint and cmd, one after the other
  std::vector<std::string> cmd;
  std::string cwd;
  std::string user;  // "", "uid", "name", "uid:gid", ...
  std::optional<InsideIds>
      ids;  // whom that is by the files of the image; none: there is no such user, or none is named
  std::string stop_signal;  // "", "SIGTERM", "15"

  friend bool operator==(const ImageConfig&, const ImageConfig&) = default;
};

}  // namespace userns::frontend
