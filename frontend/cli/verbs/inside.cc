#include "frontend/cli/verbs/inside.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <limits>

#include "frontend/cli/terminal.h"
#include "frontend/cli/verbs/select.h"
#include "frontend/container/beside.h"
#include "frontend/container/console.h"
#include "frontend/run/exit_status.h"
#include "frontend/spec/values.h"
#include "frontend/store/files.h"
#include "frontend/store/state.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

// --- exec ---------------------------------------------------------------------------------------

Result<void> add_env(ExecWish& wish, std::string_view text) {
  auto env = parse_env(text);
  if (!env) return fail({}, concat("--env: ", env.error().text));
  if (!env->value) {
    const char* const own = std::getenv(env->name.c_str());
    if (own == nullptr) return {};
    env->value = own;
  }
  wish.env.emplace_back(std::move(env->name), std::move(*env->value));
  return {};
}

// A line each: NAME=VALUE, or NAME for the caller's own; empty ones and those after a # are none.
Result<void> add_env_file(ExecWish& wish, std::string_view path) {
  constexpr std::size_t kLargest = std::size_t{1} << 20U;
  const auto file = open_at(AT_FDCWD, std::string(path).c_str(), O_RDONLY | O_NOCTTY);
  const auto text = file ? read_all(*file, kLargest) : std::unexpected(file.error());
  if (!text) return fail({}, concat("--env-file: cannot read ", quoted(path)), text.error().code);
  std::string_view rest = *text;
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const auto line = take_until(rest, '\n');
    if (line.empty() || line.starts_with('#')) continue;
    if (auto added = add_env(wish, line); !added)
      return fail({}, concat(path, ":", number, ": ", added.error().text));
  }
  return {};
}

Result<bool> wants_tty(const Words& words) {
  const auto text = words.one("tty");
  if (!text || *text == "auto") return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
  if (*text == "yes" || *text == "no") return *text == "yes";
  return fail({}, concat("--tty is auto, yes or no, not ", quoted(*text)));
}

// "joe:dev"
Result<void> split_group(ExecWish& wish) {
  std::string_view group = wish.user;
  const auto user = take_until(group, ':');
  if (user.size() == wish.user.size()) return {};
  if (user.empty() || group.empty() || !wish.group.empty())
    return fail({}, "--user is USER or USER:GROUP, and --group-id takes the place of the latter");
  wish.group = std::string(group);
  wish.user = std::string(user);
  return {};
}

Result<ExecWish> exec_wish(const Words& words) {
  ExecWish wish{.user = std::string(words.one("user").value_or("")),
                .group = std::string(words.one("group-id").value_or("")),
                .cwd = std::string(words.one("cwd").value_or("")),
                .env = {},
                .command = words.command};
  TRY(split_group(wish));
  if (wish.command.empty() || wish.command.front().empty())
    return fail({}, "what is to be run? userns-run exec NAME COMMAND [ARG...]");
  if (!wish.cwd.empty())
    if (const auto path = parse_path(wish.cwd); !path)
      return fail({}, concat("--cwd: ", path.error().text));
  for (const auto path : words.all("env-file")) TRY(add_env_file(wish, path));
  for (const auto text : words.all("env")) TRY(add_env(wish, text));
  const auto tty = TRY(wants_tty(words));
  wish.tty = tty;
  return wish;
}

int exec_verb(const Words& words) {
  const auto wish = exec_wish(words);
  if (!wish) return own_failure(wish.error());
  const auto container = one_container(words);
  if (!container) return own_failure(container.error());
  const auto status = execute_beside(*container, *wish);
  if (status) return *status;
  own_failure(status.error().error);
  return status.error().exit_status;
}

// --- console ------------------------------------------------------------------------------------

int console_verb(const Words& words) {
  const auto escape = parse_escape(words.one("escape").value_or("^]^]"));
  if (!escape) return own_failure(escape.error());
  const auto container = one_container(words);
  if (!container) return own_failure(container.error());
  const auto status = attach_console(*container, {.escape = *escape});
  return status ? *status : own_failure(status.error());
}

// --- the table ----------------------------------------------------------------------------------

constexpr std::array kExecOptions{
    VerbOption{"user", "USER[:GROUP]", "names or numbers in the container (root)", false},
    VerbOption{"group-id", "GROUP", "a name or number in the container (the user's own)", false},
    VerbOption{"cwd", "DIR", "where it runs, in the container (/)", false},
    VerbOption{"env", "NAME[=VALUE]", "set a variable, or take the caller's", true},
    VerbOption{"env-file", "FILE", "set what its lines say: NAME=VALUE, or NAME", true},
    VerbOption{"tty", "WHEN", "auto | yes | no: a terminal of its own", false},
    kPathOption};
constexpr std::array kConsoleOptions{
    VerbOption{"escape", "KEYS", "keys that detach (^]^]), or none", false}, kPathOption};

}  // namespace

constinit const Verb kExecVerb{.name = "exec",
                               .arguments = "NAME [OPTIONS] [--] COMMAND [ARG...]",
                               .summary = "Runs a command in a container that runs, as its root",
                               .options = kExecOptions,
                               .run = exec_verb,
                               .kind = VerbKind::kInside,
                               .command_follows_name = true};
constinit const Verb kConsoleVerb{
    .name = "console",
    .arguments = "NAME [OPTIONS]",
    .summary = "Attaches to the console of a container; Ctrl-] twice leaves it",
    .options = kConsoleOptions,
    .run = console_verb,
    .kind = VerbKind::kInside};

}  // namespace userns::frontend
