#include "frontend/cli/verbs/destroy.h"

#include "frontend/cli/terminal.h"
#include "frontend/container/destroy.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

// One that is not a container any more may have been interrupted half way. Whether that is so.
Result<bool> finish_earlier(const Store& store, const std::string& name) {
  if (!store.is_free(name)) return false;
  return destroy_rest(store, name);
}

}  // namespace

int run_destroy(const Words& words) {
  const auto store = store_of(words);
  if (!store) return own_failure(store.error());
  Words there = words;
  int status = 0;
  std::erase_if(there.names, [&](const std::string& name) {
    const auto finished = finish_earlier(*store, name);
    if (!finished) status = own_failure(finished.error());
    return !finished || *finished;
  });
  if (there.names.empty() && !words.names.empty() && !words.has("group")) return status;
  const bool force = words.has("force");
  const int done = for_selected(there, [&](const Container& container) {
    const auto destroyed = destroy_container(*store, container, force);
    return destroyed ? 0 : own_failure(destroyed.error());
  });
  return done != 0 ? done : status;
}

}  // namespace userns::frontend
