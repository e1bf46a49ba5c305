// userns-run top: what containers use, live.
#pragma once

#include "frontend/spec/verb.h"

namespace userns::frontend {

extern const Verb kTopVerb;

}  // namespace userns::frontend
