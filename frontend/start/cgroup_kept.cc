// What whoever watches a container does with its cgroups; frontend/start/cgroup.cc makes them.
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "frontend/start/as_root_of.h"
#include "frontend/start/cgroup.h"
#include "frontend/start/cgroup_files.h"
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

std::string Cgroup::what_was_met() const {
  const auto limit = [&](std::string_view file) {
    const auto found = std::ranges::find(limits_, file, &LimitWish::file);
    return found == limits_.end() ? std::string_view{} : std::string_view(found->option);
  };
  std::string met;
  const auto add = [&](std::string_view text) { met += concat(met.empty() ? "" : "; ", text); };
  if (!payload_.valid()) return met;
  if (count_of(payload_, "memory.events", "oom_kill") > 0)
    add(count_of(payload_, "memory.events", "oom") > 0 && !limit("memory.max").empty()
            ? concat("the memory limit (", limit("memory.max"),
                     ") was reached, and processes were killed")
            : "a memory limit of the administrator's was reached, and processes were killed");
  if (const auto refused = count_of(payload_, "pids.events", "max"); refused > 0)
    add(concat("the limit of processes (",
               limit("pids.max").empty() ? "the administrator's" : limit("pids.max"),
               ") was reached: ", refused, " could not be started"));
  if (const auto throttled = count_of(payload_, "cpu.stat", "nr_throttled"); throttled > 0)
    add(concat("the CPU limit (", limit("cpu.max"), ") held it back in ", throttled, " of ",
               count_of(payload_, "cpu.stat", "nr_periods"), " periods"));
  return met;
}

Cgroup Cgroup::adopt(const std::string& path,
                     std::span<const std::pair<std::string, std::string>> limits) {
  Cgroup cgroup;
  auto own = path.empty() ? Fd{} : Fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  auto payload =
      own.valid() ? open_at(own.get(), "payload", O_RDONLY | O_DIRECTORY) : Result<Fd>(Fd{});
  if (!payload) return cgroup;
  cgroup.path_ = path;
  cgroup.own_ = std::move(own);
  cgroup.payload_ = std::move(*payload);
  for (const auto& [file, option] : limits)
    cgroup.limits_.push_back({.option = option, .file = file, .text = {}});
  return cgroup;
}

void Cgroup::kill() const {
  if (payload_.valid()) (void)write_file(payload_.get(), "cgroup.kill", "1");
}

void Cgroup::thaw() const {
  if (payload_.valid()) (void)write_file(payload_.get(), "cgroup.freeze", "0");
}

void Cgroup::sweep(const Fd& user_namespace) const {
  if (!payload_.valid() || ::unlinkat(own_.get(), "payload", AT_REMOVEDIR) == 0) return;
  if (user_namespace.valid())
    (void)as_root_of(user_namespace, [this] { return remove_cgroups_below(payload_); });
  else
    (void)remove_cgroups_below(payload_);
}

Cgroup& Cgroup::operator=(Cgroup&& other) noexcept {
  end();
  path_ = std::move(other.path_);
  own_ = std::move(other.own_);
  payload_ = std::move(other.payload_);
  limits_ = std::move(other.limits_);
  return *this;
}

Cgroup::~Cgroup() { end(); }

void Cgroup::end() {
  if (!payload_.valid()) return;
  kill();
  // What root inside made below is his; userns-cgroup removes it with the rest.
  (void)::unlinkat(own_.get(), "payload", AT_REMOVEDIR);
}

}  // namespace userns::frontend
