// userns-run cp: files into a container, out of it, and between two.
#pragma once

#include "frontend/spec/verb.h"

namespace userns::frontend {

extern const Verb kCopyVerb;

}  // namespace userns::frontend
