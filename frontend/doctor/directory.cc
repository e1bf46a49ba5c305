#include "frontend/doctor/directory.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "common/fd.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend::doctor {
namespace {

using Clock = std::chrono::steady_clock;

// A process group of its own, so that what the child has started (a module runs in a child of its
// own) ends with it.
pid_t start(const std::function<std::string()>& answer, const Fd& out) {
  const pid_t child = ::fork();
  if (child > 0) (void)::setpgid(child, child);
  if (child != 0) return child;
  (void)(::setpgid(0, 0) == 0 && ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0);
  // The mark says that the answer is whole.
  ::_exit(write_all(out, concat(answer(), "\n")) ? 0 : 1);
}

// All that comes until the end; fewer where that does not come in time.
std::string read_until(const Fd& in, Clock::time_point end) {
  std::string text;
  std::array<char, 4096> piece{};
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
    pollfd ready{.fd = in.get(), .events = POLLIN, .revents = 0};
    const int got = ::poll(&ready, 1, static_cast<int>(std::max<std::int64_t>(left, 0)));
    if (got < 0 && errno == EINTR) continue;
    const auto length = got > 0 ? read_some(in, piece).value_or(0) : 0;
    if (length == 0) return text;
    text.append(piece.data(), length);
    if (text.ends_with('\n')) return text;
  }
}

}  // namespace

Result<std::string> Directory::ask(std::string_view what,
                                   const std::function<std::string()>& answer) {
  const auto silence = [&] {
    return fail({},
                concat("the user database did not answer within ", kPatience.count(),
                       " s (asked for ", unanswered_, ")"),
                ETIMEDOUT);
  };
  if (!unanswered_.empty()) return silence();
  auto pipe = TRY(make_pipe());
  const auto begun = Clock::now();
  const pid_t child = start(answer, pipe.write);
  if (child < 0) return fail_errno("cannot fork");
  pipe.write.reset();
  auto text = read_until(pipe.read, begun + left_);
  const auto spent = std::chrono::floor<std::chrono::milliseconds>(Clock::now() - begun);
  left_ -= std::min(spent, left_);
  // Whether it was killed or had ended before: its exit status says nothing that the mark does not
  // say.
  (void)::kill(-child, SIGKILL);
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (text.ends_with('\n')) {
    text.pop_back();
    return text;
  }
  if (left_.count() > 0)
    return fail({}, concat("asking the user database for ", what, " ended without an answer"));
  unanswered_ = what;
  return silence();
}

bool Directory::is_in(std::string_view group) {
  const auto known = known_.find(group);
  if (known != known_.end()) return known->second;
  const auto said = ask(concat("the group ", quoted(group)),
                        [&] { return contain(groups_, group) ? "yes" : "no"; });
  return known_.emplace(group, said.value_or("no") == "yes").first->second;
}

}  // namespace userns::frontend::doctor
