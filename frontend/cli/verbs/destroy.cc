#include "frontend/cli/verbs/destroy.h"

#include "frontend/cli/terminal.h"
#include "frontend/container/destroy.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

// One that is not a container any more may have been interrupted half way.
bool finish_earlier(const Store& store, const std::string& name) {
  const auto rest = destroy_rest(store, name);
  return rest && *rest;
}

}  // namespace

int run_destroy(const Words& words) {
  const auto store = store_of(words);
  if (!store) return own_failure(store.error());
  Words there = words;
  std::size_t finished = 0;
  std::erase_if(there.names, [&](const std::string& name) {
    if (!store->is_free(name) || !finish_earlier(*store, name)) return false;
    ++finished;
    return true;
  });
  if (finished > 0 && there.names.empty() && !words.has("group")) return 0;
  const auto containers = selected(there);
  if (!containers) return own_failure(containers.error());
  const bool force = words.has("force");
  return for_each(*containers, [&](const Container& container) {
    const auto destroyed = destroy_container(*store, container, force);
    return destroyed ? 0 : own_failure(destroyed.error());
  });
}

}  // namespace userns::frontend
