// userns-run shift, userns-run convert: the files of a tree get other owners.
#pragma once

#include <span>

#include "frontend/spec/verb.h"

namespace userns::frontend {

std::span<const VerbOption> shift_options();
int shift_verb(const Words& words);

std::span<const VerbOption> convert_options();
int convert_verb(const Words& words);

}  // namespace userns::frontend
