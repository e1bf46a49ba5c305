#include "frontend/cli/usage/host.h"

#include <dirent.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <limits>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "frontend/cli/facts_text.h"
#include "frontend/cli/table.h"
#include "frontend/cli/terminal.h"
#include "frontend/cli/usage/as_user.h"
#include "frontend/container/facts.h"
#include "frontend/spec/printable.h"
#include "frontend/store/processes.h"
#include "frontend/store/registry.h"
#include "policy/cgroup_rules.h"
#include "policy/proc_status.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostUsers = 4096;
constexpr std::size_t kLongestPath = 4096;

// --- who may have some --------------------------------------------------------------------------

Person person_of(const passwd& entry) {
  return {.uid = entry.pw_uid, .gid = entry.pw_gid, .name = entry.pw_name, .home = entry.pw_dir};
}

Person nameless(uid_t uid) {
  return {.uid = uid, .gid = uid, .name = concat(uid), .home = "/nonexistent"};
}

// Everybody who has an account here: whether they have a store is looked at by them. A home can be
// on a file system that does not answer.
void add_accounts(std::vector<Person>& people) {
  ::setpwent();
  while (const passwd* const entry = ::getpwent())  // NOLINT(concurrency-mt-unsafe): one thread
    people.push_back(person_of(*entry));
  ::endpwent();
}

std::string link_text(const std::string& path) {
  std::string text(kLongestPath, '\0');
  const auto size = ::readlink(path.c_str(), text.data(), text.size());
  text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return text;
}

// A monitor holds a file of its container open, wherever that is: its store is looked at, too.
std::string store_of_monitor(const std::string& process) {
  constexpr int kMostFds = 64;
  constexpr std::string_view kEnd = "/running";
  for (int number = 3; number < kMostFds; ++number) {
    auto path = link_text(concat(process, "/fd/", number));
    if (!path.ends_with(kEnd)) continue;
    path.resize(path.size() - kEnd.size());
    path.resize(std::min(path.rfind('/'), path.size()));
    return path;
  }
  return {};
}

using Stores = std::map<uid_t, std::set<std::string>>;

Stores stores_of_monitors() {
  Stores stores;
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), ::closedir);
  while (const dirent* const entry =
             proc ? ::readdir(proc.get()) : nullptr) {  // NOLINT(concurrency-mt-unsafe)
    if (!parse_decimal(entry->d_name)) continue;
    const auto process = concat("/proc/", std::string_view(entry->d_name));
    if (kernel_file(process + "/comm") != "userns-monitor\n") continue;
    const auto status = kernel_file(process + "/status");
    const auto uid = proc_field(status, "Uid");
    std::string_view rest = uid.value_or("");
    const auto real = parse_decimal(take_until(rest, '\t'));
    if (real) stores[static_cast<uid_t>(*real)].insert(store_of_monitor(process));
  }
  return stores;
}

// --- what they say ------------------------------------------------------------------------------

// One list for each, with its end: of what all of them say, only that is kept at once that is told.
std::string own_list(const std::set<std::string>& more) {
  std::set<std::string> paths = more;
  if (const auto known = known_stores()) paths.insert(known->begin(), known->end());
  std::string text;
  for (const auto& path : paths) {
    const auto store = Store::open(path);
    const auto names = store ? store->names() : std::unexpected(store.error());
    if (!names) continue;
    for (const auto& name : *names) {
      const auto container = store->find(name);
      if (!container) continue;
      const auto facts = facts_of(*container);
      text += concat(list_json({&facts, 1}), '\0');
      if (text.size() > kMostSaid) return text;
    }
  }
  return text;
}

std::string text_in(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

std::int64_t number_in(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_integer() ? found->get<std::int64_t>() : 0;
}

// --- what the kernel says -----------------------------------------------------------------------

// Whether the outermost user namespace below ours that the process is in is the user's.
bool is_of_user(pid_t pid, const std::vector<UserNamespace>& spaces, uid_t uid) {
  auto id = user_namespace_id(pid);
  if (id == 0)
    if (const auto child = first_child(pid)) id = user_namespace_id(*child);
  const auto own = user_namespace_id(::getpid());
  for (auto left = spaces.size(); left > 0; --left) {
    const auto found = std::ranges::find(spaces, id, &UserNamespace::id);
    if (found == spaces.end()) return false;
    if (found->parent == own || found->parent == 0) return found->owner == uid && id != own;
    id = found->parent;
  }
  return false;
}

std::string cgroup_of(pid_t pid) {
  constexpr std::string_view kPayload = "/payload";
  const auto text = kernel_file(concat("/proc/", pid, "/cgroup"));
  std::string path(cgroup_path(text, ""));
  const auto at = concat(path, "/").find("/payload/");
  if (at == std::string::npos) return {};
  path.resize(at + kPayload.size());
  const bool is_pure = ::access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
  return concat("/sys/fs/cgroup", is_pure ? "" : "/unified", path);
}

void look_at_first(HostContainer& container, pid_t claimed,
                   const std::vector<UserNamespace>& spaces) {
  const auto first = ProcessId::of(claimed);
  if (!first || !is_of_user(claimed, spaces, container.uid)) {
    container.problem = concat("its record names process ", claimed,
                               ", which is in no user namespace of this user's");
    return;
  }
  container.cgroup = cgroup_of(claimed);
  if (first->lives()) container.first = *first;
}

HostContainer container_from(const Json& object, const Person& person,
                             const std::vector<UserNamespace>& spaces) {
  HostContainer container{.uid = person.uid,
                          .user = person.name,
                          .name = text_in(object, "name"),
                          .path = text_in(object, "path"),
                          .state = text_in(object, "state"),
                          .init = text_in(object, "init"),
                          .problem = text_in(object, "problem"),
                          .started_at = std::max<std::int64_t>(number_in(object, "started_at"), 0)};
  const auto ports = object.find("ports");
  if (ports != object.end() && ports->is_array())
    for (const auto& port : *ports)
      if (port.is_string()) container.ports.push_back(port.get<std::string>());
  const auto pid = number_in(object, "pid");
  if (pid > 0 && pid < std::numeric_limits<pid_t>::max())
    look_at_first(container, static_cast<pid_t>(pid), spaces);
  return container;
}

// One process is one container's, however many records name it: else its memory would be counted
// more than once, and a look would take as long as a user likes.
void refuse_second_claims(std::vector<HostContainer>& all) {
  std::map<pid_t, std::string> claimed;
  for (auto& one : all) {
    if (one.first.pid == 0) continue;
    const auto [known, fresh] = claimed.try_emplace(one.first.pid, one.name);
    if (fresh) continue;
    one.problem = concat("its record names process ", one.first.pid, ", as that of ",
                         printable(known->second), " does");
    one.first = {};
    one.cgroup.clear();
  }
}

void add_all_of(const Person& person, const Result<std::string>& text,
                const std::vector<UserNamespace>& spaces, std::vector<HostContainer>& all,
                std::vector<std::string>& problems) {
  if (!text) problems.push_back(text.error().text);
  for (std::string_view rest = text ? std::string_view(*text) : ""; !rest.empty();) {
    const auto list = Json::parse(take_until(rest, '\0'), nullptr, false);
    if (!list.is_array()) continue;
    for (const auto& object : list)
      if (object.is_object()) all.push_back(container_from(object, person, spaces));
  }
}

// Those of whom something runs, then all with an account, then ids without one, each once: a user
// who has many ids pushes nobody out.
std::vector<Person> people_to_ask(const std::vector<UserNamespace>& spaces, const Stores& stores,
                                  std::vector<std::string>& problems) {
  std::set<uid_t> running;
  for (const auto& space : spaces) running.insert(space.owner);
  for (const auto& [uid, paths] : stores) running.insert(uid);
  std::vector<Person> people;
  std::vector<Person> others;
  for (const auto uid : running) {
    const passwd* const entry = ::getpwuid(uid);  // NOLINT(concurrency-mt-unsafe): one thread
    if (entry != nullptr)
      people.push_back(person_of(*entry));
    else
      others.push_back(nameless(uid));
  }
  add_accounts(people);
  people.insert(people.end(), others.begin(), others.end());
  std::set<uid_t> known;
  std::erase_if(people, [&](const Person& one) { return !known.insert(one.uid).second; });
  if (people.size() <= kMostUsers) return people;
  problems.push_back(concat(people.size() - kMostUsers, " of ", people.size(),
                            " users were not asked: no more than ", kMostUsers, " are"));
  people.resize(kMostUsers);
  return people;
}

std::string limit_text(const std::string& directory, const char* file, bool is_size) {
  const auto number = kernel_number(concat(directory, "/", std::string_view(file)));
  if (!number) return {};
  return is_size ? size_for_people(*number) : concat(*number);
}

// "200000 100000"
std::string cpu_text(const std::string& directory) {
  const auto text = kernel_file(directory + "/cpu.max");
  std::string_view rest = text;
  const auto quota = parse_decimal(take_until(rest, ' '));
  const auto period = parse_decimal(take_until(rest, '\n'));
  return quota && period && *period != 0 ? concat(*quota * 100 / *period, "%") : std::string{};
}

std::vector<std::string> row_of(const HostContainer& one, const Usage* usage, std::int64_t now) {
  const bool runs = one.first.pid != 0;
  std::vector<std::string> row{one.user, one.name, one.state + (one.problem.empty() ? "" : "!")};
  row.push_back(runs ? concat(one.first.pid) : "");
  row.push_back(one.init);
  row.push_back(usage != nullptr && usage->memory ? size_for_people(*usage->memory) : "");
  row.push_back(usage != nullptr && usage->memory_limit ? size_for_people(*usage->memory_limit)
                                                        : "");
  row.push_back(usage != nullptr ? concat(usage->processes) : "");
  row.push_back(runs && one.started_at != 0 ? for_people(now - one.started_at) : "");
  row.push_back(one.path);
  return row;
}

Json json_of(const HostContainer& one, const Usage* usage) {
  const bool runs = one.first.pid != 0;
  Json json;
  json["user"] = one.user;
  json["uid"] = one.uid;
  json["name"] = one.name;
  json["path"] = one.path;
  json["state"] = one.state;
  json["pid"] = runs ? Json(one.first.pid) : Json(nullptr);
  json["init"] = one.init.empty() ? Json(nullptr) : Json(one.init);
  json["memory"] = usage != nullptr && usage->memory ? Json(*usage->memory) : Json(nullptr);
  json["memory_limit"] =
      usage != nullptr && usage->memory_limit ? Json(*usage->memory_limit) : Json(nullptr);
  json["processes"] = usage != nullptr ? Json(usage->processes) : Json(nullptr);
  json["started_at"] = runs && one.started_at != 0 ? Json(one.started_at) : Json(nullptr);
  json["ports"] = one.ports;
  json["cgroup"] = one.cgroup.empty() ? Json(nullptr) : Json(one.cgroup);
  const auto limits = limits_of_user(one);
  json["user_limits"] =
      Json{{"memory", limits.memory}, {"processes", limits.processes}, {"cpu", limits.cpu}};
  json["problem"] = one.problem.empty() ? Json(nullptr) : Json(one.problem);
  return json;
}

struct Seen {
  std::vector<HostContainer> all;
  std::vector<Usage> usage;
  std::vector<std::string> problems;

  [[nodiscard]] const Usage* of(const HostContainer& one) const {
    const auto found = std::ranges::find_if(usage, [&](const Usage& other) {
      return other.user == one.user && other.name == one.name;
    });
    return found == usage.end() || one.first.pid == 0 ? nullptr : &*found;
  }
};

Result<Seen> look() {
  Seen seen;
  auto all = TRY(host_containers(seen.problems));
  seen.all = std::move(all);
  auto usage = TRY(usage_of(to_watched(seen.all)));
  seen.usage = std::move(usage);
  return seen;
}

int tell_problems(const std::vector<std::string>& problems) {
  int status = 0;
  for (const auto& problem : problems)
    status = own_failure({.rule = {}, .code = 0, .text = problem});
  return status;
}

std::string dump(const Json& json) {
  return json.dump(2, ' ', true, Json::error_handler_t::replace) + "\n";
}

}  // namespace

Result<std::vector<HostContainer>> host_containers(std::vector<std::string>& problems) {
  if (::geteuid() != 0) return fail({}, "--host looks at everybody's containers: run it as root");
  const auto spaces = TRY(user_namespaces());
  auto stores = stores_of_monitors();
  for (auto& [uid, paths] : stores) paths.erase("");
  const auto people = people_to_ask(spaces, stores, problems);
  const auto texts =
      as_users(people, [&](const Person& person) { return own_list(stores[person.uid]); });
  std::vector<HostContainer> all;
  for (std::size_t i = 0; i < people.size(); ++i)
    add_all_of(people[i], texts[i], spaces, all, problems);
  refuse_second_claims(all);
  return all;
}

std::vector<Watched> to_watched(const std::vector<HostContainer>& all) {
  std::vector<Watched> watched;
  for (const auto& one : all)
    if (one.first.pid != 0)
      watched.push_back({.user = one.user,
                         .name = one.name,
                         .init = one.first,
                         .cgroup = one.cgroup,
                         .ports = one.ports});
  return watched;
}

// BASE/UID/CONTAINER/payload; one that systemd made is not below a directory of the user's own.
UserLimits limits_of_user(const HostContainer& container) {
  std::string directory = container.cgroup;
  for (int level = 0; level < 2; ++level)
    directory.resize(std::min(directory.rfind('/'), directory.size()));
  if (!directory.ends_with(concat("/", container.uid))) return {};
  return {.memory = limit_text(directory, "memory.max", true),
          .processes = limit_text(directory, "pids.max", false),
          .cpu = cpu_text(directory)};
}

int list_host(bool as_json) {
  const auto seen = look();
  if (!seen) return own_failure(seen.error());
  const auto now = static_cast<std::int64_t>(std::time(nullptr));
  std::vector<std::vector<std::string>> rows{
      {"USER", "NAME", "STATE", "PID", "INIT", "MEMORY", "LIMIT", "PROCESSES", "UPTIME", "PATH"}};
  auto list = Json::array();
  for (const auto& one : seen->all) {
    rows.push_back(row_of(one, seen->of(one), now));
    list.push_back(json_of(one, seen->of(one)));
  }
  const int put = print(as_json ? dump(list) : to_table(rows));
  const int told = tell_problems(seen->problems);
  return put != 0 ? put : told;
}

int info_host(std::string_view which, bool as_json) {
  auto name = which;
  const auto user = std::string(take_until(name, '/'));
  if (user.empty() || name.empty())
    return own_failure({.rule = {},
                        .code = 0,
                        .text = "info --host takes USER/NAME; userns-run list --host shows them"});
  const auto seen = look();
  if (!seen) return own_failure(seen.error());
  std::string text;
  auto list = Json::array();
  for (const auto& one : seen->all) {
    if (one.name != name || (one.user != user && concat(one.uid) != user)) continue;
    const auto json = json_of(one, seen->of(one));
    list.push_back(json);
    if (!text.empty()) text += "\n";
    for (const auto& [key, value] : json.items()) {
      std::string line = concat(key, ":");
      line.append(line.size() < 14 ? 14 - line.size() : 1, ' ');
      if (value.is_null() || value.empty()) continue;
      text +=
          printable(concat(line, value.is_string()
                                     ? value.get<std::string>()
                                     : value.dump(-1, ' ', true, Json::error_handler_t::replace))) +
          "\n";
    }
  }
  if (list.empty())
    return own_failure({.rule = {},
                        .code = ENOENT,
                        .text = concat("there is no container ", quoted(name), " of ", quoted(user),
                                       "; userns-run list --host shows all")});
  return print(as_json ? dump(list.size() == 1 ? list.front() : list) : text);
}

}  // namespace userns::frontend
