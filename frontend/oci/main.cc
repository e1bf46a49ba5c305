// userns-oci(1): an OCI runtime. It has no privilege: what it cannot do as its caller, newuidmap
// and newgidmap do for it.
#include <string>
#include <vector>

#include "common/report.h"
#include "frontend/oci/config/arguments.h"
#include "frontend/oci/log.h"
#include "frontend/oci/verbs.h"

int main(int argc, char** argv) {
  using namespace userns;
  using namespace userns::frontend;
  exit_when_out_of_memory("userns-oci");
  const std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
  const auto told = parse_arguments(words);
  if (!told) {
    log_failure({}, told.error());
    return 1;
  }
  const auto status = run_verb(*told);
  if (status) return *status;
  log_failure(*told, status.error());
  return 1;
}
