#include "frontend/cli/verbs/ps.h"

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "frontend/cli/terminal.h"
#include "frontend/cli/usage/process_list.h"
#include "frontend/cli/verbs/select.h"
#include "frontend/container/connection.h"
#include "frontend/store/state.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

Result<Looked> look_at(const Container& container) {
  const auto init = TRY(find_way_in(container));
  auto first = TRY(find_init_process(container));
  return Looked::at(container.name(), init.pid, init.pidfd, first.pid, std::move(first.pidfd));
}

// The named ones, or all that run.
Result<std::vector<Container>> wanted(const Words& words) {
  if (!words.names.empty() || words.has("group")) return selected(words);
  const auto store = TRY(store_of(words));
  const auto names = TRY(store.names());
  std::vector<Container> running;
  for (const auto& name : names) {
    auto container = store.find(name);
    const auto state =
        container ? read_state(container->dir()) : Result<std::optional<State>>(std::nullopt);
    if (state && *state && (*state)->init.pid != 0) running.push_back(std::move(*container));
  }
  return running;
}

// One that has ended, or is just doing so, is not a failure to look at it.
bool runs_still(const Container& container) {
  const auto init = find_init_process(container);
  return init ? !has_ended(init->pidfd) : init.error().code != 0;
}

// Those that are named must run. Of the others, one that ends meanwhile is left out, and one that
// cannot be looked at is told about: the rest are listed all the same.
Result<int> look_at_all(std::vector<Looked>& looked, const std::vector<Container>& containers,
                        bool named) {
  int status = 0;
  for (const auto& container : containers) {
    auto one = look_at(container);
    if (one) looked.push_back(std::move(*one));
    if (one) continue;
    if (named) return std::unexpected(one.error());
    if (runs_still(container)) status = own_failure(one.error());
  }
  return status;
}

int ps_verb(const Words& words) {
  if (words.has("host") && words.has("namespaces"))
    return own_failure(
        {.rule = {}, .code = 0, .text = "--host and --namespaces exclude each other"});
  if (words.has("namespaces")) return ps_namespaces(words.has("json"));
  if (words.has("host")) return ps_host(words.has("json"));
  const auto containers = wanted(words);
  if (!containers) return own_failure(containers.error());
  std::vector<Looked> looked;
  const auto status = look_at_all(looked, *containers, !words.names.empty());
  if (!status) return own_failure(status.error());
  const auto listed = list_processes(looked);
  if (!listed) return own_failure(listed.error());
  const int put =
      words.has("json") ? print_json(json_of(*listed, false)) : print(table_of(*listed, false));
  return put != 0 ? put : *status;
}

constexpr std::array kPsOptions{
    VerbOption{"host", "", "those of the containers of all users (root)", false},
    VerbOption{"namespaces", "", "every user namespace of the machine, and whose it is (root)",
               false},
    VerbOption{"json", "", "for programs", false}, kGroupOption, kPathOption};

}  // namespace

constinit const Verb kPsVerb{
    .name = "ps",
    .arguments = "[NAME...] [OPTIONS]",
    .summary = "Lists the processes of containers, with their ids on both sides",
    .options = kPsOptions,
    .run = ps_verb,
    .kind = VerbKind::kLook};

}  // namespace userns::frontend
