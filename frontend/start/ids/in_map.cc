#include "frontend/start/ids/in_map.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <optional>
#include <utility>

#include "frontend/run/mount_api.h"
#include "frontend/run/process.h"
#include "frontend/run/signals.h"
#include "frontend/start/ids/map_helpers.h"
#include "frontend/start/ids/process_ids.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

using Kind = Message::Kind;

constexpr std::size_t kLongestResult =
    64UL << 20U;  // a worker that was taken over does not take the memory, too

// --- the worker's side ------------------------------------------------------------------------

Result<void> become_root(pid_t starter) {
  if (::setgroups(0, nullptr) != 0 && errno != EPERM)
    return fail_errno("cannot drop the supplementary groups");
  if (::setresgid(0, 0, 0) != 0 || ::setresuid(0, 0, 0) != 0)
    return fail_errno("cannot become root of the ids");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
    return fail_errno("cannot set up the worker");
  if (::getppid() != starter) ::_exit(1);
  ::umask(022);
  return {};
}

Result<std::string> do_work(const Work& work, const InMap& how, const Channel& channel,
                            pid_t starter) {
  auto prepared = how.mount_namespace ? make_all_private() : Result<void>{};
  if (prepared && how.prepare) prepared = how.prepare();
  const auto message = channel.receive();
  if (!message || !*message || (*message)->kind != Kind::kGo) ::_exit(1);
  TRY(become_root(starter));
  if (!prepared) return std::unexpected(prepared.error());
  try {
    return work(Outside(channel));
  } catch (const std::exception& error) {
    return fail({}, concat("cannot go on: ", std::string_view(error.what())));
  }
}

void tell(const Channel& channel, const Result<std::string>& result) {
  if (!result) {
    [[maybe_unused]] const auto sent = channel.send(
        {.kind = Kind::kFailure, .code = result.error().code, .text = result.error().text});
    return;
  }
  for (std::string_view rest = *result; !rest.empty();) {
    const auto piece = rest.substr(0, kLongestText);
    rest.remove_prefix(piece.size());
    if (!channel.send({.kind = Kind::kPart, .text = std::string(piece)})) return;
  }
  [[maybe_unused]] const auto sent = channel.send({.kind = Kind::kDone});
}

// --- the starter's side -----------------------------------------------------------------------

struct Worker {
  Child child;
  Channel channel;
};

Result<Worker> start_worker(const Work& work, const InMap& how) {
  auto channel = TRY(make_channel());
  const pid_t starter = ::getpid();
  const auto made = TRY(clone_process(CLONE_NEWUSER | (how.mount_namespace ? CLONE_NEWNS : 0)));
  if (made.pid == 0) {
    channel.outside.close();
    tell(channel.inside, do_work(work, how, channel.inside, starter));
    ::_exit(0);
  }
  return Worker{.child = Child(made.pid), .channel = std::move(channel.outside)};
}

std::unexpected<Error> died(int status) {
  if (!WIFSIGNALED(status))
    return fail({}, concat("the worker inside ended with status ", WEXITSTATUS(status)));
  const int number = WTERMSIG(status);
  return fail(
      {},
      concat("the worker inside was ended by signal ", number, " (",
             std::string_view(::strsignal(number)),  // NOLINT(concurrency-mt-unsafe): one thread
             number == SIGKILL ? "; was there too little memory?)" : ")"));
}

std::unexpected<Error> interrupted(int number) {
  return fail({}, concat("interrupted by SIG", std::string_view(::sigabbrev_np(number))), EINTR);
}

Result<void> open_for(const Worker& worker, const std::string& name, const InMap& how) {
  Message answer{.kind = Kind::kOpened};
  auto opened = how.on_open ? how.on_open(name) : fail({}, "there is nothing to be opened", ENOENT);
  if (opened) {
    answer.fd = std::move(*opened);
  } else {
    answer.code = opened.error().code;
    answer.text = std::move(opened.error().text);
  }
  return worker.channel.send(answer);
}

// What the worker says, until it is done. A signal of ours ends it: its destructor kills.
Result<std::string> listen(Worker& worker, const Signals& signals, const InMap& how) {
  std::string text;
  while (true) {
    std::array polled{pollfd{.fd = signals.fd().get(), .events = POLLIN, .revents = 0},
                      pollfd{.fd = worker.channel.raw(), .events = POLLIN, .revents = 0}};
    if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR)
      return fail_errno("cannot wait for the worker");
    if (const auto number = signals.next()) return interrupted(*number);
    if (polled[1].revents == 0) continue;
    auto message = TRY(worker.channel.receive());
    if (!message) return died(worker.child.end());
    if (message->kind == Kind::kFailure) return fail({}, std::move(message->text), message->code);
    if (message->kind == Kind::kDone) return text;
    if (message->kind == Kind::kOpen)
      if (auto answered = open_for(worker, message->text, how); !answered)
        return died(worker.child.end());
    if (message->kind == Kind::kPart) text += message->text;
    if (text.size() > kLongestResult) return fail({}, "the worker inside says more than it has to");
    if (message->kind == Kind::kProgress && how.on_progress) how.on_progress(message->text);
  }
}

Result<void> check_root(const ChosenIds& ids) {
  if (ids.uids.has(0) && ids.gids.has(0)) return {};
  return fail(
      {}, "the container's files can't be worked on without its root: map uid 0 and gid 0 inside");
}

// The place after the last id that is mapped; a gap in between where there is none.
std::optional<std::uint32_t> free_place(const ChosenMap& map) {
  std::uint64_t place = 0;
  for (const auto& extent : map.extents) place = std::max(place, extent.inside().end());
  if (place <= kLargestId) return static_cast<std::uint32_t>(place);
  for (const auto& extent : map.extents)
    if (extent.inside().end() <= kLargestId &&
        !map.has(static_cast<std::uint32_t>(extent.inside().end())))
      return static_cast<std::uint32_t>(extent.inside().end());
  return std::nullopt;
}

// Where `own` is inside, after it was added where it was not.
Result<std::uint32_t> add_self(ChosenMap& map, std::uint32_t own) {
  const auto self = IdRange::make(own, 1);
  for (const auto& extent : map.extents)
    if (self && extent.outside().contains(*self))
      return static_cast<std::uint32_t>(extent.inside().first() + own - extent.outside().first());
  const auto place = free_place(map);
  const auto extent = place ? Extent::make(*place, own, 1) : std::nullopt;
  if (!extent) return fail({}, concat("no id is left inside for the caller's own id ", own));
  map.extents.push_back(*extent);
  return *place;
}

}  // namespace

void Outside::progress(std::string_view text) const {
  if (!channel_.send({.kind = Kind::kProgress, .text = std::string(text)})) ::_exit(1);
}

Result<Fd> Outside::open(const std::string& name) const {
  if (!channel_.send({.kind = Kind::kOpen, .text = name})) ::_exit(1);
  auto answer = channel_.receive();
  if (!answer || !*answer) ::_exit(1);
  if ((*answer)->fd.valid()) return std::move((*answer)->fd);
  return fail({}, std::move((*answer)->text), (*answer)->code);
}

Result<std::string> in_map(const ChosenIds& ids, const Work& work, const InMap& how) {
  TRY(check_root(ids));
  const auto signals = TRY(how.heeds_signals ? Signals::take({SIGINT, SIGTERM, SIGHUP, SIGQUIT})
                                             : Signals::take({}));
  const SignalsAgain again(signals);
  auto worker = TRY(start_worker(work, how));
  if (auto mapped = map_ids(ids, worker.child.pid()); !mapped)
    return is_dying(worker.child.pid()) ? died(worker.child.end())
                                        : std::unexpected(mapped.error());
  [[maybe_unused]] const auto sent =
      worker.channel.send({.kind = Kind::kGo});  // if not, listen() says why
  return listen(worker, signals, how);
}

Result<IdsWithSelf> ids_with_self(const ChosenIds& ids, std::uint32_t own_uid,
                                  std::uint32_t own_gid) {
  IdsWithSelf all{.ids = ids};
  const auto uid = TRY(add_self(all.ids.uids, own_uid));
  const auto gid = TRY(add_self(all.ids.gids, own_gid));
  all.uid = uid;
  all.gid = gid;
  return all;
}

Result<void> give_away(const ChosenIds& ids, const Fd& directory) {
  const auto all = TRY(ids_with_self(ids, ::geteuid(), ::getegid()));
  // A setgid directory above has made it another group's, which is not mapped.
  if (::fchownat(directory.get(), "", ~gid_t{0}, ::getegid(), AT_EMPTY_PATH) != 0)
    return fail_errno("cannot give the directory to the container's root: it is not the caller's");
  (void)TRY(in_map(all.ids, [&](const Outside&) -> Result<std::string> {
    if (::fchownat(directory.get(), "", 0, 0, AT_EMPTY_PATH) != 0)
      return fail_errno("cannot give the directory to the container's root");
    return "";
  }));
  return {};
}

}  // namespace userns::frontend
