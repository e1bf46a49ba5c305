#include "frontend/oci/create.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <optional>

#include "frontend/oci/cgroup/make.h"
#include "frontend/oci/cgroup/members.h"
#include "frontend/oci/clock.h"
#include "frontend/oci/inside/container.h"
#include "frontend/oci/inside/hooks.h"
#include "frontend/oci/inside/ids.h"
#include "frontend/oci/inside/spaces.h"
#include "frontend/run/channel.h"
#include "frontend/start/cgroup_entry.h"
#include "frontend/start/ids/map_helpers.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

OciRecord record_of(const Arguments& told, const Bundle& bundle) {
  return {.id = told.id,
          .bundle = bundle.path,
          .process = {},
          .created = time_now(),
          .cgroup = {},
          .version = bundle.config.version,
          .annotations = bundle.config.annotations};
}

// Cgroup and time namespaces are made later: in the container's cgroup, and before somebody is in
// it.
std::uint64_t new_spaces(const OciConfig& config) {
  std::uint64_t flags = 0;
  for (const auto& space : config.namespaces)
    if (space.path.empty()) flags |= space.flag;
  return flags & ~static_cast<std::uint64_t>(CLONE_NEWCGROUP | CLONE_NEWTIME);
}

// Root of this user namespace may search directories that the new one's may not.
Result<std::optional<OciSources>> open_as_root(const Bundle& bundle) {
  if (::geteuid() != 0 || !bundle.config.makes(CLONE_NEWUSER)) return std::nullopt;
  auto opened = TRY(open_oci_sources(bundle.config, bundle.dir));
  return opened;
}

// A container on its way: what of it is there goes with this object, unless it is kept.
class Making {
 public:
  Making(const Bundle& bundle, const CgroupChoice& cgroup, ContainerDir dir, OciRecord record)
      : bundle_(bundle), cgroup_(cgroup), dir_(std::move(dir)), record_(std::move(record)) {}
  Making(const Making&) = delete;
  Making& operator=(const Making&) = delete;
  ~Making() {
    if (kept_) return;
    if (record_.process.pid > 0) {
      (void)::kill(record_.process.pid, SIGKILL);
      while (::waitpid(record_.process.pid, nullptr, 0) < 0 && errno == EINTR) continue;
    }
    // What cannot be taken away is left for "delete" to find.
    if (remove_cgroups(dir_.cgroups().value_or(CgroupNote{}), ids_.value_or(ChosenIds{})))
      dir_.remove();
    // Whatever the earlier hooks have made is theirs to take away.
    if (hooks_ran_)
      run_late_hooks(bundle_.config.hooks.poststop, "poststop",
                     state_text(record_, OciStatus::kStopped));
  }

  Result<void> begin(unsigned preserved);
  Result<void> finish(const Arguments& told, const TakeTerminal& terminal);
  OciRecord keep() {
    kept_ = true;
    return record_;
  }

 private:
  Result<Message> hear();
  Result<void> words_of(Result<void> done);
  Result<void> go() const;
  Result<void> map();
  Result<void> run_hooks();
  Result<void> become_created(const Arguments& told);

  Result<void> make_cgroup();
  Result<void> give_cgroup() const;

  const Bundle& bundle_;
  const CgroupChoice& cgroup_;
  CgroupNote cgroups_;
  ContainerDir dir_;
  OciRecord record_;
  std::optional<ChosenIds> ids_;
  std::optional<Channel> channel_;
  bool hooks_ran_ = false;
  bool kept_ = false;
};

Result<void> Making::begin(unsigned preserved) {
  const auto& config = bundle_.config;
  if (auto kept = dir_.keep_config(bundle_.text); !kept) return kept;
  if (bundle_.filter)
    if (auto kept = dir_.keep_filter(*bundle_.filter); !kept) return kept;
  auto ids = TRY(ids_of_config(config));
  ids_ = std::move(ids);
  const auto joined = open_spaces(config);
  if (auto made = make_cgroup(); !made) return made;
  auto channel = make_channel();
  auto listener = dir_.listen();
  if (!joined) return std::unexpected(joined.error());
  if (!channel) return std::unexpected(channel.error());
  if (!listener) return std::unexpected(listener.error());
  auto sources = TRY(open_as_root(bundle_));
  const auto pid = TRY(clone_into(*joined, new_spaces(config), cgroups_, [&] {
    channel->outside.close();
    dir_.let_go();
    run_container({.config = config,
                   .filter = bundle_.filter,
                   .ids = *ids_,
                   .channel = std::move(channel->inside),
                   .bundle = {bundle_.path, Fd(::fcntl(bundle_.dir.get(), F_DUPFD_CLOEXEC, 0))},
                   .sources = std::move(sources),
                   .listener = std::move(*listener),
                   .preserved = preserved,
                   .state = [&](pid_t own) {
                     record_.process.pid = own;
                     return state_text(record_, OciStatus::kCreating);
                   }});
  }));
  record_.process.pid = pid;
  channel_ = std::move(channel->outside);
  if (joined->empty()) return join_v1(cgroups_, pid);
  return {};
}

// Of an earlier creation that was killed, whatever is left goes first.
Result<void> Making::make_cgroup() {
  if (const auto left = dir_.cgroups(); left && !left->entries.empty())
    if (auto removed = remove_cgroups(*left, *ids_); !removed) return removed;
  if (cgroup_.path.empty()) return {};
  if (!cgroup_.own.empty())
    if (auto aside = step_aside(cgroup_.own); !aside) return aside;
  auto made = TRY(make_cgroups(cgroup_.path, bundle_.config.resources,
                               {.entries = {}, .maker = cgroup_.maker, .name = cgroup_.name},
                               [&](const CgroupNote& note) { return dir_.keep_cgroups(note); }));
  cgroups_ = std::move(made);
  record_.cgroup = cgroup_of(cgroups_);
  return {};
}

bool mounts_own_cgroup(const OciConfig& config) {
  return config.makes(CLONE_NEWCGROUP) && std::ranges::any_of(config.mounts, [](const OciMount& m) {
           return (m.type == "cgroup" || m.type == "cgroup2") &&
                  (m.options.set & MOUNT_ATTR_RDONLY) == 0;
         });
}

// An init inside makes cgroups of its own.
Result<void> Making::give_cgroup() const {
  const auto& config = bundle_.config;
  if (cgroups_.entries.empty() || !config.makes(CLONE_NEWUSER) || !mounts_own_cgroup(config))
    return {};
  const auto leaf = open_cgroup(cgroups_);
  return leaf ? give_leaf_to_root_inside(*leaf, *ids_) : std::unexpected(leaf.error());
}

// The next thing that it says; a failure of its is one here.
Result<Message> Making::hear() {
  auto message = TRY(channel_->receive());
  if (!message)
    return fail({}, "the container's first process was killed while the container was made");
  if (message->kind == Message::Kind::kFailure) return fail({}, message->text, message->code);
  return std::move(*message);
}

// What a process that has given up says tells more than that it cannot be reached or mapped.
Result<void> Making::words_of(Result<void> done) {
  while (channel_->has_message()) (void)TRY(hear());
  return done;
}

Result<void> Making::go() const {
  return channel_->send({.kind = Message::Kind::kGo, .text = concat(record_.process.pid)});
}

Result<void> Making::map() {
  if (const auto process = ProcessId::of(record_.process.pid)) record_.process = *process;
  if (bundle_.config.makes(CLONE_NEWUSER))
    if (auto mapped = map_ids(*ids_, record_.process.pid); !mapped) return mapped;
  if (auto given = give_cgroup(); !given) return given;
  return go();
}

Result<void> Making::run_hooks() {
  const auto& hooks = bundle_.config.hooks;
  hooks_ran_ = true;
  // Once "start" ran those of prestart: to them the container is there already.
  const auto created = state_text(record_, OciStatus::kCreated);
  if (auto ran = run_oci_hooks(hooks.prestart, "prestart", created); !ran) return ran;
  const auto state = state_text(record_, OciStatus::kCreating);
  if (auto ran = run_oci_hooks(hooks.create_runtime, "createRuntime", state); !ran) return ran;
  return go();
}

// From here on `start` finds it, and it no longer dies with this process.
Result<void> Making::become_created(const Arguments& told) {
  if (auto written = write_pid_file(told.pid_file, record_.process.pid); !written) return written;
  if (auto written = dir_.write(record_); !written) return written;
  return go();
}

Result<void> Making::finish(const Arguments& told, const TakeTerminal& terminal) {
  while (true) {
    auto message = TRY(hear());
    Result<void> done;
    if (message.kind == Message::Kind::kNamespaces) done = map();
    if (message.kind == Message::Kind::kHooks) done = run_hooks();
    if (message.kind == Message::Kind::kTerminal) done = terminal(std::move(message.fd));
    if (message.kind == Message::Kind::kDone) return become_created(told);
    if (!done) return words_of(done);
  }
}

}  // namespace

Result<OciRecord> create_container(const Arguments& told, const Bundle& bundle,
                                   const CgroupChoice& cgroup, const TakeTerminal& terminal) {
  const auto root = TRY(oci_root(told.root));
  auto dir = TRY(ContainerDir::make(root, told.id));
  Making making(bundle, cgroup, std::move(dir), record_of(told, bundle));
  TRY(making.begin(told.preserve_fds));
  TRY(making.finish(told, terminal));
  return making.keep();
}

}  // namespace userns::frontend
