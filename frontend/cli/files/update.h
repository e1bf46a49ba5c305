// userns-run update: settings of a container, at once where the kernel can.
#pragma once

#include "frontend/spec/verb.h"

namespace userns::frontend {

extern const Verb kUpdateVerb;

}  // namespace userns::frontend
