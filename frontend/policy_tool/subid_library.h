// libsubid, where it is installed: it writes subid files as useradd does.
#pragma once

#include <string>
#include <string_view>

#include "policy/id_range.h"

namespace userns::frontend {

// Whether libsubid would change nothing else in such a file: it sorts lines, turns comments round,
// and drops extended attributes.
bool is_plain_for_library(std::string_view subid_text, const std::string& path);

// Gives `owner` exactly `range`; false where libsubid is not there, refuses, or chose another one
// (which is taken back). It does not look whether the owner exists, whether ids are below 2^32, or
// who else has them: the caller has.
bool grant_by_library(IdKind kind, const std::string& owner, IdRange range);

}  // namespace userns::frontend
