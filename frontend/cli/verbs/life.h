// The verbs of a container's life: start, stop, restart, kill, wait, freeze, thaw.
#pragma once

#include <array>

#include "frontend/spec/verb.h"

namespace userns::frontend {

extern const Verb kStartVerb;
extern const Verb kStopVerb;
extern const Verb kRestartVerb;
extern const Verb kFreezeVerb;
extern const Verb kThawVerb;
extern const Verb kKillVerb;
extern const Verb kWaitVerb;

}  // namespace userns::frontend
