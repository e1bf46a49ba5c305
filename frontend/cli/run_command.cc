#include "frontend/cli/run_command.h"
#include "frontend/start/make_plan.h"
#include "frontend/start/plan/to_text.h"
#include "frontend/start/running.h"

#include <cstdlib>
#include <string>

#include "frontend/cli/terminal.h"
#include "frontend/run/exit_status.h"
#include "frontend/spec/options.h"
#include "frontend/start/plan/plan.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

std::string shell_for(const Spec& spec) {
  const char* const own = spec.rootfs.empty() ? std::getenv("SHELL") : nullptr;
  return own != nullptr && own[0] == '/' ? own : "/bin/sh";
}

Result<Plan> plan_for(std::span<const std::string_view> words,
                      std::span<const std::string_view> command, bool has_command) {
  auto spec = parse_options(words);
  if (!spec) return std::unexpected(spec.error());
  if (has_command && (command.empty() || command.front().empty()))
    return fail({}, "no command after --: write one, or leave out the -- to get a shell");
  spec->command.assign(command.begin(), command.end());
  if (!has_command && !spec->boot) spec->command = {shell_for(*spec)};
  return make_plan(*spec);
}

}  // namespace

int run_command(std::span<const std::string_view> words, std::span<const std::string_view> command,
                bool has_command) {
  const auto plan = plan_for(words, command, has_command);
  if (!plan) return own_failure(plan.error());
  return plan->spec.dry_run ? print(to_text(*plan)) : run(*plan);
}

}  // namespace userns::frontend
