#include "frontend/oci/cgroup/members.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <string_view>

#include "frontend/oci/cgroup/place.h"
#include "frontend/run/cgroup/files.h"
#include "frontend/run/helper.h"
#include "frontend/start/cgroup_entry.h"
#include "frontend/store/files.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

std::string above(const std::string& path) { return path.substr(0, path.rfind('/')); }

Result<void> add_processes(int dir, const std::string& path, std::vector<pid_t>& pids) {
  const auto cgroup = open_at(dir, path.c_str(), O_RDONLY | O_DIRECTORY);
  if (!cgroup && cgroup.error().code == ENOENT) return {};
  if (!cgroup) return std::unexpected(cgroup.error());
  const auto text = read_path(cgroup->get(), "cgroup.procs").value_or("");
  for (std::string_view rest(text); !rest.empty();)
    if (const auto pid = parse_decimal(take_until(rest, '\n')))
      pids.push_back(static_cast<pid_t>(*pid));
  const auto names = TRY(list_directory(*cgroup));
  for (const auto& name : names) {
    struct stat facts{};
    const bool is_below =
        ::fstatat(cgroup->get(), name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISDIR(facts.st_mode);
    if (!is_below) continue;
    if (auto added = add_processes(cgroup->get(), name, pids); !added) return added;
  }
  return {};
}

bool says(const Fd& events, std::string_view line) {
  std::string text(512, '\0');
  const auto count = ::pread(events.get(), text.data(), text.size(), 0);
  text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return concat("\n", text).find(concat("\n", line, "\n")) != std::string::npos;
}

// A change of cgroup.events is an event of the file's.
Result<void> await(const std::string& cgroup, std::string_view line) {
  constexpr int kStep = 1000;
  constexpr int kSteps = 10;
  const auto events = TRY(open_at(AT_FDCWD, (cgroup + "/cgroup.events").c_str(), O_RDONLY));
  for (int step = 0; step < kSteps; ++step) {
    if (says(events, line)) return {};
    pollfd polled{.fd = events.get(), .events = POLLPRI, .revents = 0};
    (void)::poll(&polled, 1, kStep);
  }
  if (says(events, line)) return {};
  return fail({}, concat("the cgroup ", cgroup, " does not become \"", line, "\""));
}

// A number may be somebody else's by now: held, it is looked at again.
void signal_one(const std::string& cgroup, pid_t pid, int number) {
  const Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  std::vector<pid_t> now;
  if (!pidfd.valid() || !add_processes(AT_FDCWD, cgroup, now)) return;
  if (std::ranges::find(now, pid) != now.end())
    (void)::syscall(SYS_pidfd_send_signal, pidfd.get(), number, nullptr, 0);
}

Result<void> set_frozen(const std::string& cgroup, bool frozen) {
  if (cgroup.empty())
    return fail({},
                "the container has no cgroup of its own, which this needs: see linux.cgroupsPath");
  const auto done = write_file(AT_FDCWD, cgroup + "/cgroup.freeze", frozen ? "1" : "0");
  if (!done) return fail({}, concat("cannot change ", cgroup, "/cgroup.freeze"), done.error().code);
  return await(cgroup, frozen ? "frozen 1" : "frozen 0");
}

// Those above that came with it, too, while they are empty.
Result<void> remove_made(const CgroupEntry& entry) {
  std::string path = entry.path;
  if (::rmdir(path.c_str()) != 0 && errno != ENOENT && entry.is_ours)
    return fail_errno(concat("cannot remove the cgroup ", path));
  for (unsigned rest = 1; rest < entry.made; ++rest) {
    path = above(path);
    if (::rmdir(path.c_str()) != 0 && errno != ENOENT) break;
  }
  return {};
}

Result<void> sweep(const std::string& path, const ChosenIds& ids) {
  const auto leaf = open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY);
  if (!leaf) return {};
  (void)remove_cgroups_below(*leaf);
  struct stat facts{};
  constexpr nlink_t kWithoutOthers = 2;
  if (::fstat(leaf->get(), &facts) == 0 && facts.st_nlink <= kWithoutOthers) return {};
  return sweep_as_root_inside(*leaf, ids);
}

Result<void> empty_v2(const std::string& path, const ChosenIds& ids) {
  if (::access(path.c_str(), F_OK) != 0) return {};
  if (auto killed = signal_all(path, SIGKILL); !killed) return killed;
  if (auto ended = await(path, "populated 0"); !ended && ended.error().code != ENOENT) return ended;
  return sweep(path, ids);
}

// systemd takes a scope away once it hears that nobody is in it.
void await_removal(const std::string& path) {
  constexpr int kStep = 10000;
  constexpr int kSteps = 200;
  for (int step = 0; step < kSteps && ::access(path.c_str(), F_OK) == 0; ++step) ::usleep(kStep);
}

// The cgroup that it was made in goes, too, but where this process is in it.
void leave_maker(const CgroupNote& note) {
  if (note.maker == CgroupMaker::kNobody || note.entries.empty()) return;
  const auto own = own_cgroup().value_or("");
  const auto made = above(note.entries.front().path);
  if (own == made || own.starts_with(made + "/")) return;
  (void)::rmdir(concat(made, "/", std::string_view(kRuntimeLeaf)).c_str());
  if (note.maker == CgroupMaker::kSystemd) return await_removal(made);
  // Where that fails, userns-cgroup does it itself once another one needs the place.
  if (auto released = Helper::start(cgroup_helper().c_str(), {"release", note.name}))
    (void)released->finish();
}

}  // namespace

bool is_replaced(const CgroupEntry& entry) {
  struct stat facts{};
  return entry.is_ours && ::stat(entry.path.c_str(), &facts) == 0 && facts.st_ino != entry.inode;
}

std::string cgroup_of(const CgroupNote& note) {
  if (note.entries.empty() || !note.entries.front().is_ours) return {};
  return note.entries.front().path;
}

Result<std::vector<pid_t>> processes_in(const std::string& cgroup) {
  std::vector<pid_t> pids;
  TRY(add_processes(AT_FDCWD, cgroup, pids));
  return pids;
}

Result<void> signal_all(const std::string& cgroup, int number) {
  if (number == SIGKILL)
    if (write_file(AT_FDCWD, cgroup + "/cgroup.kill", "1")) return {};
  const auto pids = TRY(processes_in(cgroup));
  for (const pid_t pid : pids) signal_one(cgroup, pid, number);
  return {};
}

Result<void> freeze(const std::string& cgroup) { return set_frozen(cgroup, true); }
Result<void> thaw(const std::string& cgroup) { return set_frozen(cgroup, false); }

Result<void> remove_cgroups(const CgroupNote& note, const ChosenIds& ids) {
  Result<void> done;
  bool is_v2 = true;
  for (const auto& entry : note.entries) {
    Result<void> gone;
    if (is_replaced(entry)) {
      is_v2 = false;
      continue;
    }
    if (entry.is_ours && is_v2) gone = empty_v2(entry.path, ids);
    is_v2 = false;
    if (gone) gone = remove_made(entry);
    if (!gone && done) done = gone;
  }
  if (done) leave_maker(note);
  return done;
}

}  // namespace userns::frontend
