// The processes of containers, with their ids on both sides: of the caller's, or, for root, of all
// users'.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/fd.h"
#include "frontend/start/ids/choose_ids.h"
#include "frontend/store/processes.h"
#include "policy/error.h"

namespace userns::frontend {

// A container that runs, and what its processes are known by.
struct Looked {
  std::string user;  // empty: the caller
  std::string container;
  ino_t top = 0;
  ChosenIds ids;
  pid_t first = 0;
  Fd pidfd;  // of `first`

  // `way_in`: the process whose namespaces may be looked at; often `first`.
  static Result<Looked> at(std::string container, pid_t way_in, const Fd& way_in_pidfd, pid_t first,
                           Fd pidfd);
};
bool has_ended(const Fd& pidfd);

struct Listed {
  std::string user;
  std::string container;
  ProcessFacts process;
  std::optional<std::uint64_t> uid;  // inside the container, whatever namespace below it is in
  std::optional<std::uint64_t> gid;
};

// By one look at all processes, however many containers there are; in the containers' order.
Result<std::vector<Listed>> list_processes(std::span<const Looked> looked);

std::string table_of(const std::vector<Listed>& listed, bool with_users);
nlohmann::json json_of(const std::vector<Listed>& listed, bool with_users);
int print_json(const nlohmann::json& object);

// What processes say about themselves, as wide as a table has it.
std::string command_for_table(const std::string& command);

// The containers of all users (usage/host.h).
int ps_host(bool as_json);
// Every user namespace of the machine, and whose it is.
int ps_namespaces(bool as_json);

}  // namespace userns::frontend
