#include "frontend/container/facts.h"

#include "policy/text.h"

namespace userns::frontend {

ContainerFacts facts_of(const Container& container) {
  ContainerFacts facts{.name = container.name(), .path = container.path(), .running = {}, .config = {}, .problem = {}};
  auto config = container.settings();
  if (config)
    facts.config = std::move(*config);
  else
    facts.problem = config.error().text;
  return facts;
}

bool is_running(const Container& /*container*/) { return false; }

Result<void> stop_for_good(const Container& container) { return fail({}, cat(container.name(), " cannot be stopped")); }

}  // namespace userns::frontend
