// Has the ids of a new user namespace mapped: by newuidmap and newgidmap, side by side, or directly
// where the kernel takes that from the caller.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/start/ids/choose_ids.h"
#include "policy/error.h"

namespace userns::frontend {

struct MapWork {
  std::function<Result<void>()> meanwhile;  // called while the helpers run
  bool keep_written = false;                // a map that is there already stays
};
// The helpers are the installed ones of this build, or those on PATH. What they say on stderr
// becomes the error's text.
Result<void> map_ids(const ChosenIds& ids, pid_t target, const MapWork& how = {});

// The words of a helper after the pid; none where no helper is needed.
std::vector<std::string> helper_words(const ChosenMap& map);

}  // namespace userns::frontend
