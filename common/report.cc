#include "common/report.h"

#include <unistd.h>

#include <cstring>
#include <new>

#include "policy/text.h"

namespace userns {
namespace {

const char* g_program = "userns";

void write_stderr(std::string_view text) {
  // Nothing is left to do where stderr is gone.
  [[maybe_unused]] const auto put = ::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace

std::string to_text(const Error& error) {
  std::string text = error.text;
  if (error.code != 0) text += concat(": ", std::string_view(std::strerror(error.code)));
  if (!error.rule.empty()) text += concat(" [", error.rule, "]");
  return text;
}

void report(std::string_view program, const Error& error) {
  write_stderr(concat(program, ": ", to_text(error), "\n"));
}

void exit_when_out_of_memory(const char* program) {
  g_program = program;
  std::set_new_handler([] {
    write_stderr(g_program);
    write_stderr(": out of memory; nothing was done\n");
    ::_exit(1);
  });
}

}  // namespace userns
