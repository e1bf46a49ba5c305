// The words of userns-oci, as engines write them for any OCI runtime.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "policy/error.h"

namespace userns::frontend {

// A limit of `update`, by the field of linux.resources that it is.
struct LimitWord {
  std::string field;  // "memory.limit"
  std::string text;
};

struct Arguments {
  // Before the verb.
  std::string root;
  std::string log;
  bool json_log = false;
  std::string cgroup_manager;  // "disabled", "cgroupfs", "systemd"; empty: not said
  // The verb and its own.
  std::string verb;
  std::string id;
  std::string bundle = ".";
  std::string pid_file;
  std::string console_socket;
  std::string process_file;
  std::string cwd;
  std::string user;
  std::string resources;
  std::vector<LimitWord> limits;
  std::vector<std::string> env;
  unsigned preserve_fds = 0;
  bool detach = false;
  bool keep = false;
  bool force = false;
  bool all = false;
  bool quiet = false;
  bool tty = false;
  bool json = false;
  bool no_new_privs = false;
  std::vector<std::string> words;  // after the id: a signal, a command
};

Result<Arguments> parse_arguments(const std::vector<std::string>& words);

std::string usage();

}  // namespace userns::frontend
