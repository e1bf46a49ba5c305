#include "frontend/container/facts.h"
#include "frontend/container/addresses.h"

#include <fcntl.h>
#include <unistd.h>

#include <set>

#include "frontend/store/files.h"
#include "frontend/store/processes.h"
#include "frontend/store/registry.h"
#include "frontend/store/state.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kLargestProcFile = std::size_t{1} << 20;

// A kernel file; empty where it is gone with its process, or too long to be of use.
std::string kernel_text(const std::string& path) {
  const auto file = open_at(AT_FDCWD, path.c_str(), O_RDONLY);
  const auto text = file ? read_all(*file, kLargestProcFile) : std::unexpected(file.error());
  return text ? *text : std::string{};
}

std::optional<std::uint64_t> number_in(std::string_view text) {
  return parse_decimal(take_until(text, '\n'));
}

// Below `pid`, and itself: as many as a container may sanely have, whatever it does meanwhile.
void add_descendants(pid_t pid, std::set<pid_t>& found) {
  constexpr std::size_t kMost = 20000;
  std::vector<pid_t> left{pid};
  while (!left.empty() && found.size() < kMost) {
    const pid_t one = left.back();
    left.pop_back();
    if (!found.insert(one).second) continue;
    const auto text = kernel_text(concat("/proc/", one, "/task/", one, "/children"));
    for (std::string_view rest = text; !rest.empty();)
      if (const auto child = parse_decimal(take_until(rest, ' ')))
        left.push_back(static_cast<pid_t>(*child));
  }
}

// What its processes have resident: pages that several share are counted several times.
std::optional<std::uint64_t> resident(pid_t init) {
  std::set<pid_t> pids;
  add_descendants(init, pids);
  std::uint64_t pages = 0;
  for (const pid_t pid : pids) {
    const auto text = kernel_text(concat("/proc/", pid, "/statm"));
    std::string_view rest = text;
    (void)take_until(rest, ' ');
    pages += parse_decimal(take_until(rest, ' ')).value_or(0);
  }
  if (pages == 0) return std::nullopt;
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

// An init of ours hides, and freeze lets it run: then its command is what stands still.
bool is_stopped_by_signals(const ProcessId& init) {
  if (init.is_stopped()) return true;
  const auto command = user_namespace_id(init.pid) == 0 ? first_child(init.pid) : std::nullopt;
  const auto id = command ? ProcessId::of(*command) : std::nullopt;
  return id && id->is_stopped();
}

bool is_frozen(const State& state) {
  if (!state.cgroup.empty() &&
      kernel_text(state.cgroup + "/payload/cgroup.events").contains("frozen 1\n"))
    return true;
  return is_stopped_by_signals(state.init);
}

RunningFacts running_facts(const State& state) {
  RunningFacts facts{.pid = state.init.pid,
                     .init = state.kind,
                     .started_at = state.started_at,
                     .problem = state.problem,
                     .memory = {},
                     .addresses = {}};
  if (facts.pid == 0) return facts;
  if (!state.cgroup.empty()) {
    facts.memory = number_in(kernel_text(state.cgroup + "/memory.current"));
  }
  if (!facts.memory) facts.memory = resident(facts.pid);
  facts.frozen = is_frozen(state);
  facts.addresses = ipv4_addresses(kernel_text(concat("/proc/", facts.pid, "/net/fib_trie")));
  for (auto& address : ipv6_addresses(kernel_text(concat("/proc/", facts.pid, "/net/if_inet6"))))
    facts.addresses.push_back(std::move(address));
  if (!state.init.lives()) facts.addresses.clear();  // then somebody else's may have been read
  return facts;
}

}  // namespace

ContainerFacts facts_of(const Container& container) {
  ContainerFacts facts{.name = container.name(),
                       .path = container.path(),
                       .running = {},
                       .last_end = {},
                       .config = {},
                       .problem = {}};
  const auto state = read_state(container.dir());
  const bool runs = state && *state;
  if (runs) facts.running = running_facts(**state);
  facts.last_end =
      facts.running ? read_last_end(container.dir()) : read_orderly_end(container.dir());
  auto config = container.settings();
  if (config)
    if (const auto own = container.config(); own)
      if (const auto ids = check_ids_in(container, *own); !ids) facts.problem = ids.error().text;
  if (config)
    facts.config = std::move(*config);
  else
    facts.problem = config.error().text;
  if (!config && runs) facts.config.autostart = (*state)->autostart;
  if (!config && runs) facts.config.groups = (*state)->groups;
  return facts;
}

Result<std::vector<std::string>> groups_of(const Container& container) {
  auto config = container.settings();
  if (config) return std::move(config->groups);
  const auto state = read_state(container.dir());
  if (state && *state) return (*state)->groups;
  return std::unexpected(config.error());
}

bool is_frozen(const Container& container) {
  const auto state = read_state(container.dir());
  return state && *state && (*state)->init.pid != 0 && is_frozen(**state);
}

bool is_running(const Container& container) {
  const auto state = read_state(container.dir());
  return !state || *state;
}

}  // namespace userns::frontend
