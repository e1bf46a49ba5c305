// ps: processes of containers, seen from both sides; and every user namespace of the machine.
#pragma once

#include "frontend/spec/verb.h"

namespace userns::frontend {

extern const Verb kPsVerb;

}  // namespace userns::frontend
