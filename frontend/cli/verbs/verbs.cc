#include <array>

#include "frontend/cli/verbs/doctor.h"
#include "frontend/cli/verbs/inside.h"
#include "frontend/cli/verbs/life.h"
#include "frontend/cli/verbs/verb.h"

namespace userns::frontend {
namespace {

// A row each; the functions are in the verb's own file.
const std::array kVerbs{
    Verb{.name = "doctor",
         .arguments = "[--json]",
         .summary = "Says what containers need on this host, what is missing, and what to do about it",
         .options = kDoctorOptions,
         .run = run_doctor},
    kStartVerb,
    kStopVerb,
    kRestartVerb,
    kKillVerb,
    kWaitVerb,
    kExecVerb,
    kConsoleVerb,
    kLogsVerb,
};

}  // namespace

std::span<const Verb> verbs() { return kVerbs; }

}  // namespace userns::frontend
