// The names in a directory that is open.
#pragma once

#include <string>
#include <vector>

#include "common/fd.h"

namespace userns {

// `dir` was opened to be read. `type`: DT_* of readdir(3), or DT_UNKNOWN for all. Neither "." nor
// "..", in no order.
Result<std::vector<std::string>> names_in(Fd dir, unsigned char type);

}  // namespace userns
