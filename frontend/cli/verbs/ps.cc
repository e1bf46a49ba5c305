#include "frontend/cli/verbs/ps.h"

#include <poll.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "frontend/cli/table.h"
#include "frontend/cli/terminal.h"
#include "frontend/cli/verbs/select.h"
#include "frontend/container/connection.h"
#include "frontend/spec/printable.h"
#include "frontend/start/ids/process_ids.h"
#include "frontend/store/processes.h"
#include "frontend/store/state.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

using nlohmann::json;

constexpr std::size_t kCommandWidth = 60;

struct Listed {
  std::string container;
  ProcessFacts process;
  std::optional<std::uint64_t> uid;  // inside the container, whatever namespace below it is in
  std::optional<std::uint64_t> gid;
};

std::optional<std::uint64_t> inside(const ChosenMap& map, std::uint32_t outside) {
  const auto one = IdRange::make(outside, 1);
  for (const auto& extent : map.extents)
    if (one && extent.outside().contains(*one))
      return extent.inside().first() + outside - extent.outside().first();
  return std::nullopt;
}

struct Asked {
  std::string container;
  ino_t top = 0;
  ChosenIds ids;
  InitProcess first;
};

Result<Asked> ask(const Container& container) {
  const auto init = TRY(find_way_in(container));
  auto ids = TRY(ids_of_process(init.pid));
  const auto top = TRY(top_namespace(init.pid, init.pidfd));
  auto first = TRY(find_init_process(container));
  return Asked{
      .container = container.name(), .top = top, .ids = std::move(ids), .first = std::move(first)};
}

bool has_ended(const InitProcess& process) {
  pollfd ended{.fd = process.pidfd.get(), .events = POLLIN, .revents = 0};
  return ::poll(&ended, 1, 0) != 0;
}

// Process 1 of --init hides from its caller in which namespaces it is.
void add_hidden_first(std::vector<ProcessFacts>& processes, const Asked& asked) {
  const auto pid = asked.first.pid;
  if (std::ranges::find(processes, pid, &ProcessFacts::pid) != processes.end()) return;
  auto first = process_in(pid, asked.top);
  if (first && !has_ended(asked.first)) processes.insert(processes.begin(), std::move(*first));
}

// By one look at all processes, however many containers there are; in the containers' order.
Result<std::vector<Listed>> list(const std::vector<Asked>& asked) {
  std::vector<ino_t> tops;
  for (const auto& one : asked) tops.push_back(one.top);
  auto processes = TRY(processes_in(tops));
  for (const auto& one : asked) add_hidden_first(processes, one);
  std::ranges::stable_sort(processes, {}, [&](const ProcessFacts& process) {
    return std::ranges::find(tops, process.top) - tops.begin();
  });
  std::vector<Listed> listed;
  for (auto& process : processes) {
    const auto& of = *std::ranges::find(asked, process.top, &Asked::top);
    const auto uid = inside(of.ids.uids, process.uid);
    const auto gid = inside(of.ids.gids, process.gid);
    listed.push_back(
        {.container = of.container, .process = std::move(process), .uid = uid, .gid = gid});
  }
  return listed;
}

// The named ones, or all that run.
Result<std::vector<Container>> wanted(const Words& words) {
  if (!words.names.empty() || words.has("group")) return selected(words);
  const auto store = TRY(store_of(words));
  const auto names = TRY(store.names());
  std::vector<Container> running;
  for (const auto& name : names) {
    auto container = store.find(name);
    const auto state =
        container ? read_state(container->dir()) : Result<std::optional<State>>(std::nullopt);
    if (state && *state && (*state)->init.pid != 0) running.push_back(std::move(*container));
  }
  return running;
}

// One that has ended, or is just doing so, is not a failure to look at it.
bool runs_still(const Container& container) {
  const auto init = find_init_process(container);
  return init ? !has_ended(*init) : init.error().code != 0;
}

// Those that are named must run. Of the others, one that ends meanwhile is left out, and one that
// cannot be looked at is told about: the rest are listed all the same.
Result<int> ask_all(std::vector<Asked>& asked, const std::vector<Container>& containers,
                    bool named) {
  int status = 0;
  for (const auto& container : containers) {
    auto one = ask(container);
    if (one) asked.push_back(std::move(*one));
    if (one) continue;
    if (named) return std::unexpected(one.error());
    if (runs_still(container)) status = own_failure(one.error());
  }
  return status;
}

std::string text_of(const std::optional<std::uint64_t>& id) {
  return id ? concat(*id) : std::string{};
}

std::string table_of(const std::vector<Listed>& listed) {
  std::vector<std::vector<std::string>> rows{
      {"CONTAINER", "PID", "INSIDE", "UID", "INSIDE", "GID", "INSIDE", "USERNS", "COMMAND"}};
  for (const auto& [container, process, uid, gid] : listed)
    rows.push_back({container, concat(process.pid), concat(process.inside), concat(process.uid),
                    text_of(uid), concat(process.gid), text_of(gid), concat(process.user_namespace),
                    printable_bytes(process.command.substr(0, kCommandWidth))});
  return to_table(rows);
}

json json_of(const Listed& listed) {
  const auto& process = listed.process;
  json object{{"container", listed.container},
              {"pid", process.pid},
              {"pid_inside", process.inside},
              {"uid", process.uid},
              {"gid", process.gid},
              {"user_namespace", process.user_namespace},
              {"command", process.command}};
  if (listed.uid) object["uid_inside"] = *listed.uid;
  if (listed.gid) object["gid_inside"] = *listed.gid;
  return object;
}

json json_of(const std::vector<Listed>& listed) {
  auto list = json::array();
  for (const auto& one : listed) list.push_back(json_of(one));
  return list;
}

int print_json(const json& object) {
  return print(object.dump(-1, ' ', true, json::error_handler_t::replace) + "\n");
}

std::string user_name(std::uint32_t uid) {
  const passwd* const entry = ::getpwuid(uid);  // NOLINT(concurrency-mt-unsafe): one thread
  return entry == nullptr ? std::string{} : printable(entry->pw_name);
}

int show_host(bool as_json) {
  if (::geteuid() != 0)
    return own_failure({.rule = {},
                        .code = 0,
                        .text = "ps --host looks into everybody's processes: run it as root"});
  const auto spaces = user_namespaces();
  if (!spaces) return own_failure(spaces.error());
  std::vector<std::vector<std::string>> rows{
      {"USERNS", "PARENT", "OWNER", "USER", "PROCESSES", "FIRST", "COMMAND"}};
  auto list = json::array();
  for (const auto& space : *spaces) {
    rows.push_back({concat(space.id), space.parent == 0 ? "" : concat(space.parent),
                    concat(space.owner), user_name(space.owner), concat(space.processes),
                    concat(space.first), printable_bytes(space.command.substr(0, kCommandWidth))});
    list.push_back({{"id", space.id},
                    {"parent", space.parent},
                    {"owner", space.owner},
                    {"user", user_name(space.owner)},
                    {"processes", space.processes},
                    {"first", space.first},
                    {"command", space.command}});
  }
  return as_json ? print_json(list) : print(to_table(rows));
}

int ps_verb(const Words& words) {
  if (words.has("host")) return show_host(words.has("json"));
  const auto containers = wanted(words);
  if (!containers) return own_failure(containers.error());
  std::vector<Asked> asked;
  const auto status = ask_all(asked, *containers, !words.names.empty());
  if (!status) return own_failure(status.error());
  const auto listed = list(asked);
  if (!listed) return own_failure(listed.error());
  const int put = words.has("json") ? print_json(json_of(*listed)) : print(table_of(*listed));
  return put != 0 ? put : *status;
}

constexpr std::array kPsOptions{
    VerbOption{"host", "", "every user namespace of the machine, and whose it is (root)", false},
    VerbOption{"json", "", "for programs", false}, kGroupOption, kPathOption};

}  // namespace

constinit const Verb kPsVerb{
    .name = "ps",
    .arguments = "[NAME...] [OPTIONS]",
    .summary = "Lists the processes of containers, with their ids on both sides",
    .options = kPsOptions,
    .run = ps_verb,
    .kind = VerbKind::kLook};

}  // namespace userns::frontend
