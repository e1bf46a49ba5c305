// What an image says about how it is to be run. Pure.
//
// A stranger wrote it, so each value has a type that cannot hold what only the caller may mean: a
// variable always has a value and is never taken from the caller's environment, a user is a pair of
// ids or a refusal, a working directory is one inside. Volumes, Labels, ExposedPorts and all else
// are words to be
// shown to people, which nothing is done about.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "frontend/start/ids/inside_names.h"

namespace userns::frontend {

struct ImageVariable {
  std::string name;
  std::string value;

  friend bool operator==(const ImageVariable&, const ImageVariable&) = default;
};

struct ImageConfig {
  std::vector<ImageVariable> env;
  std::vector<std::string> names_only;  // entries of Env without a value: they mean nothing
  std::vector<std::string> entrypoint;  // the command is entrypoint and cmd, one after the other
  std::vector<std::string> cmd;
  std::string cwd;   // "/" if the image names none; empty: this is not an image
  std::string user;  // "", "uid", "name", "uid:gid", ...
  std::optional<InsideIds>
      ids;  // whom that is by the files of the image; none: there is no such user, or none is named
  std::string stop_signal;  // "", "SIGTERM", "15"
  // What is kept for people to read: "volume /data", "port 80/tcp", "healthcheck curl ...",
  // "label a=b". A line each, bounded, of any characters but the end of a line.
  std::vector<std::string> says;

  friend bool operator==(const ImageConfig&, const ImageConfig&) = default;
};

}  // namespace userns::frontend
