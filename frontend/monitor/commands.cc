#include "frontend/monitor/commands.h"

#include <algorithm>
#include <csignal>
#include <utility>

namespace userns::frontend {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

constexpr auto kOrphanMayTake = std::chrono::seconds(2);
constexpr auto kRemoveAgain = Milliseconds(20);  // a cgroup in which all were killed
constexpr int kRemovals = 50;
constexpr auto kRemoveLater = Milliseconds(1000);  // one that somebody is still in

}  // namespace

Result<Beside> Commands::begin(const std::string& program, const Request& request,
                               const std::vector<Fd>& fds) {
  return start_beside(program, request, fds, cgroup_, user_namespace_, ++begun_);
}

void Commands::orphan(Beside command) {
  command.signal(SIGHUP);
  orphans_.push_back({.command = std::move(command), .until = Clock::now() + kOrphanMayTake});
}

// With all that it has started; without a cgroup, what has left its process group lives on.
void Commands::end(const Beside& command) const {
  command.leaf.kill(user_namespace_);
  command.signal(SIGKILL);
}

// Who is killed is gone a little later.
void Commands::leave(Beside command, bool is_killed) {
  if (is_killed) command.leaf.kill(user_namespace_);
  leaves_.add(std::move(command.leaf));
  removals_left_ = is_killed ? kRemovals : 1;
  remove_leaves();
}

void Commands::remove_leaves() {
  leaves_.remove_empty(cgroup_.payload(), user_namespace_);
  remove_again_.reset();
  const auto pause = --removals_left_ > 0 ? kRemoveAgain : kRemoveLater;
  if (!leaves_.none()) remove_again_ = Clock::now() + pause;
}

void Commands::reap(pid_t pid) {
  std::erase_if(orphans_, [&](Orphan& orphan) {
    if (orphan.command.pid != pid) return false;
    leave(std::move(orphan.command), true);
    return true;
  });
}

void Commands::kill_orphans() {
  for (const auto& orphan : orphans_) orphan.command.signal(SIGKILL);
  orphans_.clear();
}

void Commands::look_at_clock() {
  const auto time = Clock::now();
  if (remove_again_ && time >= *remove_again_) remove_leaves();
  for (auto& orphan : orphans_)
    if (orphan.until && time >= *orphan.until) {
      end(orphan.command);
      orphan.until.reset();
    }
}

std::optional<Clock::time_point> Commands::next() const {
  auto next = remove_again_;
  for (const auto& orphan : orphans_)
    if (orphan.until && (!next || *orphan.until < *next)) next = orphan.until;
  return next;
}

}  // namespace userns::frontend
