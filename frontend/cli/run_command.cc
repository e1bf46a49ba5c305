#include "frontend/cli/run_command.h"
#include "frontend/start/make_plan.h"
#include "frontend/start/plan/to_text.h"
#include "frontend/start/running.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <utility>

#include "frontend/cli/terminal.h"
#include "frontend/images/run_image.h"
#include "frontend/run/exit_status.h"
#include "frontend/spec/options.h"
#include "frontend/spec/tell.h"
#include "frontend/spec/verb.h"
#include "frontend/start/plan/plan.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

std::string shell_for(const Spec& spec) {
  const char* const own = spec.rootfs.empty() ? std::getenv("SHELL") : nullptr;
  return own != nullptr && own[0] == '/' ? own : "/bin/sh";
}

const VerbOption kImageOption[]{
    {"image", "REF", "the root file system of an image; changes to it are thrown away"},
    kAuthOption,
    kCertOption,
    kPlainOption};
const Verb kRunWords{.name = "run",
                     .arguments = "[OPTIONS] [-- COMMAND...]",
                     .summary = "",
                     .options = kImageOption,
                     .takes_container_options = true,
                     .run = nullptr};

bool names_image(std::span<const std::string_view> words) {
  return std::ranges::any_of(words, [](std::string_view word) {
    return word == "--image" || word.starts_with("--image=");
  });
}

Result<ImageRun> run_of_image(std::span<const std::string_view> words,
                              std::span<const std::string_view> command, bool has_command) {
  const auto taken = TRY(parse_words(kRunWords, words, command, has_command));
  return spec_of_image(std::string(taken.one("image").value_or("")), taken);
}

Result<Plan> plan_for(std::span<const std::string_view> words,
                      std::span<const std::string_view> command, bool has_command) {
  auto spec = TRY(parse_options(words));
  if (has_command && (command.empty() || command.front().empty()))
    return fail({}, "no command after --: write one, or leave out the -- to get a shell");
  spec.command.assign(command.begin(), command.end());
  if (!has_command && !spec.boot) spec.command = {shell_for(spec)};
  return make_plan_to_start(std::move(spec));
}

}  // namespace

int run_command(std::span<const std::string_view> words, std::span<const std::string_view> command,
                bool has_command) {
  ImageRun image;
  if (names_image(words)) {
    auto found = run_of_image(words, command, has_command);
    if (!found) return own_failure(found.error());
    image = std::move(*found);
    for (const auto& note : image.notes) tell("userns-run", {.rule = {}, .code = 0, .text = note});
  }
  const auto plan =
      image.held.valid() ? make_plan_to_start(image.spec) : plan_for(words, command, has_command);
  if (!plan) return own_failure(plan.error());
  return plan->spec.dry_run ? print(to_text(*plan)) : run(*plan);
}

std::span<const VerbOption> run_options() { return kImageOption; }

}  // namespace userns::frontend
