#include "frontend/start/running.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <utility>
#include <vector>

#include "frontend/run/channel.h"
#include "frontend/run/exit_status.h"
#include "frontend/run/process.h"
#include "frontend/run/signals.h"
#include "frontend/spec/tell.h"
#include "frontend/start/cgroup_entry.h"
#include "frontend/start/hint.h"
#include "frontend/start/ids/map_helpers.h"
#include "frontend/start/ids/process_ids.h"
#include "frontend/start/inside/child.h"
#include "frontend/start/mounts/changes.h"
#include "frontend/start/mounts/idmapped.h"
#include "frontend/start/net/net_helpers.h"
#include "frontend/start/net/user_network.h"
#include "frontend/start/record.h"
#include "frontend/start/relay.h"
#include "frontend/start/seal.h"
#include "frontend/start/supervise.h"
#include "frontend/start/wait_by_hand.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

// Only these must exist from the first instruction on. The others are made by the child itself
// while the helpers run: a network namespace takes the kernel as long as a helper takes to map.
// With a NIC it must be there at once: the helper that makes one takes the longest of all.
std::uint64_t made_at_clone(const Plan& plan) {
  constexpr std::uint64_t kAtClone = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWTIME;
  const bool has_nics = std::holds_alternative<NetBridges>(plan.spec.net);
  return plan.namespaces & (kAtClone | (has_nics ? CLONE_NEWNET : 0U));
}

Result<FirstProcess> clone_container(const Plan& plan, const Signals& signals, Relay& relay,
                                     const Cgroup& cgroup) {
  auto channel = TRY(make_channel());
  const Inheritance inheritance{.channel = std::move(channel.inside),
                                .stdio = relay.take_far_ends(),
                                .signal_mask = signals.original(),
                                .starter = ::getpid(),
                                .left_to_unshare = plan.namespaces & ~made_at_clone(plan)};
  auto made = TRY(clone_process(made_at_clone(plan) | CLONE_PIDFD, cgroup.payload()));
  if (made.pid == 0) {
    channel.outside.close();
    run_inside(plan, inheritance);
  }
  const pid_t pid = made.pid;
  FirstProcess first({.pid = pid, .pidfd = std::move(made.pidfd)}, std::move(channel.outside));
  if ((plan.namespaces & CLONE_NEWUSER) == 0) return first;
  auto space = open_at(AT_FDCWD, concat("/proc/", pid, "/ns/user").c_str(), O_RDONLY);
  if (!space) return fail({}, "cannot look at the new user namespace", space.error().code);
  first.keep(std::move(*space));
  return first;
}

Failure failure_of(Message message) {
  return {.error = {.rule = {}, .code = message.code, .text = std::move(message.text)},
          .exit_status = message.exit_status};
}

Failure killed(std::string_view stage) {
  return {{.rule = {},
           .code = 0,
           .text = concat(
               "the container's first process was killed ", stage,
               ", before its command could start; the kernel's log may say why (out of memory?)")}};
}

// What the other side says next. It may always say that it failed; its silence is an error.
Step<Message> hear(const FirstProcess& container, std::string_view stage,
                   const Signals* heeded = nullptr) {
  if (heeded != nullptr) TRY(await_word(container.channel(), *heeded));
  auto message = TRY(own(container.channel().receive()));
  if (!message) return std::unexpected(killed(stage));
  if (message->kind == Message::Kind::kFailure)
    return std::unexpected(failure_of(std::move(*message)));
  return std::move(*message);
}

// Up to kGo the other side has one thing to say.
Step<void> hear_of_namespaces(FirstProcess& container) {
  const auto message =
      TRY(hear(container, container.has_namespaces ? "while its ids were mapped"
                                                   : "while its namespaces were made"));
  container.has_namespaces = message.kind == Message::Kind::kNamespaces;
  return {};
}

Step<void> await_namespaces(FirstProcess& container) {
  return container.has_namespaces ? Step<void>{} : hear_of_namespaces(container);
}

Step<void> let_a_person_look(const Plan& plan, FirstProcess& container, const Signals& signals) {
  if (!plan.spec.wait) return {};
  if (auto ready = await_namespaces(container); !ready) return ready;
  return own(wait_by_hand(container.payload().pid, signals));
}

// Where the process inside failed meanwhile, its own words say why, not those of a helper that lost
// it.
Step<void> map(const Plan& plan, FirstProcess& container, const Cgroup& cgroup) {
  // Two more helpers: beside those of the container's own map, not after them.
  const auto prepare = [&] { return give_to_root_inside(cgroup, plan); };
  const auto mapped = own(map_ids(plan.ids, container.payload().pid,
                                  {.meanwhile = prepare, .keep_written = plan.spec.wait}));
  while (!mapped && (container.channel().has_message() || is_dying(container.payload().pid)))
    if (auto heard = hear_of_namespaces(container); !heard) return heard;
  return mapped;
}

Step<std::string> look_for_info(const Plan& plan, FirstProcess& container) {
  TRY(await_namespaces(container));
  return plan.spec.info_fd ? own(describe(plan, container.payload().pid)) : std::string{};
}

// Trees with other ids are made out here, where setuid programs are worth something.
Step<void> send_trees(const Plan& plan, const FirstProcess& container) {
  for (const auto& tree : plan.idmapped) {
    Message message{.kind = Message::Kind::kTree};
    auto mount = TRY(own(idmapped_mount(tree.source, tree.ids, tree.read_only)));
    message.fd = std::move(mount);
    [[maybe_unused]] const auto sent =
        container.channel().send(message);  // if not, hear() says why
  }
  return {};
}

// Many NICs have more to say than one message holds. An empty one is the end. If it cannot be sent,
// hear() says why.
void tell_of_nics(const Channel& channel, std::string_view given) {
  bool at_end = false;
  while (!at_end) {
    const auto piece = given.substr(0, kLongestText);
    given.remove_prefix(piece.size());
    const auto sent = channel.send({.kind = Message::Kind::kNics, .text = std::string(piece)});
    at_end = piece.empty() || !sent;
  }
}

// The NICs are made while the mounts are.
Step<void> hand_in_nics(const Plan& plan, const FirstProcess& container, NicHelpers& helpers) {
  if (!std::holds_alternative<NetBridges>(plan.spec.net)) return {};
  auto given = own(finish_nics(helpers));
  while (!given && (container.channel().has_message() || is_dying(container.payload().pid)))
    (void)TRY(hear(container, "while its file system was made"));
  if (!given) return std::unexpected(given.error());
  tell_of_nics(container.channel(), *given);
  return {};
}

Step<void> go(const Plan& plan, FirstProcess& container, Relay& relay, NicHelpers& helpers) {
  [[maybe_unused]] const auto sent =
      container.channel().send({.kind = Message::Kind::kGo, .text = container.given});
  // if not, hear() says why
  TRY(hand_in_nics(plan, container, helpers));
  return hear_exec(plan, container, relay, "while its file system and terminal were made");
}

Result<void> follow_into_death(const Plan& plan) {
  if (!plan.spec.die_with_parent) return {};
  const pid_t parent = ::getppid();
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
    return fail_errno("cannot set up --die-with-parent");
  if (::getppid() != parent || parent == 1)
    return fail({}, "--die-with-parent: the parent is gone already");
  return {};
}

// A caller that closed one of 0-2 must not have a pipe of ours land there and be handed in.
Result<void> open_standard_fds() {
  for (const int number : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(number, F_GETFD) < 0 &&
        ::open("/dev/null", O_RDWR | O_NOCTTY) != number)  // NOLINT(*-cloexec)
      return fail_errno("cannot open standard input, output or error");
  return {};
}

}  // namespace

FirstProcess::~FirstProcess() {
  if (payload_.pid == 0) return;
  ::kill(payload_.pid, SIGKILL);  // not reaped yet, so the number is still its own
  (void)collect(payload_.pid);
}

Step<void> await_word(const Channel& channel, const Signals& heeded) {
  while (true) {
    std::array polled{pollfd{.fd = channel.raw(), .events = POLLIN, .revents = 0},
                      pollfd{.fd = heeded.fd().get(), .events = POLLIN, .revents = 0}};
    if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR)
      return own(Result<void>(fail_errno("cannot wait for the command")));
    if (polled[0].revents != 0) return {};
    const auto number = heeded.next();
    if (number && (*number == SIGINT || *number == SIGTERM || *number == SIGHUP))
      return std::unexpected(
          Failure{{.rule = {}, .code = EINTR, .text = "given up before the command began"},
                  kExitSignalBase + *number});
  }
}

Step<void> hear_exec(const Plan& plan, FirstProcess& first, Relay& relay, std::string_view stage,
                     const Signals* heeded) {
  std::vector<Fd> left;
  for (bool at_exec = false; !at_exec;) {
    auto message = TRY(hear(first, stage, heeded));
    at_exec = message.kind == Message::Kind::kExec;
    if (at_exec) first.mount_namespace = parse_decimal(message.text).value_or(0);
    if (message.kind == Message::Kind::kNote)
      tell("userns-run", {.rule = {}, .code = 0, .text = message.text});
    if (message.kind == Message::Kind::kLeft) left.push_back(std::move(message.fd));
    if (message.kind == Message::Kind::kHosts) first.hosts = std::move(message.fd);
    if (message.kind == Message::Kind::kTerminal) relay.use_terminal(std::move(message.fd));
    if (message.kind == Message::Kind::kNotify) first.hear_on(std::move(message.fd));
  }
  left.clear();
  if (heeded != nullptr)
    if (auto waited = await_word(first.channel(), *heeded); !waited) return waited;
  auto last = TRY(own(first.channel().receive()));
  if (last) return std::unexpected(failure_of(std::move(*last)));
  // An init never does, and its own end says how that of the command was.
  if (!plan.spec.init && has_not_execed(first.payload().pid))
    return std::unexpected(killed("at its exec"));
  return {};
}

// The start, in order. A network helper runs beside the map helpers and what the process inside
// does.
Step<Running> start(const Plan& plan, Cgroup cgroup) {
  TRY(own(prepare_changes(plan)));
  auto signals = TRY(own(Signals::take()));
  auto relay = TRY(own(plan.tty ? Relay{} : Relay::for_pipes()));
  auto container = TRY(own(clone_container(plan, signals, relay, cgroup)));
  TRY(let_a_person_look(plan, container, signals));
  auto nics = TRY(own(begin_nics(plan, container.payload().pid)));
  TRY(map(plan, container, cgroup));
  auto info = look_for_info(
      plan, container);  // waits for the namespaces, too: until then the network is the caller's
  if (!info) return std::unexpected(info.error());
  auto user_net = TRY(own(UserNet::start(plan, container.payload().pid)));
  if (!user_net.given().empty()) container.given = user_net.given();
  TRY(send_trees(plan, container));
  TRY(go(plan, container, relay, nics));
  if (container.hosts.valid()) keep_hosts(user_net.network(), std::exchange(container.hosts, Fd{}));
  auto told =
      info->empty() ? std::string{} : with_mount_namespace(*info, container.mount_namespace);
  return Running{.cgroup = std::move(cgroup),
                 .signals = std::move(signals),
                 .relay = std::move(relay),
                 .first = std::move(container),
                 .user_net = std::move(user_net),
                 .info = std::move(told)};
}

namespace {

void tell_notes(const Plan& plan) {
  if (!plan.net_why.empty()) tell("userns-run", {.rule = {}, .code = 0, .text = plan.net_why});
  for (const auto& note : plan.notes) tell("userns-run", {.rule = {}, .code = 0, .text = note});
}

// A cgroup is entered first: its helper execs us anew.
Step<int> start_and_watch(const Plan& plan) {
  TRY(own(open_standard_fds()));
  auto cgroup = TRY(own(enter_cgroup(plan)));
  // The container may outlive us, and this program's file is then free to be written to.
  TRY(own(be_out_of_reach(plan.ids)));
  tell_notes(plan);
  TRY(own(follow_into_death(plan)));
  auto running = TRY(start(plan, std::move(cgroup)));
  PidFile pid_file;
  if (!plan.spec.pid_file.empty())
    TRY(own(pid_file.write(plan.spec.pid_file, running.first.payload().pid)));
  if (plan.spec.info_fd) TRY(own(write_info(plan, running.info)));
  auto status = own(supervise(plan, running.first.payload(), running.signals, running.relay));
  if (status) running.first.has_ended();
  const auto met = running.cgroup.what_was_met();  // sweep() may remove the counts
  running.cgroup.sweep(running.first.user_namespace());
  if (!met.empty()) tell("userns-run", {.rule = {}, .code = 0, .text = met});
  if (!status) return std::unexpected(status.error());
  return status->status;
}

}  // namespace

int run(const Plan& plan) {
  const auto status = start_and_watch(plan);
  if (status) return *status;
  report_failure(status.error().error);
  return status.error().exit_status;
}

}  // namespace userns::frontend
