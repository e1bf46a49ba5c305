// The whole of newuidmap and newgidmap, from argv to the exit status.
#pragma once

#include "helpers/newidmap/traits.h"

namespace userns::newidmap {

// Exit status: 0 the map is written, 1 it is not (stderr says why). Contract: newuidmap(1).
int run(const Traits& traits, int argc, char** argv);

}  // namespace userns::newidmap
