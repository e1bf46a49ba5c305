#include "frontend/cli/files/shell.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string>
#include <string_view>

#include "frontend/cli/terminal.h"
#include "frontend/cli/verbs/select.h"
#include "frontend/container/beside.h"
#include "frontend/copy/tree.h"
#include "frontend/start/ids/inside_names.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kLargestPasswd = std::size_t{1} << 20U;

// The container's own; empty where it has none that can be read.
std::string passwd_of(const Container& container) {
  const auto tree = ContainerTree::open(container);
  if (!tree) return {};
  const auto text = tree->work([](const Fd& root) -> Result<std::string> {
    const auto file = open_at(root.get(), "etc/passwd", O_RDONLY | O_NONBLOCK | O_NOCTTY,
                              RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    struct stat facts{};
    if (!file || ::fstat(file->get(), &facts) != 0 || !S_ISREG(facts.st_mode)) return "";
    return read_all(*file, kLargestPasswd);
  });
  return text ? *text : std::string{};
}

// Whom --home has made; empty: the container had a user of that name or number.
std::string name_of_caller(std::string_view passwd) {
  const char* const home = std::getenv("HOME");                // NOLINT(concurrency-mt-unsafe)
  const struct passwd* const entry = ::getpwuid(::geteuid());  // NOLINT(concurrency-mt-unsafe)
  if (home == nullptr || entry == nullptr) return {};
  const auto login = inside_login(passwd, entry->pw_name);
  return login.home == home ? std::string(entry->pw_name) : std::string{};
}

ExecWish wish_of(const Words& words, const Container& container) {
  ExecWish wish{.user = std::string(words.one("user").value_or("")), .tty = true};
  const auto passwd = passwd_of(container);
  const auto spec = container.spec();
  if (wish.user.empty() && spec && spec->desktop.home) wish.user = name_of_caller(passwd);
  const auto login = inside_login(passwd, wish.user.empty() ? "0" : wish.user);
  wish.cwd = std::string(login.home);
  wish.env.emplace_back("SHELL", login.shell);
  wish.command = {std::string(login.shell), "-l"};
  wish.tty = ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
  return wish;
}

int shell_verb(const Words& words) {
  if (words.has_command)
    return own_failure({.rule = {},
                        .code = 0,
                        .text = "shell takes no command: userns-run exec NAME COMMAND [ARG...]"});
  const auto container = one_container(words);
  if (!container) return own_failure(container.error());
  const auto status = execute_beside(*container, wish_of(words, *container));
  if (status) return *status;
  own_failure(status.error().error);
  return status.error().exit_status;
}

constexpr std::array kShellOptions{
    VerbOption{"user", "USER", "a name or number in the container (root)", false}, kPathOption};

}  // namespace

constinit const Verb kShellVerb{.name = "shell",
                                .arguments = "NAME [OPTIONS]",
                                .summary = "Gives you a login shell in a container that runs",
                                .options = kShellOptions,
                                .run = shell_verb,
                                .kind = VerbKind::kInside};

}  // namespace userns::frontend
