#include "frontend/cli/usage/as_user.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>

#include "common/fd.h"
#include "frontend/run/process.h"
#include "frontend/spec/printable.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMost = 8UL << 20U;
constexpr std::chrono::seconds kMayTake{5};

bool become(const Person& person) {
  if (::initgroups(person.name.c_str(), person.gid) != 0 ||
      ::setresgid(person.gid, person.gid, person.gid) != 0 ||
      ::setresuid(person.uid, person.uid, person.uid) != 0)
    return false;
  return (person.uid == 0 || ::setuid(0) != 0) && ::clearenv() == 0 &&
         ::setenv("HOME", person.home.c_str(), 1) == 0 &&
         ::setenv("PATH", "/usr/bin:/bin", 1) == 0 && ::chdir("/") == 0;
}

[[noreturn]] void look_and_end(const Person& person, const std::function<std::string()>& look,
                               const Fd& out) {
  const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (int number = 0; number < 3; ++number)
    if (::dup2(null.get(), number) < 0) ::_exit(1);
  if (!become(person)) ::_exit(1);
  const auto text = look();
  for (std::string_view rest = text; !rest.empty();) {
    const auto put = ::write(out.get(), rest.data(), rest.size());
    if (put <= 0) ::_exit(1);
    rest.remove_prefix(static_cast<std::size_t>(put));
  }
  ::_exit(0);
}

// To its end; what is missing then is a failure.
Result<std::string> read_in_time(const Fd& pipe, const std::string& name) {
  const auto until = Clock::now() + kMayTake;
  std::string text;
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    pollfd ready{.fd = pipe.get(), .events = POLLIN, .revents = 0};
    if (left <= 0 || ::poll(&ready, 1, static_cast<int>(left)) == 0)
      return fail({},
                  concat("looking at the containers of ", printable(name), " takes longer than ",
                         kMayTake.count(), " s"),
                  ETIMEDOUT);
    char piece[65536];
    const auto got = ::read(pipe.get(), piece, sizeof piece);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("cannot read what a user has");
    if (got == 0) return text;
    text.append(piece, static_cast<std::size_t>(got));
    if (text.size() > kMost)
      return fail({}, concat(printable(name), " has too much to tell about containers"), E2BIG);
  }
}

}  // namespace

Result<std::string> as_user(const Person& person, const std::function<std::string()>& look) {
  auto pipe = TRY(make_pipe());
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("cannot start a process");
  if (pid == 0) look_and_end(person, look, pipe.write);
  Child child(pid);
  pipe.write.reset();
  auto text = read_in_time(pipe.read, person.name);
  if (!text) return text;  // it is killed
  const int status = child.end();
  if (status != 0)
    return fail({}, concat("cannot look at the containers of ", printable(person.name),
                           ": the process for it ", how_it_ended(status)));
  return text;
}

}  // namespace userns::frontend
