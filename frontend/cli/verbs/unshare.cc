#include "frontend/cli/verbs/unshare.h"

#include <sched.h>
#include <unistd.h>

#include <vector>

#include "frontend/cli/terminal.h"
#include "frontend/start/ids/callers_ids.h"
#include "frontend/start/ids/in_map.h"
#include "frontend/start/make_plan.h"
#include "frontend/start/running.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

std::vector<MapWish> wishes_of(const ChosenIds& ids) {
  std::vector<MapWish> wishes;
  for (const auto& extent : ids.uids.extents)
    wishes.push_back({.which = MapWish::Which::kUid, .extent = extent});
  for (const auto& extent : ids.gids.extents)
    wishes.push_back({.which = MapWish::Which::kGid, .extent = extent});
  return wishes;
}

// Its ids and the caller's own, in the caller's tree, network and all: whoever is root of them may
// read, change and delete the files of both.
Result<Spec> spec_with_ids_of(const Container& container) {
  const auto other = TRY(container.spec());
  const auto ids = TRY(find_ids(other));
  const auto all = TRY(ids_with_self(ids, ::getuid(), ::getgid()));
  Spec spec;
  spec.mapping = other.mapping;
  if (!std::holds_alternative<MapSelf>(other.mapping)) spec.mapping = wishes_of(all.ids);
  spec.namespaces = CLONE_NEWUSER;
  spec.net = NetHost{};
  return spec;
}

}  // namespace

int run_unshare(const Words& words) {
  if (words.command.empty() || words.command.front().empty())
    return own_failure({.rule = {},
                        .code = 0,
                        .text = "what is to be run? userns-run unshare NAME -- COMMAND [ARG...]"});
  const auto container = one_container(words);
  if (!container) return own_failure(container.error());
  auto spec = spec_with_ids_of(*container);
  if (!spec) return own_failure(spec.error());
  spec->command = words.command;
  const auto plan = make_plan(*spec);
  return plan ? run(*plan) : own_failure(plan.error());
}

}  // namespace userns::frontend
