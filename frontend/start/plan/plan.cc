#include "frontend/start/plan/plan.h"

#include <csignal>

namespace userns::frontend {

int stop_signal(const Plan& plan) {
  if (plan.spec.stop_signal) return *plan.spec.stop_signal;
  return plan.boot ? stop_signal(plan.boot->init.kind) : SIGTERM;
}

}  // namespace userns::frontend
