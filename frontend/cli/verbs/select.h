// Which containers a verb is about, and doing it to each of them.
#pragma once

#include <functional>
#include <vector>

#include "frontend/spec/verb.h"
#include "frontend/store/store.h"
#include "policy/error.h"

namespace userns::frontend {

// The options that select: --path, --group. Rows for a verb's table.
inline constexpr VerbOption kPathOption{"path", "DIR",
                                        "where the containers are (~/.local/share/userns)", false};
inline constexpr VerbOption kGroupOption{"group", "NAME", "all containers that have this label",
                                         true};

Result<Store> store_of(const Words& words);
// The one that is named; more or fewer are an error.
Result<Container> one_container(const Words& words);
// Those that are named and those of the groups; none is an error.
Result<std::vector<Container>> selected(const Words& words);

// Does it to each of them (for_each()). One that is not there is told about, and the others have
// their turn: the status is that of a failure of our own then.
int for_selected(const Words& words, const std::function<int(const Container&)>& act);

// Does it to each, side by side where there are several, each in a process of its own. Returns the
// exit status: the first that is not 0.
int for_each(const std::vector<Container>& containers,
             const std::function<int(const Container&)>& act);

}  // namespace userns::frontend
