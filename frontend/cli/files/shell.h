// userns-run shell: a login shell in a container that runs.
#pragma once

#include "frontend/spec/verb.h"

namespace userns::frontend {

extern const Verb kShellVerb;

}  // namespace userns::frontend
