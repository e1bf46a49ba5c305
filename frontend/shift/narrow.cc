#include "frontend/shift/narrow.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <exception>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "frontend/run/process.h"
#include "frontend/shift/inode.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::shift {
namespace {

using frontend::Child;

constexpr int kTick = 100;  // ms
// The clock of a file system may stand that long: what is as old says nothing of what came after.
constexpr std::int64_t kGranule = 20'000'000;  // ns

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
  Inside(const Fd& root, const NarrowWork& work, PlainNames& names)
      : root_(root), work_(work), names_(names) {}

  void change_all() {
    std::vector<std::thread> others;
    for (unsigned i = 1; i < work_.jobs; ++i) others.emplace_back([this] { change_some(); });
    change_some();
    for (auto& other : others) other.join();
  }

 private:
  void change_some() {
    for (std::size_t run = next_++; run < names_.runs() && !stops(); run = next_++) {
      const auto directory = open(names_.run(run));
      if (!directory.valid() || !change(run, directory)) names_.news().left = true;
    }
  }
  [[nodiscard]] bool stops() { return names_.news().stop.load(std::memory_order_relaxed); }

  [[nodiscard]] Fd open(const PlainNames::Run& run) const {
    open_how how{};
    how.flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
    Fd directory(
        static_cast<int>(::syscall(SYS_openat2, root_.get(), run.path.c_str(), &how, sizeof how)));
    const bool is_same = directory.valid() && work_.begun - run.directory.modified > kGranule &&
                         is_as_seen(directory, run.directory);
    return is_same ? std::move(directory) : Fd{};
  }
  [[nodiscard]] static bool is_as_seen(const Fd& directory, const Seen& seen) {
    const auto facts = look({.at = directory.get(), .name = ""});
    return facts && facts->key == seen.key && facts->modified == seen.modified;
  }

  // False if something is left.
  bool change(std::size_t run, const Fd& directory) {
    const auto uid = inside(work_.from.uid, work_.to.uid);
    const auto gid = inside(work_.from.gid, work_.to.gid);
    bool all = true;
    std::uint64_t changed = 0;
    names_.each(run, [&](const PlainNames::Plain& plain, std::size_t mark) {
      if (plain.owner != work_.from) return true;
      const int flags = AT_SYMLINK_NOFOLLOW | (plain.name.empty() ? AT_EMPTY_PATH : 0);
      const bool done = ::fchownat(directory.get(), plain.name.data(), uid, gid, flags) == 0;
      if (done) names_.set_changed(mark);
      changed += done ? 1 : 0;
      all &= done;
      return !stops();
    });
    names_.news().changed += changed;
    return all;
  }

  const Fd& root_;
  const NarrowWork& work_;
  PlainNames& names_;
  std::atomic<std::size_t> next_{0};
};

bool keep_only(std::uint32_t capabilities) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> data{};
  data[0] = {.effective = capabilities, .permitted = capabilities, .inheritable = 0};
  return ::syscall(SYS_capset, &header, data.data()) == 0;
}

[[noreturn]] void work_inside(const Pipe& go, pid_t starter, Inside&& inside) {
  constexpr auto kNeeded = CAP_TO_MASK(CAP_CHOWN) | CAP_TO_MASK(CAP_DAC_READ_SEARCH);
  char byte = 0;
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || ::getppid() != starter ||
      ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::read(go.read.get(), &byte, 1) != 1 ||
      !keep_only(kNeeded))
    ::_exit(1);
  try {
    inside.change_all();
    ::_exit(0);
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
bool stopped(const Fd& pidfd, PlainNames& names, const std::function<bool()>& stop) {
  pollfd ended{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  while (::poll(&ended, 1, kTick) <= 0)
    if (!names.news().stop && stop()) names.news().stop = true;
  return names.news().stop;
}

}  // namespace

Result<bool> change_in_narrow_namespace(const Fd& root, const NarrowWork& work, PlainNames& names,
                                        const std::function<bool()>& stop) {
  auto go = TRY(make_pipe());
  const pid_t starter = ::getpid();
  const auto made = TRY(frontend::clone_process(CLONE_NEWUSER | CLONE_PIDFD));
  if (made.pid == 0) {
    go.write.reset();
    work_inside(go, starter, Inside(root, work, names));
  }
  Child child(made.pid);
  TRY(let_go(made.pid, go, work));
  const bool was_stopped = stopped(made.pidfd, names, stop);
  if (child.end() != 0) names.news().left = true;
  return !was_stopped;
}

}  // namespace userns::shift
