#include "frontend/store/remains.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <csignal>
#include <memory>
#include <string_view>

#include "policy/proc_status.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kLargestStatus = 64UL << 10U;
constexpr int kDeepest = 33;  // user_namespaces(7)
constexpr std::size_t kMostNamed = 3;
constexpr unsigned long kNamespaceId = _IOR(NSIO, 13, std::uint64_t);  // NS_GET_ID, Linux 6.18

std::string text_of(const Fd& process, const char* name) {
  const auto file = open_at(process.get(), name, O_RDONLY);
  std::string text(file ? kLargestStatus : 0, '\0');
  if (file) text.resize(read_some(*file, text).value_or(0));
  return text;
}

// proc(5): the fields of /proc/PID/stat from the third on, the name before them left out.
std::string_view field(std::string_view stat, int number) {
  constexpr int kFirst = 3;
  stat.remove_prefix(std::min(stat.rfind(')') + 2, stat.size()));
  for (int at = kFirst; at < number; ++at) take_until(stat, ' ');
  return take_until(stat, ' ');
}

// A first thread that has ended shows as a zombie for as long as others go on.
bool is_dead(std::string_view stat) {
  constexpr int kState = 3;
  constexpr int kThreads = 20;
  const auto state = field(stat, kState);
  return state.empty() ||
         ((state == "Z" || state == "X") && parse_decimal(field(stat, kThreads)).value_or(0) <= 1);
}

std::vector<std::uint32_t> numbers_in(std::string_view text) {
  std::vector<std::uint32_t> numbers;
  while (!text.empty())
    if (const auto number = parse_decimal(take_until(text, '\t')))
      numbers.push_back(static_cast<std::uint32_t>(*number));
  return numbers;
}

bool any_in(const std::vector<std::uint32_t>& numbers, const std::vector<IdRange>& ranges) {
  return std::ranges::any_of(numbers, [&](std::uint32_t number) {
    const auto one = IdRange::make(number, 1);
    return one && std::ranges::any_of(ranges, [&](const IdRange& r) { return r.contains(*one); });
  });
}

// user_namespaces(7): inside, outside, length.
std::vector<IdRange> outside_of(std::string_view map) {
  std::vector<IdRange> ranges;
  while (!map.empty()) {
    std::uint64_t fields[3] = {};
    auto line = take_until(map, '\n');
    for (auto& field : fields) {
      line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
      field = parse_decimal(take_until(line, ' ')).value_or(0);
    }
    if (const auto range = IdRange::make(fields[1], fields[2])) ranges.push_back(*range);
  }
  return ranges;
}

// The namespace and those above it, as far as they can be seen, up to the one that fits.
bool any_above(const Fd& space, const std::function<bool(const Fd&)>& fits) {
  Fd parent;
  const Fd* at = &space;
  for (int level = 0; level < kDeepest && at->valid(); ++level) {
    if (fits(*at)) return true;
    Fd next(::ioctl(at->get(), NS_GET_PARENT));
    parent = std::move(next);
    at = &parent;
  }
  return false;
}

// The entries of a directory of proc(5) that are numbers of processes.
std::vector<pid_t> numbers_at(const Fd& directory) {
  std::vector<pid_t> pids;
  const std::unique_ptr<DIR, int (*)(DIR*)> list(
      ::fdopendir(::fcntl(directory.get(), F_DUPFD_CLOEXEC, 0)), ::closedir);
  while (const dirent* const entry =
             list ? ::readdir(list.get()) : nullptr)  // NOLINT(concurrency-mt-unsafe): one thread
    if (const auto pid = parse_decimal(entry->d_name)) pids.push_back(static_cast<pid_t>(*pid));
  return pids;
}

std::vector<pid_t> all_pids() {
  const Fd proc(::open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return proc.valid() ? numbers_at(proc) : std::vector<pid_t>{};
}

}  // namespace

Seen::Seen(pid_t pid)
    : directory_(::open(concat("/proc/", pid).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  constexpr int kParent = 4;
  constexpr int kStart = 22;
  if (!directory_.valid()) return;
  const auto stat = text_of(directory_, "stat");
  if (is_dead(stat)) return;
  alive_ = true;
  parent_ = static_cast<pid_t>(parse_decimal(field(stat, kParent)).value_or(0));
  start_ = parse_decimal(field(stat, kStart)).value_or(0);
  status_ = text_of(directory_, "status");
  if (auto space = open_at(directory_.get(), "ns/user", O_RDONLY)) space_ = std::move(*space);
}

bool Seen::has_one_of(const OwnIds& ids) const {
  return any_in(uids(), ids.uids) || any_in(gids(), ids.gids);
}

std::vector<std::uint32_t> Seen::uids() const {
  return numbers_in(proc_field(status_, "Uid").value_or(""));
}

std::vector<std::uint32_t> Seen::gids() const {
  return numbers_in(proc_field(status_, "Gid").value_or(""));
}

bool Seen::is_in(ino_t user_namespace) const {
  return any_above(space_, [&](const Fd& space) { return number_of(space) == user_namespace; });
}

std::optional<bool> Seen::is_in_id(std::uint64_t user_namespace) const {
  if (user_namespace == 0 || (space_.valid() && id_of(space_) == 0)) return std::nullopt;
  return any_above(space_, [&](const Fd& space) { return id_of(space) == user_namespace; });
}

// Of any of its threads: the first one may have ended.
bool Seen::has_root(const FileId& root) const {
  const auto tasks = open_at(directory_.get(), "task", O_RDONLY | O_DIRECTORY);
  if (!tasks || root == FileId{}) return false;
  return std::ranges::any_of(numbers_at(*tasks), [&](pid_t thread) {
    struct stat facts{};
    return ::fstatat(tasks->get(), concat(thread, "/root").c_str(), &facts, 0) == 0 &&
           FileId{.device = facts.st_dev, .inode = facts.st_ino} == root;
  });
}

OwnIds Seen::mapped() const {
  const Fd ours(::open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC));
  if (!space_.valid() || number_of(space_) == number_of(ours)) return {};
  return {.uids = outside_of(text_of(directory_, "uid_map")),
          .gids = outside_of(text_of(directory_, "gid_map"))};
}

std::string Seen::name() const {
  std::string name(proc_field(status_, "Name").value_or("?"));
  for (char& c : name)
    if (c < ' ' || c > '~') c = '?';
  return name;
}

// It may have been replaced since, or be a copy in memory (frontend/start/seal.cc).
bool Seen::is_userns_run() const {
  std::array<char, PATH_MAX> target{};
  const auto size = ::readlinkat(directory_.get(), "exe", target.data(), target.size());
  std::string_view file(target.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  file.remove_prefix(file.rfind('/') + 1);
  for (const std::string_view ours : {"userns-run", "userns-monitor", "memfd:userns-run"})
    if (file == ours || file == concat(ours, " (deleted)")) return true;
  return false;
}

bool is_of_a_living_run(const Seen& seen, ino_t user_namespace) {
  constexpr int kMost = 10000;
  pid_t pid = seen.parent();
  for (int level = 0; level < kMost && pid > 1; ++level) {
    const Seen above(pid);
    if (!above.is_alive()) return false;
    if (!above.hides() && !above.is_in(user_namespace)) return above.is_userns_run();
    pid = above.parent();
  }
  return false;
}

std::vector<Remainder> remains(const std::function<bool(const Seen&)>& is_one, bool kill) {
  std::vector<Remainder> found;
  for (const pid_t pid : all_pids()) {
    if (pid == ::getpid()) continue;
    const Fd pidfd(kill ? static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)) : -1);
    const Seen seen(pid);
    if (!seen.is_alive() || !is_one(seen)) continue;
    found.push_back({.pid = pid, .name = seen.name()});
    if (pidfd.valid()) (void)::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
  }
  return found;
}

std::string to_text(const std::vector<Remainder>& remains) {
  if (remains.size() == 1)
    return concat("process ", remains.front().pid, " (", remains.front().name, ")");
  std::string list;
  for (std::size_t at = 0; at < std::min(remains.size(), kMostNamed); ++at)
    list += concat(at == 0 ? "" : ", ", remains[at].pid, " ", remains[at].name);
  return concat(remains.size(), " processes (", list, remains.size() > kMostNamed ? ", ...)" : ")");
}

ino_t number_of(const Fd& user_namespace) {
  struct stat facts{};
  return user_namespace.valid() && ::fstat(user_namespace.get(), &facts) == 0 ? facts.st_ino : 0;
}

std::uint64_t id_of(const Fd& user_namespace) {
  std::uint64_t id = 0;
  return user_namespace.valid() && ::ioctl(user_namespace.get(), kNamespaceId, &id) == 0 ? id : 0;
}

FileId root_of(pid_t pid) {
  struct stat facts{};
  if (::stat(concat("/proc/", pid, "/root").c_str(), &facts) != 0) return {};
  return {.device = facts.st_dev, .inode = facts.st_ino};
}

bool is_below_a_run(const Seen& seen) {
  constexpr int kMost = 10000;
  pid_t pid = seen.parent();
  for (int level = 0; level < kMost && pid > 1; ++level) {
    const Seen above(pid);
    if (above.is_userns_run()) return true;
    pid = above.parent();
  }
  return false;
}

bool is_below_us(pid_t pid) {
  constexpr int kMost = 10000;
  for (int level = 0; level < kMost && pid > 1; ++level) {
    if (pid == ::getpid()) return true;
    pid = Seen(pid).parent();
  }
  return false;
}

}  // namespace userns::frontend
