#include "frontend/store/processes.h"

#include <dirent.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <map>
#include <memory>

#include "common/fd.h"
#include "policy/proc_status.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kLargestStatus = 64UL << 10U;
constexpr std::size_t kCommand = 512;
constexpr std::size_t kLargestLocks = 4UL << 20U;
constexpr int kDeepest = 33;  // user_namespaces(7)

Result<std::vector<pid_t>> all_pids() {
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), ::closedir);
  if (!proc) return fail_errno("cannot list /proc");
  std::vector<pid_t> pids;
  while (const dirent* const entry =
             ::readdir(proc.get()))  // NOLINT(concurrency-mt-unsafe): one thread
    if (const auto pid = parse_decimal(entry->d_name)) pids.push_back(static_cast<pid_t>(*pid));
  std::ranges::sort(pids);
  return pids;
}

std::string read_of(const Fd& process, const char* name, std::size_t most) {
  const auto file = open_at(process.get(), name, O_RDONLY);
  std::string text(file ? most : 0, '\0');
  if (file) text.resize(read_some(*file, text).value_or(0));
  return text;
}

ino_t id_of(const Fd& space) {
  struct stat facts{};
  return space.valid() && ::fstat(space.get(), &facts) == 0 ? facts.st_ino : 0;
}

Fd user_namespace_of(const Fd& process) {
  auto space = open_at(process.get(), "ns/user", O_RDONLY);
  return space ? std::move(*space) : Fd{};
}

Fd parent_of(const Fd& space) { return Fd(::ioctl(space.get(), NS_GET_PARENT)); }

// The effective one: the second number of "Uid:" and "Gid:".
std::uint32_t effective(std::string_view status, std::string_view field) {
  auto text = proc_field(status, field).value_or("");
  take_until(text, '\t');
  return static_cast<std::uint32_t>(parse_decimal(take_until(text, '\t')).value_or(~0U));
}

pid_t innermost(std::string_view status, pid_t pid) {
  const auto text = proc_field(status, "NSpid").value_or("");
  const auto number = parse_decimal(text.substr(text.rfind('\t') + 1));
  return number ? static_cast<pid_t>(*number) : pid;
}

std::string command_of(const Fd& process, std::string_view status) {
  auto words = read_of(process, "cmdline", kCommand);
  while (words.ends_with('\0')) words.pop_back();
  std::ranges::replace(words, '\0', ' ');
  return words.empty() ? concat("[", proc_field(status, "Name").value_or("?"), "]") : words;
}

// Which of several user namespaces another one is in, or below.
class Families {
 public:
  explicit Families(std::span<const ino_t> tops) {
    for (const auto top : tops) known_[top] = top;
  }

  // 0: in none.
  ino_t top_of(const Fd& space) {
    std::vector<ino_t> way;
    ino_t found = 0;
    Fd parent;
    const Fd* at = &space;
    for (int level = 0; level < kDeepest && at->valid(); ++level) {
      const auto id = id_of(*at);
      if (const auto known = known_.find(id); known != known_.end()) {
        found = known->second;
        break;
      }
      way.push_back(id);
      Fd next = parent_of(*at);
      parent = std::move(next);
      at = &parent;
    }
    for (const auto id : way) known_[id] = found;
    return found;
  }

 private:
  std::map<ino_t, ino_t> known_;
};

// The outermost one below ours that it is in: a first process that has made itself another would
// else hide the rest.
Result<Fd> outermost(Fd space) {
  const auto own = open_at(AT_FDCWD, "/proc/self/ns/user", O_RDONLY);
  if (!own) return fail({}, "cannot look at one's own user namespace", own.error().code);
  if (id_of(space) == id_of(*own))
    return fail({}, "the container's first process is in no user namespace of its own");
  for (int level = 0; level < kDeepest; ++level) {
    auto parent = parent_of(space);
    if (!parent.valid() || id_of(parent) == id_of(*own)) break;
    space = std::move(parent);
  }
  return space;
}

bool has_ended(const Fd& pidfd) {
  return ::syscall(SYS_pidfd_send_signal, pidfd.get(), 0, nullptr, 0) != 0 && errno == ESRCH;
}

Fd open_process(pid_t pid) {
  return Fd(::open(concat("/proc/", pid).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

std::optional<ProcessFacts> facts_of(const Fd& process, pid_t pid, ino_t space, ino_t top) {
  const auto status = read_of(process, "status", kLargestStatus);
  if (status.empty()) return std::nullopt;
  return ProcessFacts{.pid = pid,
                      .inside = innermost(status, pid),
                      .uid = effective(status, "Uid"),
                      .gid = effective(status, "Gid"),
                      .user_namespace = space,
                      .top = top,
                      .command = command_of(process, status)};
}

}  // namespace

Result<ino_t> top_namespace(pid_t init, const Fd& pidfd) {
  auto first = user_namespace_of(open_process(init));
  const int code = errno;
  if (has_ended(pidfd))
    return fail({}, "the container has just ended");  // its number may be somebody else's
  if (!first.valid())
    return fail({}, concat("cannot look at the user namespace of process ", init), code);
  const auto top = outermost(std::move(first));
  return top ? Result<ino_t>(id_of(*top)) : std::unexpected(top.error());
}

Result<std::vector<ProcessFacts>> processes_in(std::span<const ino_t> tops) {
  const auto pids = TRY(all_pids());
  Families families(tops);
  std::vector<ProcessFacts> found;
  for (const auto pid : pids) {
    const auto process = open_process(pid);
    const auto space = process.valid() ? user_namespace_of(process) : Fd{};
    const auto top = space.valid() ? families.top_of(space) : 0;
    if (top == 0) continue;
    if (auto facts = facts_of(process, pid, id_of(space), top)) found.push_back(std::move(*facts));
  }
  return found;
}

std::optional<ProcessFacts> process_in(pid_t pid, ino_t top) {
  const auto process = open_process(pid);
  return process.valid() ? facts_of(process, pid, top, top) : std::nullopt;
}

Result<std::vector<ProcessFacts>> processes_below(pid_t init, const Fd& pidfd) {
  const auto top = top_namespace(init, pidfd);
  return top ? processes_in({&*top, 1}) : std::unexpected(top.error());
}

// "1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF"; one that waits has "->" as its second word.
std::optional<pid_t> holder_of_lock(const Fd& file) {
  struct stat facts{};
  const auto list = open_at(AT_FDCWD, "/proc/locks", O_RDONLY);
  if (!list || ::fstat(file.get(), &facts) != 0) return std::nullopt;
  const auto text = read_all(*list, kLargestLocks).value_or("");
  const auto inode = concat(":", facts.st_ino);
  for (std::string_view rest = text; !rest.empty();) {
    auto line = take_until(rest, '\n');
    std::array<std::string_view, 6> words;
    for (auto& word : words) {
      word = take_until(line, ' ');
      line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    }
    if (words[1] != "FLOCK" || !words[5].ends_with(inode)) continue;
    if (const auto pid = parse_decimal(words[4])) return static_cast<pid_t>(*pid);
  }
  return std::nullopt;
}

ino_t user_namespace_id(pid_t pid) {
  const auto process = open_process(pid);
  return process.valid() ? id_of(user_namespace_of(process)) : 0;
}

Result<std::vector<UserNamespace>> user_namespaces() {
  const auto pids = TRY(all_pids());
  std::map<ino_t, UserNamespace> found;
  for (const auto pid : pids) {
    const auto process = open_process(pid);
    const auto space = process.valid() ? user_namespace_of(process) : Fd{};
    const auto id = id_of(space);
    if (id == 0) continue;
    auto& entry = found[id];
    ++entry.processes;
    if (entry.first != 0) continue;
    uid_t owner = 0;
    (void)::ioctl(space.get(), NS_GET_OWNER_UID, &owner);
    entry.id = id;
    entry.parent = id_of(parent_of(space));
    entry.owner = owner;
    entry.first = pid;
    entry.command = command_of(process, read_of(process, "status", kLargestStatus));
  }
  std::vector<UserNamespace> all;
  all.reserve(found.size());
  for (auto& [id, entry] : found) all.push_back(std::move(entry));
  return all;
}

std::optional<pid_t> first_child(pid_t pid) {
  constexpr std::size_t kEnough = 64;
  const auto file =
      open_at(AT_FDCWD, concat("/proc/", pid, "/task/", pid, "/children").c_str(), O_RDONLY);
  std::string text(file ? kEnough : 0, '\0');
  if (file) text.resize(read_some(*file, text).value_or(0));
  std::string_view rest = text;
  const auto child = parse_decimal(take_until(rest, ' '));
  return child ? std::optional(static_cast<pid_t>(*child)) : std::nullopt;
}

}  // namespace userns::frontend
