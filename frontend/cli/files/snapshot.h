// userns-run snapshot: what a container can be put back to.
#pragma once

#include "frontend/spec/verb.h"

namespace userns::frontend {

extern const Verb kSnapshotVerb;

}  // namespace userns::frontend
