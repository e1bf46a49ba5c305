#include "frontend/run/cgroup/cgroup.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "frontend/run/as_root_of.h"
#include "frontend/run/cgroup/files.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

std::uint64_t count_of(const Fd& dir, const char* file, std::string_view key) {
  const auto text = read_path(dir.get(), file).value_or("");
  for (std::string_view rest = text; !rest.empty();) {
    auto value = take_until(rest, '\n');
    if (take_until(value, ' ') == key) return parse_decimal(value).value_or(0);
  }
  return 0;
}

// An event counts at the level whose limit was met and at those above, and in *.local there alone.
// On kernels before 6.11 pids.events is of one level.
std::uint64_t count_here(const Fd& dir, const std::string& file, std::string_view key) {
  const auto local = concat(file, ".local");
  const bool has_local = ::faccessat(dir.get(), local.c_str(), F_OK, 0) == 0;
  return count_of(dir, has_local ? local.c_str() : file.c_str(), key);
}

std::string memory_that_was_met(const Fd& payload, std::string_view own_limit) {
  if (count_of(payload, "memory.events", "oom_kill") == 0) return {};
  constexpr std::string_view kKilled = " was reached, and processes were killed";
  if (count_here(payload, "memory.events", "oom") > 0 && !own_limit.empty())
    return concat("the memory limit (", own_limit, ")", kKilled);
  if (count_of(payload, "memory.events", "oom") > 0)
    return concat("a memory limit that was set inside, by a service's unit perhaps,", kKilled);
  return concat("a memory limit of the administrator's", kKilled);
}

int remove_one(const char* path, const struct stat* /*facts*/, int kind, FTW* place) {
  if (kind == FTW_DP && place->level > 0) (void)::rmdir(path);
  return 0;
}

}  // namespace

bool remove_cgroups_below(const Fd& cgroup) {
  constexpr int kOpenAtOnce = 16;
  const Fd here(::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  const bool looked = ::fchdir(cgroup.get()) == 0 &&
                      ::nftw(".", remove_one, kOpenAtOnce, FTW_DEPTH | FTW_PHYS) == 0;
  return ::fchdir(here.get()) == 0 && looked;
}

std::string_view Cgroup::option_of(std::string_view file) const {
  const auto found = std::ranges::find(parts_.limits, file, &LimitWish::file);
  return found == parts_.limits.end() ? std::string_view{} : std::string_view(found->option);
}

std::string Cgroup::memory_met() const {
  if (!parts_.payload.valid()) return {};
  return memory_that_was_met(parts_.payload, option_of("memory.max"));
}

std::string Cgroup::pids_met() const {
  if (!parts_.payload.valid()) return {};
  const auto refused = count_here(parts_.payload, "pids.events", "max");
  if (refused == 0) return {};
  const auto limit = option_of("pids.max");
  return concat("the limit of processes (", limit.empty() ? "the administrator's" : limit,
                ") was reached: ", refused, " could not be started");
}

std::string Cgroup::cpu_met() const {
  if (!parts_.payload.valid()) return {};
  const auto throttled = count_of(parts_.payload, "cpu.stat", "nr_throttled");
  if (throttled == 0) return {};
  return concat("the CPU limit (", option_of("cpu.max"), ") held it back in ", throttled, " of ",
                count_of(parts_.payload, "cpu.stat", "nr_periods"), " periods");
}

std::string Cgroup::what_was_met() const {
  std::string met;
  for (const auto& text : {memory_met(), pids_met(), cpu_met()})
    if (!text.empty()) met += concat(met.empty() ? "" : "; ", text);
  return met;
}

Cgroup Cgroup::adopt(const std::string& path,
                     std::span<const std::pair<std::string, std::string>> limits) {
  auto own = path.empty() ? Fd{} : Fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  auto payload =
      own.valid() ? open_at(own.get(), "payload", O_RDONLY | O_DIRECTORY) : Result<Fd>(Fd{});
  if (!payload) return {};
  Parts parts{.path = path, .own = std::move(own), .payload = std::move(*payload), .limits = {}};
  for (const auto& [file, option] : limits)
    parts.limits.push_back({.option = option, .file = file, .text = {}});
  return Cgroup(std::move(parts));
}

void Cgroup::kill() const {
  if (parts_.payload.valid()) (void)write_file(parts_.payload.get(), "cgroup.kill", "1");
}

void Cgroup::thaw() const {
  if (parts_.payload.valid()) (void)write_file(parts_.payload.get(), "cgroup.freeze", "0");
}

void Cgroup::sweep(const Fd& user_namespace) const {
  if (!parts_.payload.valid() || ::unlinkat(parts_.own.get(), "payload", AT_REMOVEDIR) == 0) return;
  if (user_namespace.valid())
    (void)as_root_of(user_namespace, [this] { return remove_cgroups_below(parts_.payload); });
  else
    (void)remove_cgroups_below(parts_.payload);
}

Cgroup& Cgroup::operator=(Cgroup&& other) noexcept {
  end();
  parts_ = std::move(other.parts_);
  return *this;
}

Cgroup::~Cgroup() { end(); }

void Cgroup::end() {
  if (!parts_.payload.valid()) return;
  kill();
  // Cgroups that root inside made below are root's; userns-cgroup removes them with the rest.
  (void)::unlinkat(parts_.own.get(), "payload", AT_REMOVEDIR);
}

}  // namespace userns::frontend
