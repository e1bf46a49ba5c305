#include "frontend/cli/verbs/doctor.h"

#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "frontend/cli/terminal.h"
#include "frontend/doctor/gather.h"
#include "frontend/doctor/judge.h"
#include "frontend/doctor/show.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

bool wants_colours() {
  const char* const no = std::getenv("NO_COLOR");  // https://no-color.org
  const char* const terminal = std::getenv("TERM");
  return ::isatty(STDOUT_FILENO) == 1 && (no == nullptr || *no == '\0') && terminal != nullptr &&
         std::string_view(terminal) != "dumb";
}

}  // namespace

int run_doctor(const Words& words) {
  if (!words.names.empty() || words.has_command)
    return own_failure({.rule = {}, .code = 0, .text = "doctor takes no words but --json"});
  const auto facts = doctor::gather();
  const auto findings = doctor::judge(facts);
  const auto text = words.has("json") ? doctor::to_json(facts, findings)
                                      : doctor::to_text(facts, findings, wants_colours());
  if (const int failed = print_as_it_is(text); failed != 0) return failed;
  return doctor::is_well(findings) ? 0 : 1;
}

}  // namespace userns::frontend
