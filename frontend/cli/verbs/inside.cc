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
  if (auto split = split_group(wish); !split) return std::unexpected(split.error());
  if (wish.command.empty() || wish.command.front().empty())
    return fail({}, "what is to be run? userns-run exec NAME COMMAND [ARG...]");
  if (!wish.cwd.empty())
    if (const auto path = parse_path(wish.cwd); !path)
      return fail({}, concat("--cwd: ", path.error().text));
  for (const auto path : words.all("env-file"))
    if (auto added = add_env_file(wish, path); !added) return std::unexpected(added.error());
  for (const auto text : words.all("env"))
    if (auto added = add_env(wish, text); !added) return std::unexpected(added.error());
  const auto tty = wants_tty(words);
  if (!tty) return std::unexpected(tty.error());
  wish.tty = *tty;
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

// --- logs ---------------------------------------------------------------------------------------

constexpr int kLookEvery = 200;  // ms
constexpr std::size_t kLargestLog = std::size_t{1} << 30U;

// Both files, as they belong together. The files are held open: so the inode number of one that is
// gone is no other's.
struct Log {
  Fd old;
  Fd now;
};

bool is_same(const Fd& one, const Fd& other) {
  struct stat a{};
  struct stat b{};
  return one.valid() && other.valid() && ::fstat(one.get(), &a) == 0 &&
         ::fstat(other.get(), &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

Result<Fd> open_part(const Container& container, const char* name) {
  auto file = open_own_file(container.dir().get(), name);
  if (!file && file.error().code == ENOENT) return Fd{};
  if (!file)
    return fail({}, concat("cannot read the log of ", container.name(), ": ", file.error().text),
                file.error().code);
  return file;
}

Result<Log> open_both(const Container& container) {
  while (true) {
    auto old = open_part(container, kOldLogFile);
    if (!old) return std::unexpected(old.error());
    auto now = open_part(container, kLogFile);
    if (!now) return std::unexpected(now.error());
    const auto again = open_part(container, kOldLogFile);
    const bool is_still = !old->valid() ? again && !again->valid() : again && is_same(*old, *again);
    if (is_still) return Log{.old = std::move(*old), .now = std::move(*now)};
  }
}

// From where it was read to last.
Result<std::string> rest_of(const Fd& file) {
  return file.valid() ? read_all(file, kLargestLog) : Result<std::string>(std::string{});
}

std::string_view last_lines(std::string_view text, std::uint64_t count) {
  std::size_t at = text.size();
  if (text.ends_with('\n') && at > 0) --at;
  for (; count > 0; --count) {
    const auto before = at == 0 ? std::string_view::npos : text.rfind('\n', at - 1);
    if (before == std::string_view::npos) return text;
    at = before;
  }
  return text.substr(std::min(at + 1, text.size()));
}

// What has come since. `file` is where the last look ended; of one that was put aside meanwhile the
// rest comes first, and then the one that was put aside after it.
Result<std::string> what_is_new(const Container& container, Fd& file) {
  auto log = open_both(container);
  if (!log) return std::unexpected(log.error());
  auto text = rest_of(file);
  if (!text || is_same(file, log->now) || !log->now.valid()) return text;
  if (!is_same(file, log->old)) {
    const auto between = rest_of(log->old);
    if (!between) return between;
    *text += *between;
  }
  const auto newest = rest_of(log->now);
  if (!newest) return newest;
  file = std::move(log->now);
  return *text + *newest;
}

int follow(const Container& container, Fd file) {
  while (true) {
    const auto state =
        read_state(container.dir());  // before the look: what is said last is not missed
    const auto text = what_is_new(container, file);
    if (!text) return own_failure(text.error());
    if (const int put = text->empty() ? 0 : print_as_it_is(*text); put != 0) return put;
    if (!state || !*state) return 0;
    (void)::poll(nullptr, 0, kLookEvery);
  }
}

int logs_verb(const Words& words) {
  const auto container = one_container(words);
  if (!container) return own_failure(container.error());
  std::uint64_t lines = std::numeric_limits<std::uint64_t>::max();
  if (const auto text = words.one("lines")) {
    const auto number = parse_decimal(*text);
    if (!number)
      return own_failure(
          {.rule = {}, .code = 0, .text = concat("--lines is a number, not ", quoted(*text))});
    lines = *number;
  }
  auto log = open_both(*container);
  if (!log) return own_failure(log.error());
  auto text = rest_of(log->old);
  const auto newest = text ? rest_of(log->now) : text;
  if (!newest) return own_failure(newest.error());
  *text += *newest;
  const auto shown = last_lines(*text, lines);
  if (const int put = shown.empty() ? 0 : print_as_it_is(shown); put != 0) return put;
  return words.has("follow") ? follow(*container, std::move(log->now)) : 0;
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
constexpr std::array kLogsOptions{
    VerbOption{"follow", "", "go on as more comes, until it stops", false, 'f'},
    VerbOption{"lines", "N", "only the last N lines", false, 'n'}, kPathOption};

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
constinit const Verb kLogsVerb{.name = "logs",
                               .arguments = "NAME [OPTIONS]",
                               .summary = "Shows what the console of a container has said",
                               .options = kLogsOptions,
                               .run = logs_verb,
                               .kind = VerbKind::kLook};

}  // namespace userns::frontend
