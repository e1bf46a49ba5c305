// A container whose command runs, and all that has to live as long as it does.
#pragma once

#include <cstdint>

#include "frontend/run/cgroup/cgroup.h"
#include "frontend/run/channel.h"
#include "frontend/run/failure.h"
#include "frontend/run/signals.h"
#include "frontend/start/net/net_helpers.h"
#include "frontend/start/plan/plan.h"
#include "frontend/start/relay.h"
#include "frontend/start/supervise.h"

namespace userns::frontend {

// The container's first process. Unless it has ended, it dies with this object, and so does all
// below it.
class FirstProcess {
 public:
  FirstProcess(Payload payload, Channel channel)
      : payload_(std::move(payload)), channel_(std::move(channel)) {}
  FirstProcess(FirstProcess&& other) noexcept
      : has_namespaces(other.has_namespaces),
        mount_namespace(other.mount_namespace),
        given(std::move(other.given)),
        hosts(std::move(other.hosts)),
        payload_(std::exchange(other.payload_, {})),
        channel_(std::move(other.channel_)),
        user_namespace_(std::move(other.user_namespace_)) {}
  FirstProcess(const FirstProcess&) = delete;
  FirstProcess& operator=(const FirstProcess&) = delete;
  FirstProcess& operator=(FirstProcess&&) = delete;
  ~FirstProcess();

  [[nodiscard]] const Payload& payload() const { return payload_; }
  [[nodiscard]] const Channel& channel() const { return channel_; }
  // It outlives its last process for as long as this is open. Not valid() where it has none of its
  // own.
  [[nodiscard]] const Fd& user_namespace() const { return user_namespace_; }
  void keep(Fd user_namespace) { user_namespace_ = std::move(user_namespace); }
  void has_ended() { payload_.pid = 0; }
  void hear_on(Fd notify) { payload_.notify = std::move(notify); }
  bool has_namespaces = false;
  std::uint64_t mount_namespace = 0;  // its id, as it was told at the exec
  std::string given;                  // what net.conf, or its network, gave to its NICs
  Fd hosts;                           // its /etc/hosts, if a network keeps names there

 private:
  Payload payload_;
  Channel channel_;
  Fd user_namespace_;
};

// In the order in which they are made; they go in the opposite order.
struct Running {
  Cgroup cgroup;
  Signals signals;
  Relay relay;
  FirstProcess first;
  UserNet user_net;
  std::string info;  // the JSON of --info-fd
};

// From the plan to the exec. A failure leaves nothing behind. Fds 0-2 are open. The container does
// not outlive this process where spec.die_with_parent says so.
Step<Running> start(const Plan& plan, Cgroup cgroup);

// What the process inside says on the way to its exec, up to that: `relay` gets its terminal. Where
// it ends without a word, it was killed at that `stage` ("while its ids were mapped").
// With `heeded`, a signal that asks to end gives it up: 128+N, and code EINTR.
Step<void> hear_exec(const Plan& plan, FirstProcess& first, Relay& relay, std::string_view stage,
                     const Signals* heeded = nullptr);

// Waits for something to hear on the channel; fails as above.
Step<void> await_word(const Channel& channel, const Signals& heeded);

// The command's exit status, 128+N where signal N ended it; 126 and 127 where it could not be
// executed or found; 125 where anything before it failed. Failures are reported on stderr in one
// sentence, and nothing is left behind. Uses fds 0-2 and spec.info_fd; call it once, with one
// thread.
int run(const Plan& plan);

}  // namespace userns::frontend
