// userns-run network: the caller's networks, and who is in them.
#pragma once

#include "frontend/spec/verb.h"

namespace userns::frontend {

extern const Verb kNetworkVerb;

}  // namespace userns::frontend
