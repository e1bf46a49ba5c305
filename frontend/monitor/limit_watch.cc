#include "frontend/monitor/limit_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::array<std::string_view, 2> kFiles{"memory.events", "pids.events"};

}  // namespace

LimitWatch::LimitWatch(const Fd& payload) {
  if (!payload.valid()) return;
  Fd fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!fd.valid()) return;
  for (std::size_t i = 0; i < kFiles.size(); ++i)
    watches_[i] = ::inotify_add_watch(
        fd.get(), concat("/proc/self/fd/", payload.get(), "/", kFiles[i]).c_str(), IN_MODIFY);
  fd_ = std::move(fd);
}

std::optional<LimitWatch::Of> LimitWatch::next() const {
  alignas(inotify_event) std::array<char, sizeof(inotify_event) + 256> space{};
  // One at a time: the watched are files, so no event has a name behind it.
  const auto got = ::read(fd_.get(), space.data(), sizeof(inotify_event));
  if (got != static_cast<ssize_t>(sizeof(inotify_event))) return std::nullopt;
  const auto* const event = reinterpret_cast<const inotify_event*>(space.data());
  const auto found = std::ranges::find(watches_, event->wd);
  if (event->wd < 0 || found == watches_.end()) return std::nullopt;
  return static_cast<Of>(found - watches_.begin());
}

void LimitWatch::forget(Of which) {
  auto& watch = watches_[static_cast<std::size_t>(which)];
  if (watch >= 0) (void)::inotify_rm_watch(fd_.get(), watch);
  watch = -1;
}

}  // namespace userns::frontend
