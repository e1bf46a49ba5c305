#include "frontend/start/net/networkd.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <variant>

#include "common/fd.h"
#include "frontend/spec/net.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr const char* kDirectories[] = {"/run/systemd", "/run/systemd/network"};

std::string network_file(const NicWish& nic) {
  std::string text = concat("# Of userns-run, from --net or net.conf.\n[Match]\nName=", nic.name,
                            "\n\n[Network]\n");
  for (const auto& subnet : nic.addresses)
    text += concat("Address=", to_text(subnet.address), "/", subnet.prefix, "\n");
  for (const auto& gateway : nic.gateways) text += concat("Gateway=", to_text(gateway), "\n");
  for (const auto& server : nic.dns) text += concat("DNS=", to_text(server), "\n");
  return text;
}

std::string path_for(const NicWish& nic) {
  return concat(std::string_view(kDirectories[1]), "/70-userns-", nic.name, ".network");
}

Result<void> put_file_for(const NicWish& nic) {
  const auto path = path_for(nic);
  const auto file =
      open_at(AT_FDCWD, path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0, 0644);
  if (!file) return fail({}, concat("cannot make ", path, " inside"), file.error().code);
  return write_all(*file, network_file(nic));
}

}  // namespace

Result<void> tell_networkd(const NetWish& net,
                           const std::function<bool(std::string_view path)>& is_callers) {
  const auto* const bridges = std::get_if<NetBridges>(&net);
  if (bridges == nullptr) return {};
  for (const auto& nic : bridges->nics) {
    if (nic.addresses.empty() || is_callers(path_for(nic))) continue;
    for (const char* path : kDirectories)
      if (::mkdir(path, 0755) != 0 && errno != EEXIST)
        return fail_errno(concat("cannot make ", std::string_view(path), " inside"));
    TRY(put_file_for(nic));
  }
  return {};
}

}  // namespace userns::frontend
