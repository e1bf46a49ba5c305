#include "frontend/container/state.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <nlohmann/json.hpp>

#include "frontend/container/files.h"
#include "frontend/start/process_ids.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

using nlohmann::json;

constexpr std::size_t kLargestState = 1UL << 20U;
constexpr int kDeathTakes = 5000;  // ms at most
constexpr int kStartTime = 22;     // proc(5): which field of /proc/PID/stat

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

json json_of(const ProcessId& process) { return {{"pid", process.pid}, {"start", process.start}}; }

ProcessId process_from(const json& object) {
  return {.pid = object.at("pid"), .start = object.at("start")};
}

std::optional<std::string> read_file(const Fd& directory, const char* name) {
  auto text = read_file_at(directory.get(), name, kLargestState);
  return text ? std::optional(std::move(*text)) : std::nullopt;
}

Result<Fd> open_running(const Fd& directory, int flags) {
  auto file = open_at(directory.get(), kRunningFile, flags | O_NOFOLLOW, 0,
                      (flags & O_CREAT) != 0 ? 0600 : 0);
  if (!file) return fail({}, "cannot open the container's lock (running)", file.error().code);
  return file;
}

Result<bool> is_locked(const Fd& directory) {
  const auto file = open_running(directory, O_RDWR);
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

void kill_cgroup(const std::string& path) {
  if (path.empty()) return;
  const auto directory = open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!directory) return;
  if (const auto kill = open_at(directory->get(), "cgroup.kill", O_WRONLY))
    (void)write_once(*kill, "1");
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
  return json{{"boot_id", state.boot_id},
              {"monitor", json_of(state.monitor)},
              {"init", json_of(state.init)},
              {"started_at", state.started_at},
              {"kind", state.kind},
              {"restarts", state.restarts},
              {"namespaces", state.namespaces},
              {"cgroup", state.cgroup},
              {"own_root", state.own_root},
              {"dress", json_of(state.dress)},
              {"command", state.command},
              {"autostart", state.autostart},
              {"groups", state.groups}}
             .dump(-1, ' ', false, json::error_handler_t::replace) +
         "\n";
}

Result<State> state_from_json(std::string_view text) {
  try {
    const auto object = json::parse(text);
    return State{.boot_id = object.at("boot_id"),
                 .monitor = process_from(object.at("monitor")),
                 .init = process_from(object.at("init")),
                 .started_at = object.at("started_at"),
                 .kind = object.at("kind"),
                 .restarts = object.at("restarts"),
                 .namespaces = object.at("namespaces"),
                 .cgroup = object.at("cgroup"),
                 .own_root = object.at("own_root"),
                 .dress = dress_from(object.at("dress")),
                 .command = object.at("command"),
                 .autostart = object.value("autostart", false),
                 .groups = object.value("groups", std::vector<std::string>{})};
  } catch (const json::exception& error) {
    return fail({}, concat("the container's state.json is not what a start wrote: ",
                           std::string_view(error.what())));
  }
}

Result<std::optional<State>> read_state(const Fd& directory) {
  const auto locked = is_locked(directory);
  if (!locked) return std::unexpected(locked.error());
  if (!*locked) return std::nullopt;
  const auto text = read_file(directory, kStateFile);
  if (!text || text->empty()) return starting();
  auto state = state_from_json(*text);
  if (!state) return std::unexpected(state.error());
  // Of an earlier run, until the one that holds the lock has got as far.
  if (state->boot_id != boot_id() || !state->monitor.lives()) return starting();
  return std::move(*state);
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
  if (::faccessat(directory.get(), kStateFile, F_OK, AT_SYMLINK_NOFOLLOW) == 0) return std::nullopt;
  return read_last_end(directory);
}

Result<void> write_state(const Fd& directory, const State& state) {
  return replace_file_of_this_boot(directory, kStateFile, to_json(state));
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
  auto file = open_running(directory, O_RDWR | O_CREAT);
  if (!file) return std::unexpected(file.error());
  struct flock lock{};
  lock.l_type = F_WRLCK;
  if (::fcntl(file->get(), F_OFD_SETLK, &lock) == 0) return std::optional(std::move(*file));
  if (errno == EAGAIN || errno == EACCES) return std::nullopt;
  return fail_errno("cannot lock the container (running)");
}

Result<void> clean_up_after_crash(const Fd& directory) {
  for (const char* name : {kControlFile, kStartedFile}) (void)::unlinkat(directory.get(), name, 0);
  const auto text = read_file(directory, kStateFile);
  if (!text) return {};
  const auto state = state_from_json(*text);
  if (state && state->boot_id == boot_id()) {
    kill_leftover(state->init);
    kill_cgroup(state->cgroup);
  }
  if (::unlinkat(directory.get(), kStateFile, 0) != 0 && errno != ENOENT)
    return fail_errno("cannot remove the container's old state.json");
  return {};
}

}  // namespace userns::frontend
