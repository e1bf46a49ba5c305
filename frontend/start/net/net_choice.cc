#include "frontend/start/net/net_choice.h"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "common/config.h"
#include "common/fd.h"
#include "common/groups.h"
#include "common/policy_files.h"
#include "frontend/spec/user_database.h"
#include "policy/net_conf.h"
#include "policy/text.h"
#include "policy/who.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kLargestFile = 1UL << 20U;

std::string text_of(const std::string& path) {
  const auto file = open_at(AT_FDCWD, path.c_str(), O_RDONLY);
  return file ? read_all(*file, kLargestFile).value_or("") : std::string{};
}

bool is_up(std::string_view bridge) {
  const Fd any(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  bridge.copy(request.ifr_name, IFNAMSIZ - 1);
  return any.valid() && ::ioctl(any.get(), SIOCGIFFLAGS, &request) == 0 &&
         (request.ifr_flags & IFF_UP) != 0;
}

struct Granted {
  std::string bridge;  // empty: none
  bool has_addresses = false;
};

Granted granted_bridge(std::string& why_not) {
  const auto path = concat(std::string_view(kPolicyDir), "/net.conf");
  const auto texts = PolicyFiles::read(path, "NC-READ");
  std::vector<NetLine> lines;
  Result<void> read;
  if (!texts) read = std::unexpected(texts.error());
  for (std::size_t i = 0; read && i < texts->size(); ++i)
    read = add_net_conf(lines, (*texts)[i].path, (*texts)[i].text);
  why_not = read ? concat("no bridge that is up is granted by ", path) : read.error().text;
  if (!read || lines.empty()) return {};
  if (::access(concat(std::string_view(kHelperDir), "/userns-net").c_str(), X_OK) != 0) {
    why_not = "userns-net is not installed";
    return {};
  }
  const auto name = login_name(Uid{::getuid()}).value_or("");
  const auto groups = Groups::of_caller().value_or(Groups{});
  const auto in_group = [&](std::string_view group) { return contain(groups, group); };
  std::erase_if(lines, [&](const NetLine& line) {
    return !is_for(line.who, Uid{::getuid()}, name, in_group);
  });
  const auto is_banned_from = [&](std::string_view bridge) {
    return std::ranges::any_of(
        lines, [&](const NetLine& line) { return line.bans() && line.bridge == bridge; });
  };
  const auto granted = std::ranges::find_if(lines, [&](const NetLine& line) {
    return line.count > 0 && is_up(line.bridge) && !is_banned_from(line.bridge);
  });
  if (granted == lines.end()) return {};
  return {.bridge = std::string(granted->bridge), .has_addresses = granted->terms.addresses() != 0};
}

// Why user networking is not to be had; empty where it is.
std::string why_no_user_net() {
  if (find_program("pasta").empty() && find_program("slirp4netns").empty())
    return "neither pasta nor slirp4netns is installed";
  if (::access("/dev/net/tun", R_OK | W_OK) != 0) return "/dev/net/tun is not this user's to open";
  return has_default_route() ? std::string{} : "the host itself has no default route";
}

}  // namespace

// A second column of zeros is a default route.
bool has_default_route() {
  const auto text = text_of("/proc/net/route");
  for (std::string_view rest = text; !rest.empty();) {
    auto line = take_until(rest, '\n');
    (void)take_until(line, '\t');
    if (line.starts_with("00000000\t")) return true;
  }
  return false;
}

std::string find_program(std::string_view name) {
  const char* const path = std::getenv("PATH");
  for (std::string_view rest = path == nullptr ? "/usr/bin:/bin" : path; !rest.empty();)
    if (auto full = concat(take_until(rest, ':'), "/", name); ::access(full.c_str(), X_OK) == 0)
      return full;
  return {};
}

NetChoice choose_net(const Spec& spec) {
  if (!std::holds_alternative<NetAuto>(spec.net)) return {spec.net, {}};
  std::string no_bridge = "--publish asks for it";
  const auto granted = spec.publish.empty() ? granted_bridge(no_bridge) : Granted{};
  if (!granted.bridge.empty())
    return {NetBridges{{NicWish{.bridge = granted.bridge, .name = "eth0"}}},
            concat("network: bridge ", granted.bridge, ", which net.conf grants; ",
                   granted.has_addresses ? "its address comes from there"
                                         : "its DHCP serves a client inside")};
  const auto no_user = why_no_user_net();
  if (no_user.empty())
    return {NetUser{}, concat("network: user, by a process of your own (", no_bridge, ")")};
  return {NetNone{}, concat("network: none (", no_bridge, "; ", no_user, ")")};
}

}  // namespace userns::frontend
