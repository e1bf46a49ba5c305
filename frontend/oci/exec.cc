#include "frontend/oci/exec.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <functional>
#include <optional>

#include "frontend/oci/cgroup/make.h"
#include "frontend/oci/config/read_config.h"
#include "frontend/oci/config/read_process.h"
#include "frontend/oci/container_dir.h"
#include "frontend/oci/engine/agent.h"
#include "frontend/oci/engine/console_socket.h"
#include "frontend/oci/inside/container.h"
#include "frontend/oci/inside/ids.h"
#include "frontend/oci/inside/seccomp.h"
#include "frontend/oci/inside/spaces.h"
#include "frontend/oci/wait.h"
#include "frontend/run/cgroup/exec_leaf.h"
#include "frontend/run/cgroup/files.h"
#include "frontend/run/channel.h"
#include "frontend/start/ids/process_ids.h"
#include "frontend/start/seal.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

Result<OciProcess> read_process_file(const std::string& path) {
  const auto file = open_at(AT_FDCWD, path.c_str(), O_RDONLY);
  const auto text = file ? read_all(*file, kLargestConfig) : std::unexpected(file.error());
  if (!text) return fail({}, concat("cannot read --process ", quoted(path)), text.error().code);
  auto process = parse_process(*text);
  if (!process) return fail({}, concat("--process: ", process.error().text));
  return process;
}

Result<void> set_user(const std::string& word, OciProcess& process) {
  std::string_view rest(word);
  const auto uid = parse_decimal(take_until(rest, ':'));
  const auto gid = rest.empty() ? std::optional<std::uint64_t>(0) : parse_decimal(rest);
  constexpr std::uint64_t kMost = 4294967294;
  if (!uid || !gid || *uid > kMost || *gid > kMost)
    return fail({}, concat("--user ", quoted(word), " is not UID[:GID]"));
  process.uid = static_cast<std::uint32_t>(*uid);
  process.gid = static_cast<std::uint32_t>(*gid);
  process.groups.clear();
  return {};
}

// What options say over what the container's own process is.
Result<OciProcess> process_of(const Arguments& told, const OciConfig& config) {
  if (!told.process_file.empty()) return read_process_file(told.process_file);
  if (told.words.empty()) return fail({}, "exec needs a command, or --process FILE");
  auto process = config.process.value_or(OciProcess{});
  process.args = told.words;
  process.terminal = told.tty;
  process.console_size.reset();
  if (!told.cwd.empty()) process.cwd = told.cwd;
  if (told.no_new_privs) process.no_new_privs = true;
  for (const auto& word : told.env) process.env.push_back(word);
  if (!told.user.empty()) TRY(set_user(told.user, process));
  return process;
}

// The container, held: its number cannot become somebody else's.
struct Target {
  OciRecord record;
  OciConfig config;
  Fd pidfd;
  std::uint64_t spaces = 0;
  ChosenIds ids;
  std::optional<SeccompFilter> filter = {};
  CgroupNote cgroups = {};
};

Result<Target> find_target(const Arguments& told) {
  const auto root = oci_root(told.root);
  const auto dir = root ? ContainerDir::open(*root, told.id) : std::unexpected(root.error());
  auto record = TRY(dir ? dir->record() : std::unexpected(dir.error()));
  const auto status = dir->status(record);
  if (status != OciStatus::kRunning)
    return fail({}, concat("cannot exec in container ", told.id, ": it is ", name_of(status)));
  const auto text = dir->config();
  auto config = TRY(text ? parse_config(*text) : std::unexpected(text.error()));
  const auto pid = record.process.pid;
  Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const auto spaces = spaces_of(pid);
  auto ids = ids_of_process(pid);
  const auto denied = is_setgroups_denied(concat(pid));
  if (!pidfd.valid() || !spaces || !ids || !denied || !record.process.lives())
    return fail({}, concat("container ", told.id, " has just ended"));
  ids->deny_setgroups = *denied;
  Target target{std::move(record), std::move(config), std::move(pidfd), *spaces, std::move(*ids)};
  auto cgroups = TRY(dir->cgroups());
  target.cgroups = std::move(cgroups);
  if (!target.config.seccomp) return target;
  auto filter = TRY(dir->filter(flags_of(*target.config.seccomp)));
  target.filter = std::move(filter);
  return target;
}

using TakeListener = std::function<Result<void>(const Fd&)>;

Result<void> hear_exec(const Channel& channel, const TakeTerminal& terminal,
                       const TakeListener& listener) {
  if (auto sent = channel.send({.kind = Message::Kind::kGo}); !sent) return sent;
  bool execs = false;
  while (true) {
    auto message = TRY(channel.receive());
    if (!message && !execs) return fail({}, "the process was killed as it entered the container");
    if (!message) return {};
    if (message->kind == Message::Kind::kFailure) return fail({}, message->text, message->code);
    execs = execs || message->kind == Message::Kind::kExec;
    if (message->kind == Message::Kind::kTerminal)
      if (auto taken = terminal(std::move(message->fd)); !taken) return taken;
    if (message->kind == Message::Kind::kNotify) TRY(listener(message->fd));
  }
}

void end_child(pid_t pid) {
  (void)::kill(pid, SIGKILL);
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) continue;
}

// An init inside that has cgroups of its own has nobody beside them: then a leaf, which goes with
// the container.
Result<void> join(const Target& target) {
  auto joined = join_cgroups(target.cgroups);
  if (joined || joined.error().code != EBUSY) return joined;
  const auto payload = open_cgroup(target.cgroups);
  const auto space =
      open_at(AT_FDCWD, concat("/proc/", target.record.process.pid, "/ns/user").c_str(), O_RDONLY);
  if (!payload) return std::unexpected(payload.error());
  if (!space) return std::unexpected(space.error());
  const auto leaf = TRY(ExecLeaf::make(*payload, *space, static_cast<unsigned>(::getpid())));
  return write_file(leaf.dir().get(), "cgroup.procs", "0");
}

Result<pid_t> start_process(const Target& target, unsigned preserved,
                            const TakeTerminal& terminal) {
  const auto agent = TRY(SeccompAgent::reach(target.config));
  auto channel = TRY(make_channel());
  const auto pid = clone_beside(
      target.pidfd, target.spaces, [&] { return join(target); },
      [&] {
        channel.outside.close();
        run_in_container({.config = target.config,
                          .filter = target.filter,
                          .ids = target.ids,
                          .channel = std::move(channel.inside),
                          .bundle = {target.record.bundle, Fd{}},
                          .sources = {},
                          .listener = {},
                          .preserved = preserved});
      });
  if (!pid) return pid;
  channel.inside.close();
  const auto heard = hear_exec(channel.outside, terminal, [&](const Fd& listener) -> Result<void> {
    if (!agent) return fail({}, "the filter asks an agent that is not named");
    return agent->hand(listener, *pid, state_text(target.record, OciStatus::kRunning));
  });
  if (heard) return pid;
  end_child(*pid);
  return std::unexpected(heard.error());
}

}  // namespace

Result<int> exec_in_container(const Arguments& told) {
  auto target = TRY(find_target(told));
  TRY(target.config.has(CLONE_NEWUSER) ? be_out_of_reach(target.ids) : be_out_of_own_reach());
  auto process = TRY(process_of(told, target.config));
  target.config.process = std::move(process);
  const bool tty = target.config.process->terminal;
  auto foreground = TRY(Foreground::take());
  auto terminal = TRY(foreground.taker(told, tty));
  const auto pid = TRY(start_process(target, told.preserve_fds, terminal));
  if (auto written = write_pid_file(told.pid_file, pid); !written)
    return end_child(pid), std::unexpected(written.error());
  if (told.detach) return 0;
  return foreground.wait(pid, tty && told.console_socket.empty());
}

}  // namespace userns::frontend
