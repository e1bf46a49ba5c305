// What the starting process and the one inside say to each other until the command runs, or the
// work of in_map() is done.
//
// The other end closing is never taken for success, except after kExec: then the exec closed it.
#pragma once

#include <optional>
#include <string>

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

struct Message {
  enum class Kind : unsigned char {
    kNamespaces,  // inside -> outside: all namespaces are there
    kGo,          // outside -> inside: the ids are mapped
    kNics,        // outside -> inside, after kGo: the NICs are there; `text`: a piece of what they
                  // got, empty: that was all of it
    kTerminal,    // inside -> outside: the master side of the command's terminal
    kNotify,      // inside -> outside: the socket by which an init says that it is up
    kHosts,       // inside -> outside: its /etc/hosts, in which a network keeps names
    kNote,        // inside -> outside: `text` is for the caller to read
    kLeft,        // inside -> outside: a namespace to let go of, which takes a while
    kExec,        // inside -> outside: the next thing is the exec; `text`: the mount namespace
    kFailure,     // inside -> outside: `text` and errno say what
    kProgress,    // inside -> outside, of in_map() as the next two: `text` is for whoever watches
    kPart,        // a piece of what the work returns
    kOpen,        // of in_map()'s work: `text` is a name that the starter may open
    kOpened,      // outside -> inside: the answer, `fd` or why not
    kDone,        // that was all of it
    kTree,        // outside -> inside: the next of Plan::idmapped, in order, before kGo
    kHooks,       // inside -> outside, of an OCI runtime: its hooks may run now; kGo is the answer
  } kind = Kind::kFailure;
  int exit_status = 0;  // kFailure: what userns-run ends with
  int code = 0;         // kFailure: errno
  std::string text;     // kNics, kFailure, kProgress, kPart, kExec; at most kLongestText bytes
  Fd fd;                // kTree, kTerminal, kNotify, kHosts, kLeft, kOpened
};
inline constexpr std::size_t kLongestText = 4000;

class Channel {
 public:
  explicit Channel(Fd end) : end_(std::move(end)) {}
  // Never blocks for long: messages are few and small. Fails where the other end is gone.
  [[nodiscard]] Result<void> send(const Message& message) const;
  // Waits. No value: the other end is closed.
  [[nodiscard]] Result<std::optional<Message>> receive() const;
  // Whether receive() would return at once.
  [[nodiscard]] bool has_message() const;
  void close() { end_.reset(); }
  // For poll(2).
  [[nodiscard]] int raw() const { return end_.get(); }

 private:
  Fd end_;
};

struct ChannelPair {
  Channel outside;
  Channel inside;
};
Result<ChannelPair> make_channel();

}  // namespace userns::frontend
