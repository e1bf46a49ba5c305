#include "frontend/images/skopeo.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "common/fd.h"
#include "frontend/run/process.h"
#include "frontend/run/signals.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kLongestComplaint = 8192;

// The end of what it says, until it has closed the pipe. A signal of ours ends it.
Result<std::string> listen(pid_t child, const Fd& said, const Signals& signals) {
  std::string text;
  std::array<char, 4096> piece{};
  int number = 0;
  while (true) {
    std::array polled{pollfd{.fd = said.get(), .events = POLLIN, .revents = 0},
                      pollfd{.fd = signals.fd().get(), .events = POLLIN, .revents = 0}};
    if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR)
      return fail_errno("cannot wait for skopeo");
    if (const auto next = signals.next()) {
      number = *next;
      ::kill(child, SIGTERM);  // not reaped yet, so the number is still its own
    }
    if (polled[0].revents == 0) continue;
    const auto got = TRY(read_some(said, piece));
    if (got == 0) break;
    text.append(piece.data(), got);
    if (text.size() > kLongestComplaint) text.erase(0, text.size() - kLongestComplaint);
  }
  if (number == 0) return text;
  return fail({}, concat("interrupted by SIG", std::string_view(::sigabbrev_np(number))), EINTR);
}

// "time=... level=fatal msg=\"...\"": the message of the last such line, else the last line.
std::string complaint_in(std::string_view said) {
  constexpr std::string_view kMessage = "msg=\"";
  std::string last;
  while (!said.empty()) {
    const auto line = take_until(said, '\n');
    if (line.find_first_not_of(" \r") != std::string_view::npos) last = line;
  }
  const auto at = last.find(kMessage);
  if (at == std::string::npos) return last;
  std::string text;
  for (std::size_t i = at + kMessage.size(); i < last.size() && last[i] != '"'; ++i) {
    if (last[i] == '\\' && i + 1 < last.size()) ++i;
    text += last[i];
  }
  return text;
}

// The file that skopeo was obeying, if it was a policy that it obeyed: containers-policy.json(5).
std::string policy_behind(std::string_view complaint) {
  if (!complaint.contains("image rejected")) return {};
  const char* const home = std::getenv("HOME");  // NOLINT(concurrency-mt-unsafe): no threads
  const auto own =
      concat(std::string_view(home == nullptr ? "" : home), "/.config/containers/policy.json");
  const bool is_own = home != nullptr && ::access(own.c_str(), F_OK) == 0;
  return concat("; the policy is ", is_own ? own : "/etc/containers/policy.json",
                " (containers-policy.json(5))");
}

// What to do about it.
std::string next_step_after(std::string_view complaint) {
  if (complaint.contains("more than one image") || complaint.contains("choose an image"))
    return "; name one of them: oci:DIR:TAG, oci-archive:FILE:TAG, docker-archive:FILE:NAME:TAG";
  return policy_behind(complaint);
}

}  // namespace

Result<void> skopeo_copy(const std::vector<std::string>& given) {
  std::vector<std::string> words{"skopeo", "copy"};
  words.insert(words.end(), given.begin(), given.end());
  auto pipe = TRY(make_pipe());
  const auto signals = TRY(Signals::take({SIGINT, SIGTERM, SIGHUP, SIGQUIT}));
  const SignalsAgain again(signals);
  const pid_t starter = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) return fail_errno("cannot start skopeo");
  if (child == 0) {
    const int progress = ::isatty(STDERR_FILENO) == 1 ? STDERR_FILENO : -1;
    unblock_signals();
    become_program({.words = words,
                    .output = progress,
                    .errors = pipe.write.get(),
                    .dies_by = SIGTERM,
                    .starter = starter});
  }
  pipe.write.reset();
  const auto said = listen(child, pipe.read, signals);
  const int status = collect(child);
  if (!said) return std::unexpected(said.error());
  if (status == 0) return {};
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
    return fail({},
                "cannot find skopeo, which fetches images: install the package skopeo, or unpack "
                "an archive with create --tar FILE");
  const auto complaint = complaint_in(*said);
  if (!complaint.empty())
    return fail({}, concat("skopeo: ", complaint, next_step_after(complaint)));
  return fail({}, concat("skopeo ", how_it_ended(status)));
}

}  // namespace userns::frontend
