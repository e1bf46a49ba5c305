// The command's environment. Pure, but for the container's own passwd file being given as text.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/spec/spec.h"

namespace userns::frontend {

struct Boot;
// Where an init that speaks sd_notify(3) finds our socket.
inline constexpr std::string_view kNotifySocket = "/run/host/notify";

// Who the command is inside, by the container's passwd(5).
struct InsideUser {
  std::string name;
  std::string home;
};
// The entry of `uid`; "root" and "/root" for 0 where there is none, empty and "/" for others.
InsideUser inside_user(std::string_view passwd, std::uint32_t uid);

// `caller`: NAME=VALUE words. In a root file system (spec.rootfs), which may be a stranger's, a
// clean one: PATH, HOME, USER, LOGNAME, LANG, the caller's TERM, and container. In the host's tree
// the caller's; with an overlay of it (`inside` is given) HOME, USER, LOGNAME and SHELL of the
// caller speak of the host, so they are replaced or left out. Wishes go over everything.
std::vector<std::string> make_environment(const Spec& spec,
                                          std::span<const std::string_view> caller,
                                          const InsideUser* inside);

// An init's: nothing of the caller's but TERM and what is wished for.
std::vector<std::string> boot_environment(const Spec& spec,
                                          std::span<const std::string_view> caller,
                                          const Boot& boot);

}  // namespace userns::frontend
