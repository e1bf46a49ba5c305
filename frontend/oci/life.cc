#include "frontend/oci/life.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <optional>

#include "frontend/oci/cgroup/make.h"
#include "frontend/oci/cgroup/members.h"
#include "frontend/oci/config/read_config.h"
#include "frontend/oci/engine/agent.h"
#include "frontend/oci/inside/hooks.h"
#include "frontend/oci/inside/ids.h"
#include "frontend/run/channel.h"
#include "frontend/store/files.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

// A number that was given to somebody else meanwhile is not the container's.
Result<Fd> hold(const ProcessId& process) {
  Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
  if (!pidfd.valid() || !process.lives())
    return fail({}, "the container's process has ended", ESRCH);
  return pidfd;
}

Result<void> send_signal(const Fd& pidfd, int number) {
  if (::syscall(SYS_pidfd_send_signal, pidfd.get(), number, nullptr, 0) == 0) return {};
  return fail_errno(concat("cannot send signal ", number, " to the container's process"));
}

using Agent = std::optional<SeccompAgent>;

// A process whose calls nobody answers for would wait for ever.
Result<void> hand_on(const Agent& agent, const Fd& listener, const OciRecord& record) {
  const auto state = state_text(record, OciStatus::kCreated);
  const auto handed = agent ? agent->hand(listener, record.process.pid, state)
                            : Result<void>(fail({}, "the filter asks an agent that is not named"));
  if (handed) return {};
  if (const auto pidfd = hold(record.process)) (void)send_signal(*pidfd, SIGKILL);
  return handed;
}

Result<void> hear_exec(const Channel& channel, const Agent& agent, const OciRecord& record) {
  while (true) {
    auto message = TRY(channel.receive());
    // The exec has closed the other end.
    if (!message) return {};
    if (message->kind == Message::Kind::kFailure) return fail({}, message->text, message->code);
    if (message->kind == Message::Kind::kNotify) TRY(hand_on(agent, message->fd, record));
  }
}

Result<OciConfig> config_of(const ContainerDir& dir) {
  const auto text = dir.config();
  return text ? parse_config(*text) : std::unexpected(text.error());
}

// The first process of a pid namespace is there until its last child was collected, which may be
// somebody else's to do; but nothing of it runs any more.
bool wait_for_end(const Fd& pidfd, const ContainerDir& dir, const OciRecord& record) {
  constexpr int kStep = 20;
  constexpr int kSteps = 500;
  pollfd polled{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  for (int step = 0; step < kSteps; ++step)
    if (::poll(&polled, 1, kStep) > 0 || dir.status(record) == OciStatus::kStopped) return true;
  return false;
}

// Uncollected processes are ended, too: kill(2) works, and the pidfd says so.
Result<void> end(const ContainerDir& dir, const OciRecord& record) {
  if (dir.status(record) == OciStatus::kStopped) return {};
  const auto pidfd = hold(record.process);
  if (!pidfd) return {};
  const auto sent = send_signal(*pidfd, SIGKILL);
  if (!sent && sent.error().code != ESRCH) return sent;
  if (wait_for_end(*pidfd, dir, record)) return {};
  return fail({}, concat("container ", record.id, " does not end, though it was killed"));
}

// The ids are those of its config: its user namespace has ended with its processes.
Result<void> leave_cgroups(const ContainerDir& dir) {
  const auto note = dir.cgroups();
  if (!note || note->entries.empty()) return {};
  const auto config = config_of(dir);
  auto ids = config ? ids_of_config(*config) : std::unexpected(config.error());
  return remove_cgroups(*note, ids ? *ids : ChosenIds{});
}

Result<void> delete_known(const ContainerDir& dir, const OciRecord& record, bool force) {
  const auto status = dir.status(record);
  if (status != OciStatus::kStopped && status != OciStatus::kCreated && !force)
    return fail({}, concat("container ", record.id, " is ", name_of(status),
                           ": stop it first, or use --force"));
  if (auto ended = end(dir, record); !ended) return ended;
  const auto config = config_of(dir);
  if (auto left = leave_cgroups(dir); !left) return left;
  dir.remove();
  if (!config) return {};
  run_late_hooks(config->hooks.poststop, "poststop", state_text(record, OciStatus::kStopped));
  return {};
}

std::uint64_t pid_space(pid_t pid) {
  struct stat facts{};
  return ::stat(concat("/proc/", pid, "/ns/pid").c_str(), &facts) == 0 ? facts.st_ino : 0;
}

// Its number may be somebody else's by now: held, it is looked at again.
void signal_in(std::uint64_t space, pid_t pid, int number) {
  const Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (pidfd.valid() && space != 0 && pid_space(pid) == space)
    (void)::syscall(SYS_pidfd_send_signal, pidfd.get(), number, nullptr, 0);
}

}  // namespace

Result<void> start_container(const std::string& root, const std::string& id) {
  const auto dir = ContainerDir::open(root, id, true);
  const auto record = TRY(dir ? dir->record() : std::unexpected(dir.error()));
  if (const auto status = dir->status(record); status != OciStatus::kCreated)
    return fail(
        {}, concat("cannot start container ", id, ": it is ", name_of(status), " and not created"));
  const auto config = TRY(config_of(*dir));
  if (!config.process) return fail({}, "config.json has no process to start");
  const auto agent = TRY(SeccompAgent::reach(config));
  auto socket = TRY(dir->connect());
  const Channel channel(std::move(socket));
  if (auto sent = channel.send({.kind = Message::Kind::kGo}); !sent) return sent;
  if (auto heard = hear_exec(channel, agent, record); !heard) return heard;
  dir->forget_start();
  run_late_hooks(config.hooks.poststart, "poststart", state_text(record, OciStatus::kRunning));
  return {};
}

// All in its pid namespace are its own only if that was made for it.
Result<std::vector<pid_t>> processes_of(const ContainerDir& dir, const OciRecord& record) {
  const auto note = TRY(dir.cgroups());
  if (!note.entries.empty() && is_replaced(note.entries.front())) return std::vector<pid_t>{};
  if (!record.cgroup.empty()) return processes_in(record.cgroup);
  const auto config = TRY(config_of(dir));
  const auto space = pid_space(record.process.pid);
  if (space == 0) return fail({}, "the container's process has ended", ESRCH);
  if (!config.makes(CLONE_NEWPID))
    return fail({},
                "the container has no pid namespace and no cgroup of its own: its processes "
                "cannot be told from others");
  const auto proc = open_at(AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY);
  const auto names = TRY(proc ? list_directory(*proc) : std::unexpected(proc.error()));
  std::vector<pid_t> pids;
  for (const auto& name : names)
    if (const auto pid = parse_decimal(name); pid && pid_space(static_cast<pid_t>(*pid)) == space)
      pids.push_back(static_cast<pid_t>(*pid));
  return pids;
}

Result<void> kill_container(const std::string& root, const std::string& id, int number, bool all) {
  const auto dir = ContainerDir::open(root, id);
  const auto record = TRY(dir ? dir->record() : std::unexpected(dir.error()));
  const auto pidfd = hold(record.process);
  if (!pidfd || dir->status(record) == OciStatus::kStopped)
    return fail({}, concat("cannot kill container ", id, ": it is not running"), ESRCH);
  if (!all) return send_signal(*pidfd, number);
  if (!record.cgroup.empty()) return signal_all(record.cgroup, number);
  const auto pids = TRY(processes_of(*dir, record));
  for (const pid_t pid : pids) signal_in(pid_space(record.process.pid), pid, number);
  return {};
}

Result<void> pause_container(const std::string& root, const std::string& id, bool pause) {
  const auto dir = ContainerDir::open(root, id, true);
  const auto record = TRY(dir ? dir->record() : std::unexpected(dir.error()));
  const auto status = dir->status(record);
  const bool is_fit = pause ? status == OciStatus::kRunning || status == OciStatus::kCreated
                            : status == OciStatus::kPaused;
  if (!is_fit)
    return fail({}, concat("cannot ", pause ? "pause" : "resume", " container ", id, ": it is ",
                           name_of(status)));
  return pause ? freeze(record.cgroup) : thaw(record.cgroup);
}

Result<void> update_container(const std::string& root, const std::string& id,
                              const OciResources& resources) {
  const auto dir = ContainerDir::open(root, id, true);
  const auto record = TRY(dir ? dir->record() : std::unexpected(dir.error()));
  if (dir->status(record) == OciStatus::kStopped)
    return fail({}, concat("cannot update container ", id, ": it is stopped"));
  const auto note = TRY(dir->cgroups());
  if (note.entries.empty() && !resources.wishes.empty())
    return fail({}, concat("container ", id, " has no cgroup of its own, which ",
                           resources.wishes.front().place, " needs: see linux.cgroupsPath"));
  if (!note.entries.empty()) TRY(check_usage(note, resources));
  return set_resources(note, resources);
}

Result<void> delete_container(const std::string& root, const std::string& id, bool force) {
  const auto dir = ContainerDir::open(root, id, true);
  if (!dir && force && dir.error().code == ENOENT) return {};
  if (!dir) return std::unexpected(dir.error());
  const auto record = dir->record();
  if (record) return delete_known(*dir, *record, force);
  // The rest of a creation that was killed. With the lock nobody is at it.
  if (record.error().code != ENOENT) return std::unexpected(record.error());
  if (auto left = leave_cgroups(*dir); !left) return left;
  dir->remove();
  return {};
}

}  // namespace userns::frontend
