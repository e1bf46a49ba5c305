// The verbs that look into a container or reach into it: exec, console.
#pragma once

#include "frontend/spec/verb.h"

namespace userns::frontend {

extern const Verb kExecVerb;
extern const Verb kConsoleVerb;

}  // namespace userns::frontend
