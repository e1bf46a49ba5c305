#include "frontend/run/apparmor.h"

#include <fcntl.h>

#include <algorithm>

#include "common/fd.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kLongestLabel = 4096;

}  // namespace

std::string apparmor_label() {
  const auto file = open_at(AT_FDCWD, "/proc/self/attr/apparmor/current", O_RDONLY);
  auto label = file ? read_all(*file, kLongestLabel).value_or("") : std::string{};
  label.resize(std::min(label.find_first_of(std::string_view("\n\0", 2)), label.size()));
  return label == "unconfined" ? std::string{} : label;
}

void leave_apparmor_profile() {
  if (apparmor_label().empty()) return;
  const auto file = open_at(AT_FDCWD, "/proc/self/attr/apparmor/current", O_WRONLY);
  // Where the kernel says no, the signal will say so, too.
  if (file) (void)write_once(*file, "changeprofile unconfined");
}

bool is_enforced(std::string_view label) {
  return !label.empty() && !label.ends_with("(unconfined)") && !label.ends_with("(complain)");
}

std::string_view profile_name(std::string_view label) {
  return label.ends_with(')') ? label.substr(0, label.rfind(" (")) : label;
}

}  // namespace userns::frontend
