#include "frontend/cli/usage/as_user.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <utility>

#include "common/fd.h"
#include "frontend/run/process.h"
#include "frontend/spec/printable.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kMayTake{5};
constexpr std::chrono::seconds kAllMayTake{30};
constexpr std::size_t kAtOnce = 32;

bool become(const Person& person) {
  if (::initgroups(person.name.c_str(), person.gid) != 0 ||
      ::setresgid(person.gid, person.gid, person.gid) != 0 ||
      ::setresuid(person.uid, person.uid, person.uid) != 0)
    return false;
  return (person.uid == 0 || ::setuid(0) != 0) && ::clearenv() == 0 &&
         ::setenv("HOME", person.home.c_str(), 1) == 0 &&
         ::setenv("PATH", "/usr/bin:/bin", 1) == 0 && ::chdir("/") == 0;
}

[[noreturn]] void look_and_end(const Person& person, const LookOf& look, const Fd& out) noexcept {
  const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (int number = 0; number < 3; ++number)
    if (::dup2(null.get(), number) < 0) ::_exit(1);
  if (!become(person)) ::_exit(1);
  const auto text = look(person);
  for (std::string_view rest = text; !rest.empty();) {
    const auto put = ::write(out.get(), rest.data(), rest.size());
    if (put <= 0) ::_exit(1);
    rest.remove_prefix(static_cast<std::size_t>(put));
  }
  ::_exit(0);
}

Error too_slow(const Person& person) {
  return {.rule = {},
          .code = ETIMEDOUT,
          .text = concat("looking at the containers of ", printable(person.name),
                         " takes longer than ", kMayTake.count(), " s")};
}

// A process that looks.
class Looker {
 public:
  Looker(const Person& person, std::size_t place, NewProcess process, Fd pipe)
      : person_(&person), place_(place), process_(std::move(process)), pipe_(std::move(pipe)) {}

  [[nodiscard]] const Person& person() const { return *person_; }
  [[nodiscard]] std::size_t place() const { return place_; }
  [[nodiscard]] pid_t pid() const { return process_.pid; }
  [[nodiscard]] Clock::time_point until() const { return until_; }
  // What it says; after that, its end, which a file system may hold up as well.
  [[nodiscard]] int awaited() const { return pipe_.valid() ? pipe_.get() : process_.pidfd.get(); }
  // To be called once that is ready; the answer, once it is all.
  std::optional<Result<std::string>> take();

 private:
  [[nodiscard]] Result<std::string> end();

  const Person* person_;
  std::size_t place_;
  NewProcess process_;
  Fd pipe_;
  Clock::time_point until_ = Clock::now() + kMayTake;
  std::string text_;
};

std::optional<Result<std::string>> Looker::take() {
  if (!pipe_.valid()) return end();
  std::array<char, 65536> piece{};
  const auto got = ::read(pipe_.get(), piece.data(), piece.size());
  if (got > 0) text_.append(piece.data(), static_cast<std::size_t>(got));
  const bool too_much = text_.size() > kMostSaid;
  if (too_much) ::kill(process_.pid, SIGKILL);
  if (got == 0 || too_much) pipe_.reset();
  return std::nullopt;
}

Result<std::string> Looker::end() {
  const int status = collect(process_.pid);
  if (text_.size() > kMostSaid)
    return fail({}, concat(printable(person_->name), " has too much to tell about containers"),
                E2BIG);
  if (status == 0) return std::move(text_);
  return fail({}, concat("cannot look at the containers of ", printable(person_->name),
                         ": the process for it ", how_it_ended(status)));
}

// SIGKILL does not end a process that waits in the kernel for a file system. Until it ends, nobody
// else is sent after it: a look that is repeated leaves no more than one behind for each user.
class GivenUp {
 public:
  void add(const Looker& looker) {
    ::kill(looker.pid(), SIGKILL);
    left_.emplace_back(looker.person().uid, looker.pid());
  }
  [[nodiscard]] bool has(uid_t uid) {
    std::erase_if(left_,
                  [](const auto& one) { return ::waitpid(one.second, nullptr, WNOHANG) != 0; });
    return std::ranges::find(left_, uid, &std::pair<uid_t, pid_t>::first) != left_.end();
  }

 private:
  std::vector<std::pair<uid_t, pid_t>> left_;
};

GivenUp& given_up() {
  static GivenUp all;
  return all;
}

class Lookers {
 public:
  Lookers(std::span<const Person> people, const LookOf& look) : people_(people), look_(look) {}
  std::vector<Result<std::string>> ask_all();

 private:
  void begin(std::size_t place);
  void wait_for_some();
  void take_from(Looker& looker, bool is_ready);

  std::span<const Person> people_;
  const LookOf& look_;
  std::vector<std::optional<Result<std::string>>> said_;
  std::vector<Looker> at_work_;
};

void Lookers::begin(std::size_t place) {
  const auto& person = people_[place];
  if (given_up().has(person.uid)) {
    said_[place] = std::unexpected(too_slow(person));
    return;
  }
  auto pipe = make_pipe();
  auto made = pipe ? clone_process(CLONE_PIDFD) : std::unexpected(pipe.error());
  if (!made) {
    said_[place] = std::unexpected(made.error());
    return;
  }
  if (made->pid == 0) look_and_end(person, look_, pipe->write);
  at_work_.emplace_back(person, place, std::move(*made), std::move(pipe->read));
}

void Lookers::take_from(Looker& looker, bool is_ready) {
  if (is_ready) said_[looker.place()] = looker.take();
  if (said_[looker.place()] || Clock::now() < looker.until()) return;
  given_up().add(looker);
  said_[looker.place()] = std::unexpected(too_slow(looker.person()));
}

// They began in this order, so the first one's time is over first.
void Lookers::wait_for_some() {
  std::vector<pollfd> polled;
  for (const auto& looker : at_work_)
    polled.push_back({.fd = looker.awaited(), .events = POLLIN, .revents = 0});
  const auto left = at_work_.front().until() - Clock::now();
  const auto wait = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  if (::poll(polled.data(), polled.size(), static_cast<int>(std::max<std::int64_t>(wait, 0))) < 0)
    return;
  for (std::size_t i = 0; i < polled.size(); ++i) take_from(at_work_[i], polled[i].revents != 0);
  std::erase_if(at_work_, [this](const Looker& one) { return said_[one.place()].has_value(); });
}

std::vector<Result<std::string>> Lookers::ask_all() {
  const auto until = Clock::now() + kAllMayTake;
  said_.resize(people_.size());
  for (std::size_t next = 0; next < people_.size() || !at_work_.empty();) {
    const bool in_time = Clock::now() < until;
    while (in_time && next < people_.size() && at_work_.size() < kAtOnce) begin(next++);
    if (!in_time) next = people_.size();
    if (!at_work_.empty()) wait_for_some();
  }
  std::vector<Result<std::string>> all;
  for (std::size_t i = 0; i < people_.size(); ++i)
    all.push_back(said_[i] ? std::move(*said_[i])
                           : fail({},
                                  concat("the containers of ", printable(people_[i].name),
                                         " were not looked at: those of others took longer "
                                         "than ",
                                         kAllMayTake.count(), " s"),
                                  ETIMEDOUT));
  return all;
}

}  // namespace

std::vector<Result<std::string>> as_users(std::span<const Person> people, const LookOf& look) {
  return Lookers(people, look).ask_all();
}

}  // namespace userns::frontend
