#include "frontend/cli/usage/process_list.h"

#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>

#include "frontend/cli/table.h"
#include "frontend/cli/terminal.h"
#include "frontend/cli/usage/host.h"
#include "frontend/spec/printable.h"
#include "frontend/start/ids/process_ids.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

using nlohmann::json;

constexpr std::size_t kCommandWidth = 60;

std::optional<std::uint64_t> inside(const ChosenMap& map, std::uint32_t outside) {
  const auto one = IdRange::make(outside, 1);
  for (const auto& extent : map.extents)
    if (one && extent.outside().contains(*one))
      return extent.inside().first() + outside - extent.outside().first();
  return std::nullopt;
}

// Process 1 of --init hides from its caller in which namespaces it is.
void add_hidden_first(std::vector<ProcessFacts>& processes, const Looked& looked) {
  const auto pid = looked.first;
  if (std::ranges::find(processes, pid, &ProcessFacts::pid) != processes.end()) return;
  auto first = process_in(pid, looked.top);
  if (first && !has_ended(looked.pidfd)) processes.insert(processes.begin(), std::move(*first));
}

std::string text_of(const std::optional<std::uint64_t>& id) {
  return id ? concat(*id) : std::string{};
}

json json_of(const Listed& listed, bool with_users) {
  const auto& process = listed.process;
  json object{{"container", listed.container},
              {"pid", process.pid},
              {"pid_inside", process.inside},
              {"uid", process.uid},
              {"gid", process.gid},
              {"user_namespace", process.user_namespace},
              {"command", process.command}};
  if (with_users) object["user"] = listed.user;
  if (listed.uid) object["uid_inside"] = *listed.uid;
  if (listed.gid) object["gid_inside"] = *listed.gid;
  return object;
}

std::string user_name(std::uint32_t uid) {
  const passwd* const entry = ::getpwuid(uid);  // NOLINT(concurrency-mt-unsafe): one thread
  return entry == nullptr ? std::string{} : printable(entry->pw_name);
}

int tell(std::string_view text) {
  return own_failure({.rule = {}, .code = 0, .text = std::string(text)});
}

// One that ends as it is looked at is left out.
Result<std::optional<Looked>> look_at(const HostContainer& container) {
  Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, container.first.pid, 0)));
  if (!pidfd.valid()) return std::nullopt;
  Fd again(::fcntl(pidfd.get(), F_DUPFD_CLOEXEC, 0));
  auto looked =
      Looked::at(container.name, container.first.pid, pidfd, container.first.pid, std::move(again));
  // The number may have become another's before the pidfd was there.
  if (has_ended(pidfd) || !container.first.lives()) return std::nullopt;
  if (!looked) return std::unexpected(looked.error());
  looked->user = container.user;
  return std::move(*looked);
}

}  // namespace

Result<Looked> Looked::at(std::string container, pid_t way_in, const Fd& way_in_pidfd, pid_t first,
                          Fd pidfd) {
  auto ids = TRY(ids_of_process(way_in));
  const auto top = TRY(top_namespace(way_in, way_in_pidfd));
  return Looked{.user = {},
                .container = std::move(container),
                .top = top,
                .ids = std::move(ids),
                .first = first,
                .pidfd = std::move(pidfd)};
}

bool has_ended(const Fd& pidfd) {
  pollfd ended{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  return ::poll(&ended, 1, 0) != 0;
}

Result<std::vector<Listed>> list_processes(std::span<const Looked> looked) {
  std::vector<ino_t> tops;
  for (const auto& one : looked) tops.push_back(one.top);
  auto processes = TRY(processes_in(tops));
  for (const auto& one : looked) add_hidden_first(processes, one);
  std::ranges::stable_sort(processes, {}, [&](const ProcessFacts& process) {
    return std::ranges::find(tops, process.top) - tops.begin();
  });
  std::vector<Listed> listed;
  for (auto& process : processes) {
    const auto& of = *std::ranges::find(looked, process.top, &Looked::top);
    const auto uid = inside(of.ids.uids, process.uid);
    const auto gid = inside(of.ids.gids, process.gid);
    listed.push_back({.user = of.user,
                      .container = of.container,
                      .process = std::move(process),
                      .uid = uid,
                      .gid = gid});
  }
  return listed;
}

std::string command_for_table(const std::string& command) {
  return printable_bytes(command.substr(0, kCommandWidth));
}

std::string table_of(const std::vector<Listed>& listed, bool with_users) {
  std::vector<std::vector<std::string>> rows{
      {"CONTAINER", "PID", "INSIDE", "UID", "INSIDE", "GID", "INSIDE", "USERNS", "COMMAND"}};
  for (const auto& [user, container, process, uid, gid] : listed)
    rows.push_back({container, concat(process.pid), concat(process.inside), concat(process.uid),
                    text_of(uid), concat(process.gid), text_of(gid), concat(process.user_namespace),
                    command_for_table(process.command)});
  for (std::size_t i = 0; with_users && i < rows.size(); ++i)
    rows[i].insert(rows[i].begin(), i == 0 ? "USER" : listed[i - 1].user);
  return to_table(std::move(rows));
}

json json_of(const std::vector<Listed>& listed, bool with_users) {
  auto list = json::array();
  for (const auto& one : listed) list.push_back(json_of(one, with_users));
  return list;
}

int print_json(const json& object) {
  return print(object.dump(-1, ' ', true, json::error_handler_t::replace) + "\n");
}

int ps_host(bool as_json) {
  std::vector<std::string> problems;
  const auto all = host_containers(problems);
  if (!all) return own_failure(all.error());
  std::vector<Looked> looked;
  for (const auto& container : *all) {
    if (container.first.pid == 0) continue;
    auto one = look_at(container);
    if (!one) problems.push_back(one.error().text);
    if (one && *one) looked.push_back(std::move(**one));
  }
  const auto listed = list_processes(looked);
  if (!listed) return own_failure(listed.error());
  const int put = as_json ? print_json(json_of(*listed, true)) : print(table_of(*listed, true));
  int status = put;
  for (const auto& problem : problems) status = tell(printable(problem));
  return status;
}

int ps_namespaces(bool as_json) {
  if (::geteuid() != 0)
    return own_failure(
        {.rule = {},
         .code = 0,
         .text = "ps --namespaces looks into everybody's processes: run it as root"});
  const auto spaces = user_namespaces();
  if (!spaces) return own_failure(spaces.error());
  std::vector<std::vector<std::string>> rows{
      {"USERNS", "PARENT", "OWNER", "USER", "PROCESSES", "FIRST", "COMMAND"}};
  auto list = json::array();
  for (const auto& space : *spaces) {
    rows.push_back({concat(space.id), space.parent == 0 ? "" : concat(space.parent),
                    concat(space.owner), user_name(space.owner), concat(space.processes),
                    concat(space.first), command_for_table(space.command)});
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

}  // namespace userns::frontend
