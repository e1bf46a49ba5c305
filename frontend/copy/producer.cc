#include "frontend/copy/producer.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <string>
#include <string_view>

#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kLongest = 65536;
constexpr std::string_view kDone = "done";

// "2 what went wrong": errno, text.
std::string to_text(const Result<void>& result) {
  return result ? std::string(kDone) : concat(result.error().code, " ", result.error().text);
}

Result<void> to_result(std::string_view text) {
  if (text == kDone) return {};
  int code = 0;
  const auto number = take_until(text, ' ');
  const auto end = number.data() + number.size();
  if (std::from_chars(number.data(), end, code).ptr != end || text.empty())
    return fail({}, "the process that reads was killed");
  return fail({}, std::string(text), code);
}

[[noreturn]] void produce(const Producer::Act& act, const Fd& out, const Fd& said, pid_t starter) {
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != starter) ::_exit(1);
  const auto done = act(out);
  [[maybe_unused]] const auto told = write_all(said, to_text(done));
  ::_exit(0);
}

}  // namespace

Result<Producer> Producer::start(const Act& act) {
  auto output = make_pipe();
  auto said = TRY(output ? make_pipe() : std::unexpected(output.error()));
  const pid_t starter = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("cannot start a process");
  if (pid == 0) {
    output->read.reset();
    said.read.reset();
    produce(act, output->write, said.write, starter);
  }
  return Producer(pid, std::move(output->read), std::move(said.read));
}

Result<void> Producer::finish() {
  output_.reset();
  const auto text = read_all(said_, kLongest);
  (void)child_.end();
  return to_result(text ? *text : "");
}

}  // namespace userns::frontend
