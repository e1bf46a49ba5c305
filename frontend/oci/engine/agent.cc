#include "frontend/oci/engine/agent.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "frontend/oci/engine/console_socket.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {

Result<std::optional<SeccompAgent>> SeccompAgent::reach(const OciConfig& config) {
  if (!config.seccomp || !config.seccomp->notifies()) return std::nullopt;
  auto socket = TRY(connect_to("linux.seccomp.listenerPath", config.seccomp->listener_path));
  return SeccompAgent(std::move(socket), config.seccomp->listener_metadata);
}

Result<void> SeccompAgent::hand(const Fd& listener, pid_t process, const std::string& state) const {
  const auto container = nlohmann::json::parse(state, nullptr, false);
  nlohmann::json text{{"ociVersion", container.value("ociVersion", "")},
                      {"fds", {"seccompFd"}},
                      {"pid", process},
                      {"state", container}};
  if (!metadata_.empty()) text["metadata"] = metadata_;
  const auto sent = send_with_fd(socket_, text.dump(), listener);
  if (sent) return {};
  return fail({}, "cannot send the listener to linux.seccomp.listenerPath", sent.error().code);
}

}  // namespace userns::frontend
