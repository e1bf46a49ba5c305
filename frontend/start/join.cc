#include "frontend/start/join.h"

#include <linux/sched.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <utility>

#include "frontend/run/channel.h"
#include "frontend/run/process.h"
#include "frontend/start/ids/process_ids.h"
#include "frontend/start/inside/child.h"
#include "frontend/start/running.h"
#include "frontend/start/supervise.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

// Goes in, and leaves a process in there that is a child of ours: this one stays outside the pid
// namespace, as the kernel has it, and ends at once.
[[noreturn]] void go_in(const Plan& plan, const JoinWish& wish, const Inheritance& inheritance) {
  const auto give_up = [&](const char* what) {
    const int code = errno;
    [[maybe_unused]] const auto sent = inheritance.channel.send({.kind = Message::Kind::kFailure,
                                                                 .exit_status = kExitOwnFailure,
                                                                 .code = code,
                                                                 .text = what});
    ::_exit(kExitOwnFailure);
  };
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) give_up("cannot hide the process that goes in");
  const auto enter = [&](std::uint64_t namespaces) {
    if (namespaces != 0 && ::setns(wish.pidfd.get(), static_cast<int>(namespaces)) != 0)
      give_up(errno == ESRCH ? "the container has just ended"
                             : "cannot enter the container's namespaces");
  };
  // Both ends of the way into a leaf have to be in the cgroup namespace of who asks (nsdelegate).
  const auto last = wish.leaf.valid() ? wish.namespaces & CLONE_NEWCGROUP : 0;
  enter(wish.namespaces & ~last);
  const auto made = clone_process(CLONE_PARENT, wish.leaf);
  if (!made) give_up("cannot start a process in the container");
  if (made->pid == 0) {
    enter(last);
    run_joined(plan, inheritance, wish.user, wish.group);
  }
  [[maybe_unused]] const auto sent =
      inheritance.channel.send({.kind = Message::Kind::kNamespaces, .text = concat(made->pid)});
  ::_exit(0);
}

// The process inside, by what the one that went in says about it. A number of a child that was not
// waited for is its own.
Step<FirstProcess> meet(Channel channel, const Signals& signals) {
  TRY(await_word(channel, signals));
  auto message = TRY(own(channel.receive()));
  if (!message)
    return own(
        Result<FirstProcess>(fail({}, "the process that was to enter the container was killed")));
  if (message->kind == Message::Kind::kFailure)
    return std::unexpected(
        Failure{{.rule = {}, .code = message->code, .text = std::move(message->text)},
                message->exit_status});
  const auto pid = static_cast<pid_t>(parse_decimal(message->text).value_or(0));
  Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (pid == 0 || !pidfd.valid())
    return own(Result<FirstProcess>(fail_errno("cannot watch the process inside")));
  return FirstProcess({.pid = pid, .pidfd = std::move(pidfd)}, std::move(channel));
}

// Our copies of what is for the process inside are closed on return: its end is then heard.
Step<FirstProcess> send_in(const Plan& plan, const JoinWish& wish, const Signals& signals,
                           Relay& relay) {
  auto channel = TRY(own(make_channel()));
  const Inheritance inheritance{.channel = std::move(channel.inside),
                                .stdio = relay.take_far_ends(),
                                .signal_mask = signals.original(),
                                .starter = ::getpid(),
                                .left_to_unshare = 0};
  const pid_t visitor = ::fork();
  if (visitor < 0) return own(Result<FirstProcess>(fail_errno("cannot start a process")));
  if (visitor == 0) {
    channel.outside.close();
    go_in(plan, wish, inheritance);
  }
  auto inside = meet(std::move(channel.outside), signals);
  if (!inside && inside.error().error.code == EINTR) (void)::kill(visitor, SIGKILL);
  (void)collect(visitor);
  return inside;
}

// A container that ended meanwhile may have left its number to somebody else.
Result<ChosenIds> ids_of(const JoinWish& wish) {
  auto ids = ids_of_process(wish.pid);
  if (::syscall(SYS_pidfd_send_signal, wish.pidfd.get(), 0, nullptr, 0) != 0 && errno == ESRCH)
    return fail({}, "the container has just ended");
  if (ids && (ids->uids.extents.empty() || ids->gids.extents.empty()))
    return fail({},
                "the container's command has gone into a user namespace of its own where no id is "
                "mapped, so that whoever "
                "enters is nobody: exec works again once it maps ids there, as unshare "
                "--map-root-user does");
  return ids;
}

}  // namespace

Step<Ended> join(Plan plan, const JoinWish& wish) {
  auto ids = TRY(own(ids_of(wish)));
  plan.ids = std::move(ids);
  plan.setup_uid = plan.ids.uids.has(0) ? 0 : plan.spec.uid;
  plan.setup_gid = plan.ids.gids.has(0) ? 0 : plan.spec.gid;
  plan.joins = true;
  const auto signals = TRY(own(Signals::take()));
  auto relay = TRY(own(plan.tty ? Relay{} : Relay::for_pipes()));
  auto inside = TRY(send_in(plan, wish, signals, relay));
  [[maybe_unused]] const auto sent =
      inside.channel().send({.kind = Message::Kind::kGo});  // if not, hear_exec() says why
  auto started = hear_exec(plan, inside, relay, "as it entered", &signals);
  // It may hang in a file system of the container's: it is killed, and not waited for.
  if (!started && started.error().error.code == EINTR) {
    (void)::kill(inside.payload().pid, SIGKILL);
    inside.has_ended();
  }
  if (!started) return std::unexpected(started.error());
  auto status = own(supervise(plan, inside.payload(), signals, relay));
  if (status) inside.has_ended();
  return status;
}

}  // namespace userns::frontend
