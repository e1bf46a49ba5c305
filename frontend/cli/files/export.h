// userns-run export: a container in one archive.
#pragma once

#include "frontend/spec/verb.h"

namespace userns::frontend {

extern const Verb kExportVerb;

}  // namespace userns::frontend
