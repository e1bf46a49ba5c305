#include "frontend/shift/narrow.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <exception>
#include <string>

#include "frontend/run/process.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::shift {
namespace {

using frontend::Child;

constexpr int kTick = 100;  // ms

// What the ids are called in there: 0 what they are now, 1 what they become if that is another one.
std::string map_of(std::uint32_t from, std::uint32_t to) {
  auto text = concat("0 ", from, " 1\n");
  return from == to ? text : concat(text, "1 ", to, " 1\n");
}
std::uint32_t inside(std::uint32_t from, std::uint32_t to) { return from == to ? 0 : 1; }

Result<void> write_map(pid_t pid, const char* file, const std::string& text) {
  const Fd map(::open(concat("/proc/", pid, "/", file).c_str(), O_WRONLY | O_CLOEXEC));
  if (!map.valid() || ::write(map.get(), text.data(), text.size()) < 0)
    return fail_errno("cannot map the ids of a shift");
  return {};
}

// --- in the namespace -------------------------------------------------------------------------

class Inside {
 public:
  Inside(const Fd& root, const NarrowWork& work, PlainInodes& inodes)
      : root_(root), work_(work), inodes_(inodes) {}

  bool walk_all() {
    const auto leave = [this](auto&&...) { inodes_.news().left = true; };
    const WalkHooks hooks{.quick = [this](const Listed& listed) { return by_name(listed); },
                          .found = [this](const Found& found) { directory(found); },
                          .failed = leave,
                          .mount = leave,
                          .gone = leave,
                          .stop = [this] { return inodes_.news().stop.load(); }};
    return walk(root_, work_.walk, hooks);
  }

 private:
  bool by_name(const Listed& listed) {
    change({.at = listed.directory, .name = listed.name}, listed.key, AT_SYMLINK_NOFOLLOW);
    return true;
  }
  // By its fd; what is not a directory by now is not for here.
  void directory(const Found& found) {
    change(found.spot, found.facts.key, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
  }
  void change(Spot spot, const InodeKey& key, int flags) {
    const auto uid = inside(work_.from.uid, work_.to.uid);
    const auto gid = inside(work_.from.gid, work_.to.gid);
    if (key.dev == work_.device && inodes_.has(key.ino) &&
        ::fchownat(spot.at, spot.name, uid, gid, flags) == 0)
      return inodes_.set_changed(key.ino);
    inodes_.news().left = true;
  }

  const Fd& root_;
  const NarrowWork& work_;
  PlainInodes& inodes_;
};

[[noreturn]] void work_inside(const Pipe& go, pid_t starter, Inside inside) {
  char byte = 0;
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || ::getppid() != starter ||
      ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::read(go.read.get(), &byte, 1) != 1)
    ::_exit(1);
  try {
    ::_exit(inside.walk_all() ? 0 : 1);
  } catch (const std::exception&) {
    ::_exit(1);
  }
}

// --- outside of it ----------------------------------------------------------------------------

Result<void> let_go(pid_t pid, const Pipe& go, const NarrowWork& work) {
  if (auto done = write_map(pid, "uid_map", map_of(work.from.uid, work.to.uid)); !done) return done;
  if (auto done = write_map(pid, "gid_map", map_of(work.from.gid, work.to.gid)); !done) return done;
  if (::write(go.write.get(), "", 1) != 1) return fail_errno("cannot begin to change the inodes");
  return {};
}

// Whether it was to stop.
bool stopped(const Fd& pidfd, PlainInodes& inodes, const std::function<bool()>& stop) {
  pollfd ended{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  while (::poll(&ended, 1, kTick) <= 0)
    if (!inodes.news().stop && stop()) inodes.news().stop = true;
  return inodes.news().stop;
}

}  // namespace

Result<bool> change_in_narrow_namespace(const Fd& root, const NarrowWork& work, PlainInodes& inodes,
                                        const std::function<bool()>& stop) {
  auto go = TRY(make_pipe());
  const pid_t starter = ::getpid();
  const auto made = TRY(frontend::clone_process(CLONE_NEWUSER | CLONE_PIDFD));
  if (made.pid == 0) {
    go.write.reset();
    work_inside(go, starter, Inside(root, work, inodes));
  }
  Child child(made.pid);
  TRY(let_go(made.pid, go, work));
  const bool was_stopped = stopped(made.pidfd, inodes, stop);
  if (child.end() != 0) inodes.news().left = true;
  return !was_stopped;
}

}  // namespace userns::shift
