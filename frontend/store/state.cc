#include "frontend/store/state.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <memory>
#include <nlohmann/json.hpp>

#include "common/config.h"
#include "frontend/events/event_log.h"
#include "frontend/run/cgroup/files.h"
#include "frontend/run/helper.h"
#include "frontend/spec/printable.h"
#include "frontend/start/ids/in_map.h"
#include "frontend/start/ids/process_ids.h"
#include "frontend/store/files.h"
#include "frontend/store/id_blocks.h"
#include "frontend/store/unfinished.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kLargestState = 64UL << 20U;  // what execve(2) takes, escaped
constexpr int kDeathTakes = 5000;                   // ms at most
constexpr int kLookEvery = 20;                      // ms
constexpr std::size_t kLongestPath = 4096;
constexpr int kStartTime = 22;  // proc(5): which field of /proc/PID/stat

json json_of(const Dress& dress) {
  json object{{"cap_drop", dress.cap_drop}, {"no_new_privs", dress.no_new_privs},
              {"seccomp", dress.seccomp},   {"nesting", dress.nesting},
              {"rlimits", json::array()},   {"env", dress.env}};
  if (dress.cap_keep) object["cap_keep"] = *dress.cap_keep;
  for (const auto& limit : dress.rlimits)
    object["rlimits"].push_back({limit.resource, limit.soft, limit.hard});
  return object;
}

Dress dress_from(const json& object) {
  Dress dress{.cap_drop = object.at("cap_drop"),
              .cap_keep = {},
              .no_new_privs = object.at("no_new_privs"),
              .seccomp = object.at("seccomp"),
              .nesting = object.at("nesting"),
              .rlimits = {},
              .env = object.at("env")};
  if (object.contains("cap_keep")) dress.cap_keep = object.at("cap_keep").get<std::vector<int>>();
  for (const auto& limit : object.at("rlimits"))
    dress.rlimits.push_back({.resource = limit.at(0), .soft = limit.at(1), .hard = limit.at(2)});
  return dress;
}

json json_of(const std::vector<IdRange>& ranges) {
  auto list = json::array();
  for (const auto& range : ranges) list.push_back({range.first(), range.count()});
  return list;
}

std::vector<IdRange> ranges_from(const json& list) {
  std::vector<IdRange> ranges;
  for (const auto& pair : list)
    if (const auto range = IdRange::make(pair.at(0), pair.at(1))) ranges.push_back(*range);
  return ranges;
}

json json_of(const ProcessId& process) { return {{"pid", process.pid}, {"start", process.start}}; }

ProcessId process_from(const json& object) {
  return {.pid = object.at("pid"), .start = object.at("start")};
}

std::optional<std::string> read_file(const Fd& directory, const char* name) {
  auto text = read_file_at(directory.get(), name, kLargestState);
  return text ? std::optional(std::move(*text)) : std::nullopt;
}

bool exists(const Fd& directory, const char* name) {
  return ::faccessat(directory.get(), name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

Result<Fd> open_running(const Fd& directory, int flags) {
  auto file = open_at(directory.get(), kRunningFile, flags | O_NOFOLLOW, 0,
                      (flags & O_CREAT) != 0 ? 0600 : 0);
  if (!file) return fail({}, "cannot open the container's lock (running)", file.error().code);
  return file;
}

Result<bool> is_locked(const Fd& directory) {
  const auto file = open_running(directory, O_RDONLY);  // a store may be read-only by now
  if (!file && file.error().code == ENOENT) return false;
  if (!file) return std::unexpected(file.error());
  struct flock lock{};
  lock.l_type = F_WRLCK;
  if (::fcntl(file->get(), F_OFD_GETLK, &lock) != 0)
    return fail_errno("cannot look at the container's lock (running)");
  return lock.l_type != F_UNLCK;
}

// Whoever reads the state may have come while it was replaced: what is not there yet is being
// started.
State starting() {
  State state;
  state.boot_id = boot_id();
  return state;
}

void kill_leftover(const ProcessId& process) {
  const Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
  // After the pidfd is open: then the number and the time of start are of the process that it
  // holds.
  if (!pidfd.valid() || !process.lives()) return;
  (void)::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
  pollfd ended{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  (void)::poll(&ended, 1, kDeathTakes);  // what it holds (a NIC, mounts) is free then
}

// Whoever merely reads the file, such as a backup or a search, has it open without its lock.
bool has_lock(pid_t pid, pid_t number) {
  constexpr std::size_t kLargestInfo = 4096;
  const auto file = open_at(AT_FDCWD, concat("/proc/", pid, "/fdinfo/", number).c_str(), O_RDONLY);
  return file && read_all(*file, kLargestInfo).value_or("").contains("OFDLCK");
}

std::vector<pid_t> numbers_in(const std::string& path) {
  std::vector<pid_t> numbers;
  const std::unique_ptr<DIR, int (*)(DIR*)> list(::opendir(path.c_str()), ::closedir);
  while (const dirent* const entry =
             list ? ::readdir(list.get()) : nullptr)  // NOLINT(concurrency-mt-unsafe): one thread
    if (const auto number = parse_decimal(entry->d_name))
      numbers.push_back(static_cast<pid_t>(*number));
  return numbers;
}

// It may be the caller's own text, but it is shown on terminals.
std::string printable_version(const State& state) {
  constexpr std::size_t kMost = 32;
  return printable(std::string_view(state.version).substr(0, kMost));
}

// A namespace's id says it, where the kernel has such ids. Its number alone may be another one's by
// now: that of a process as old as the container, with its root directory or ids of its own, is
// not. One that does not show its namespace may be another container's with which this one shares
// ids.
bool was_of(const State& state, const Seen& seen) {
  if (seen.start() < state.init.start) return false;
  if (const auto is_in = seen.is_in_id(state.user_namespace_id)) return *is_in;
  return seen.is_in(state.user_namespace) &&
         (seen.has_one_of(state.ids) || seen.has_root(state.root)) &&
         !is_of_a_living_run(seen, state.user_namespace);
}

std::vector<Remainder> kill_rest(const State& state) {
  std::vector<Remainder> rest;
  if (state.user_namespace == 0) return rest;
  const auto is_one = [&](const Seen& seen) { return was_of(state, seen); };
  // A look at all processes takes a while itself where there are many.
  const auto until = Clock::now() + std::chrono::milliseconds(kDeathTakes);
  do {
    rest = remains(is_one, true);
    if (rest.empty()) break;
    (void)::poll(nullptr, 0, kLookEvery);
  } while (Clock::now() < until);
  return rest;
}

void kill_cgroup(const std::string& path) {
  if (path.empty()) return;
  const auto directory = open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!directory) return;
  if (const auto kill = open_at(directory->get(), "cgroup.kill", O_WRONLY))
    (void)write_once(*kill, "1");
}

// What root inside has made below is removed with the container's ids, the caller being root.
void remove_scope(const Fd& directory, const std::string& path, const OwnIds& ids) {
  remove_cgroups_below(directory);
  const auto all = ids_to_delete_with(Holder{.path = path, .uids = ids.uids, .gids = ids.gids});
  if (::faccessat(directory.get(), "payload", F_OK, 0) == 0 && all)
    (void)in_map(*all, [&](const Outside&) -> Result<std::string> {
      (void)remove_cgroups_below(directory);
      return "";
    });
  (void)::rmdir(path.c_str());
}

// After its processes were killed. A scope without any would be removed by systemd, which cannot
// remove what is not its user's; what is below userns-cgroup is the helper's to remove.
void remove_cgroup(const State& state) {
  const auto& path = state.cgroup;
  const auto name = path.substr(path.rfind('/') + 1);
  const auto directory = open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (path.empty() || !directory) return;
  for (int left = kDeathTakes / kLookEvery; left > 0; --left) {
    const auto file = open_at(directory->get(), "cgroup.events", O_RDONLY);
    const auto events = file ? read_all(*file, kLargestState).value_or("") : std::string{};
    if (!events.contains("populated 1")) break;
    (void)::poll(nullptr, 0, kLookEvery);
  }
  (void)::unlinkat(directory->get(), "payload", AT_REMOVEDIR);
  if (name.ends_with(".scope")) return remove_scope(*directory, path, state.ids);
  if (!path.substr(0, path.size() - name.size()).ends_with(concat("/", ::getuid(), "/"))) return;
  const auto program = concat(std::string_view(kHelperDir), "/userns-cgroup");
  const auto nowhere = open_at(AT_FDCWD, "/dev/null", O_WRONLY);
  if (auto helper = nowhere ? Helper::start(program.c_str(), {"release", name}, &*nowhere)
                            : std::unexpected(nowhere.error()))
    (void)helper->finish();
}

// Who was killed could not say so.
void note_killed(const Fd& directory, bool of_this_boot) {
  std::string path(kLongestPath, '\0');
  const auto size =
      ::readlink(concat("/proc/self/fd/", directory.get()).c_str(), path.data(), path.size());
  if (size <= 0) return;
  path.resize(static_cast<std::size_t>(size));
  write_event_of(directory, {.name = path.substr(path.rfind('/') + 1),
                             .what = std::string(event::kDie),
                             .text = of_this_boot ? "its monitor was killed"
                                                  : "the machine went down while it ran"});
}

}  // namespace

std::optional<ProcessId> ProcessId::of(pid_t pid) {
  const auto text = stat_of_process(pid);
  std::string_view rest = text;
  for (int field = 3; field < kStartTime; ++field) take_until(rest, ' ');
  const auto start = parse_decimal(take_until(rest, ' '));
  return start ? std::optional(ProcessId{.pid = pid, .start = *start}) : std::nullopt;
}

bool ProcessId::lives() const {
  if (pid <= 0) return false;
  const auto found = of(pid);
  return found && found->start == start;
}

bool ProcessId::is_stopped() const {
  const auto text = pid > 0 ? stat_of_process(pid) : std::string{};
  return (text.starts_with('T') || text.starts_with('t')) && lives();
}

std::string boot_id() {
  const auto file = open_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", O_RDONLY);
  auto text = file ? read_all(*file, 100).value_or("") : std::string{};
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

std::string to_json(const State& state) {
  return json{{"version", state.version},
              {"boot_id", state.boot_id},
              {"monitor", json_of(state.monitor)},
              {"init", json_of(state.init)},
              {"started_at", state.started_at},
              {"kind", state.kind},
              {"restarts", state.restarts},
              {"namespaces", state.namespaces},
              {"user_namespace", state.user_namespace},
              {"user_namespace_id", state.user_namespace_id},
              {"root", {state.root.device, state.root.inode}},
              {"uids", json_of(state.ids.uids)},
              {"gids", json_of(state.ids.gids)},
              {"cgroup", state.cgroup},
              {"own_root", state.own_root},
              {"dress", json_of(state.dress)},
              {"command", state.command},
              {"autostart", state.autostart},
              {"groups", state.groups}}
             .dump(-1, ' ', false, json::error_handler_t::replace) +
         "\n";
}

State state_from_json(std::string_view text) {
  State state;
  const auto object = json::parse(text, nullptr, false);
  std::string unread;  // the first of the keys that are not there, or not what they are here
  const auto take = [&](const char* key, const auto& assign) {
    try {
      assign(object.at(key));
    } catch (const json::exception&) {
      if (unread.empty()) unread = key;
    }
  };
  const auto take_if_there = [&](const char* key, const auto& assign) {
    if (object.is_object() && object.contains(key)) take(key, assign);
  };
  take_if_there("version", [&](const json& value) { state.version = value; });
  take("boot_id", [&](const json& value) { state.boot_id = value; });
  take("monitor", [&](const json& value) { state.monitor = process_from(value); });
  take("init", [&](const json& value) { state.init = process_from(value); });
  take("started_at", [&](const json& value) { state.started_at = value; });
  take("kind", [&](const json& value) { state.kind = value; });
  take("restarts", [&](const json& value) { state.restarts = value; });
  take("namespaces", [&](const json& value) { state.namespaces = value; });
  take("cgroup", [&](const json& value) { state.cgroup = value; });
  take("own_root", [&](const json& value) { state.own_root = value; });
  take("dress", [&](const json& value) { state.dress = dress_from(value); });
  take("command", [&](const json& value) { state.command = value; });
  // Those that later versions have added.
  take_if_there("autostart", [&](const json& value) { state.autostart = value; });
  take_if_there("groups", [&](const json& value) { state.groups = value; });
  take_if_there("user_namespace", [&](const json& value) { state.user_namespace = value; });
  take_if_there("user_namespace_id", [&](const json& value) { state.user_namespace_id = value; });
  take_if_there("root", [&](const json& value) {
    state.root = {.device = value.at(0), .inode = value.at(1)};
  });
  take_if_there("uids", [&](const json& value) { state.ids.uids = ranges_from(value); });
  take_if_there("gids", [&](const json& value) { state.ids.gids = ranges_from(value); });
  if (!object.is_object())
    state.problem = "damaged (state.json)";
  else if (!unread.empty())
    state.problem =
        concat(state.version.empty() ? "written by another version"
                                     : concat("written by version ", printable_version(state)),
               ", which this one (", std::string_view(kVersion), ") does not read (", unread, ")");
  return state;
}

std::optional<ProcessId> find_monitor(const Fd& directory) {
  struct stat wanted{};
  if (::fstatat(directory.get(), kRunningFile, &wanted, AT_SYMLINK_NOFOLLOW) != 0)
    return std::nullopt;
  for (const auto pid : numbers_in("/proc"))
    for (const auto number : numbers_in(concat("/proc/", pid, "/fd"))) {
      struct stat facts{};
      if (::stat(concat("/proc/", pid, "/fd/", number).c_str(), &facts) != 0) continue;
      if (facts.st_dev == wanted.st_dev && facts.st_ino == wanted.st_ino && pid != ::getpid() &&
          has_lock(pid, number))
        return ProcessId::of(pid);
    }
  return std::nullopt;
}

Result<std::optional<State>> read_state(const Fd& directory) {
  const auto locked = TRY(is_locked(directory));
  if (!locked) return std::nullopt;
  const auto text = read_file(directory, kStateFile);
  if (!text && !exists(directory, kStateFile)) return starting();
  auto state = state_from_json(text.value_or(""));
  if (!state.problem.empty() && state.monitor.pid == 0)
    state.monitor = find_monitor(directory).value_or(ProcessId{});
  // Of an earlier run, until the one that holds the lock has got as far.
  const bool is_of_this_boot = state.boot_id == boot_id() || state.boot_id.empty();
  if (!is_of_this_boot || !state.monitor.lives()) return starting();
  return state;
}

std::optional<LastEnd> read_last_end(const Fd& directory) {
  const auto text = read_file(directory, kLastFile);
  if (!text) return std::nullopt;
  try {
    const auto object = json::parse(*text);
    return LastEnd{.exit_status = object.at("exit_status"),
                   .ended_at = object.at("ended_at"),
                   .text = object.value("text", "")};
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

std::optional<LastEnd> read_orderly_end(const Fd& directory) {
  if (exists(directory, kStateFile)) return std::nullopt;
  return read_last_end(directory);
}

Result<void> write_state(const Fd& directory, const State& state) {
  const auto text = to_json(state);
  if (text.size() > kLargestState)
    return fail({}, concat("the command and its variables are too long for state.json: ",
                           text.size(), " bytes, at most ", kLargestState));
  return replace_file_of_this_boot(directory, kStateFile, text);
}

std::vector<std::string> read_started(const Fd& directory) {
  const auto text = read_file(directory, kStartedFile);
  std::vector<std::string> words;
  for (std::string_view rest = text ? std::string_view(*text) : ""; !rest.empty();)
    words.emplace_back(take_until(rest, '\0'));
  return words;
}

Result<void> write_started(const Fd& directory, const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += word + '\0';
  return replace_file_of_this_boot(directory, kStartedFile, text);
}

Result<std::optional<Fd>> lock_run(const Fd& directory) {
  auto file = TRY(open_running(directory, O_RDWR | O_CREAT));
  struct flock lock{};
  lock.l_type = F_WRLCK;
  if (::fcntl(file.get(), F_OFD_SETLK, &lock) == 0) return std::optional(std::move(file));
  if (errno == EAGAIN || errno == EACCES) return std::nullopt;
  return fail_errno("cannot lock the container (running)");
}

Result<void> clean_up_after_crash(const Fd& directory) {
  for (const char* name : {kControlFile, kStartedFile, kReadyFile})
    (void)::unlinkat(directory.get(), name, 0);
  const auto text = read_file(directory, kStateFile);
  if (!text) return {};
  const auto state = state_from_json(*text);
  if (state.boot_id == boot_id()) {
    kill_leftover(state.init);
    kill_cgroup(state.cgroup);
    if (const auto rest = kill_rest(state); !rest.empty())
      return fail({},
                  concat("the container's last run is not over: ", to_text(rest),
                         rest.size() > 1 ? " do" : " does",
                         " not die, in a file system that does not answer, perhaps; its ids stay "
                         "its own until then"),
                  EBUSY);
    remove_cgroup(state);
  }
  if (::unlinkat(directory.get(), kStateFile, 0) != 0)
    return errno == ENOENT ? Result<void>{}
                           : fail_errno("cannot remove the container's old state.json");
  note_killed(directory, state.boot_id == boot_id());
  return {};
}

}  // namespace userns::frontend
