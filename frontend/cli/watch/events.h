// userns-run events: what happened to the containers of a store, and what happens, for scripts.
#pragma once

#include "frontend/spec/verb.h"

namespace userns::frontend {

extern const Verb kEventsVerb;

}  // namespace userns::frontend
