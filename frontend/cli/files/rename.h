// userns-run rename: another name for a container.
#pragma once

#include "frontend/spec/verb.h"

namespace userns::frontend {

extern const Verb kRenameVerb;

}  // namespace userns::frontend
