#include "frontend/cli/verbs/select.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "frontend/cli/terminal.h"
#include "frontend/container/facts.h"
#include "frontend/run/exit_status.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kAtOnce = 16;

// Waits for one of ours. Its exit status.
int collect_one() {
  int status = 0;
  while (::waitpid(-1, &status, 0) < 0)
    if (errno != EINTR) return kExitOwnFailure;
  return WIFSIGNALED(status) ? kExitSignalBase + WTERMSIG(status) : WEXITSTATUS(status);
}

bool is_in_any(const std::vector<std::string>& labels,
               const std::vector<std::string_view>& groups) {
  return std::ranges::any_of(labels, [&](const std::string& label) {
    return std::ranges::find(groups, std::string_view(label)) != groups.end();
  });
}

Result<void> add_groups(const Store& store, const std::vector<std::string_view>& groups,
                        std::vector<Container>& containers) {
  const auto names = TRY(store.names());
  for (const auto& name : names) {
    const bool there =
        std::ranges::any_of(containers, [&](const Container& c) { return c.name() == name; });
    auto container = store.find(name);
    if (there || !container) continue;
    const auto labels = TRY(groups_of(*container));
    if (is_in_any(labels, groups)) containers.push_back(std::move(*container));
  }
  return {};
}

}  // namespace

Result<Store> store_of(const Words& words) { return Store::open(words.one("path")); }

Result<Container> one_container(const Words& words) {
  if (words.names.empty()) return fail({}, "which container? userns-run list shows them");
  if (words.names.size() > 1) return fail({}, "one container at a time");
  const auto store = store_of(words);
  return store ? store->find(words.names.front()) : std::unexpected(store.error());
}

Result<std::vector<Container>> selected(const Words& words) {
  const auto store = TRY(store_of(words));
  std::vector<Container> containers;
  for (const auto& name : words.names) {
    auto container = TRY(store.find(name));
    containers.push_back(std::move(container));
  }
  const auto groups = words.all("group");
  if (!groups.empty()) TRY(add_groups(store, groups, containers));
  if (containers.empty() && !groups.empty())
    return fail({}, concat("no container has the label ", quoted(groups.front())));
  if (containers.empty())
    return fail({}, "which containers? name them, or give --group; userns-run list shows them");
  return containers;
}

int for_selected(const Words& words, const std::function<int(const Container&)>& act) {
  const auto store = store_of(words);
  if (!store) return own_failure(store.error());
  Words there = words;
  int status = 0;
  std::erase_if(there.names, [&](const std::string& name) {
    const auto container = store->find(name);
    if (!container) status = own_failure(container.error());
    return !container;
  });
  if (status != 0 && there.names.empty() && there.all("group").empty()) return status;
  const auto containers = selected(there);
  if (!containers) return own_failure(containers.error());
  const int done = for_each(*containers, act);
  return done != 0 ? done : status;
}

int for_each(const std::vector<Container>& containers,
             const std::function<int(const Container&)>& act) {
  if (containers.size() == 1) return act(containers.front());
  int worst = 0;
  std::size_t running = 0;
  const auto collect = [&] {
    const int status = collect_one();
    if (worst == 0) worst = status;
    --running;
  };
  std::fflush(nullptr);
  for (const auto& container : containers) {
    if (running == kAtOnce) collect();
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(act(container));
    if (pid < 0) {
      worst = own_failure(fail_errno("cannot start a process").error());
      break;
    }
    ++running;
  }
  while (running > 0) collect();
  return worst;
}

}  // namespace userns::frontend
