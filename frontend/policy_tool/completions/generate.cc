// Writes userns-policy's completions for a shell: policy_completions bash|zsh|fish. Runs when the
// suite is built; what it writes comes from the table that the program itself parses by.
#include <string_view>

#include "frontend/policy_tool/completions/words.h"
#include "frontend/policy_tool/tool.h"

int main(int argc, char** argv) {
  using namespace userns::frontend;
  const std::string_view shell = argc == 2 ? argv[1] : "";
  if (shell == "bash") return put_as_it_is(bash_completion());
  if (shell == "zsh") return put_as_it_is(zsh_completion());
  if (shell == "fish") return put_as_it_is(fish_completion());
  return tool_failure(
      {.rule = {}, .code = 0, .text = "completions for which shell? bash, zsh or fish"});
}
