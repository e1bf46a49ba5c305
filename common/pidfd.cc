#include "common/pidfd.h"

#include <poll.h>

#include <string>
#include <string_view>

#include "common/fd.h"
#include "policy/text.h"

namespace userns {

std::optional<std::uint64_t> pid_of_pidfd(int pidfd) {
  const auto info = open_at(AT_FDCWD, concat("/proc/self/fdinfo/", pidfd).c_str(), O_RDONLY);
  const auto text = info ? read_all(*info, 64UL << 10U) : Result<std::string>{};
  const auto at = text ? text->find("\nPid:\t") : std::string::npos;
  if (at == std::string::npos) return std::nullopt;
  auto line = std::string_view(*text).substr(at + 6);
  return parse_decimal(take_until(line, '\n')).value_or(0);
}

bool has_ended(int pidfd) {
  pollfd ended{.fd = pidfd, .events = POLLIN, .revents = 0};
  return ::poll(&ended, 1, 0) != 0;
}

}  // namespace userns
