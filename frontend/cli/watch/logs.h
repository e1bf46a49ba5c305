// userns-run logs: what the console of a container has said, and when.
#pragma once

#include "frontend/spec/verb.h"

namespace userns::frontend {

extern const Verb kLogsVerb;

}  // namespace userns::frontend
