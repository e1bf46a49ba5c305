#include "frontend/cli/files/rename.h"

#include <array>
#include <string>

#include "frontend/cli/terminal.h"
#include "frontend/cli/verbs/select.h"
#include "frontend/container/make/rename.h"
#include "frontend/spec/tell.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

int rename_verb(const Words& words) {
  if (words.names.size() != 2)
    return own_failure(
        {.rule = {},
         .code = 0,
         .text = "rename takes a container and its new name: userns-run rename web shop"});
  const auto to = container_name(words.names.back());
  const auto store = to ? store_of(words) : std::unexpected(to.error());
  const auto notes =
      store ? rename_container(*store, words.names.front(), *to) : std::unexpected(store.error());
  if (!notes) return own_failure(notes.error());
  for (const auto& text : *notes)
    tell("userns-run", {.rule = {}, .code = 0, .text = concat(*to, ": ", text)});
  return 0;
}

constexpr std::array kRenameOptions{kPathOption};

}  // namespace

constinit const Verb kRenameVerb{.name = "rename",
                                 .arguments = "NAME NEW",
                                 .summary = "Gives a container that does not run another name",
                                 .options = kRenameOptions,
                                 .run = rename_verb};

}  // namespace userns::frontend
