// What a container's side and the network's process say to each other: packets, each with at most
// one fd.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

struct NetworkWord {
  std::string text;
  Fd fd;
};
inline constexpr std::size_t kLongestWord = 32UL << 10U;

// A container's side asks for a place, with its name behind this.
inline constexpr std::string_view kJoin = "join ";
// The answer: "ok ADDRESS/LENGTH BRIDGE-INDEX\n", then lines for /etc/hosts, and an rtnetlink
// socket in the network's namespace. Any other answer says why not.
inline constexpr std::string_view kJoined = "ok ";
// "hosts", with the fd of a file to keep names in.
inline constexpr std::string_view kHosts = "hosts";
// "list": the answer is "NETWORK/LENGTH\n", then the lines for /etc/hosts of all members.
inline constexpr std::string_view kList = "list";

Result<void> send_word(const Fd& socket, std::string_view text, const Fd* fd = nullptr);
// No value: the other side is gone.
std::optional<NetworkWord> receive_word(const Fd& socket);

}  // namespace userns::frontend
