#include "frontend/run/default_action.h"

#include <charconv>
#include <cstdint>
#include <string>

#include "common/fd.h"
#include "policy/proc_status.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kLargestStatus = 64UL << 10U;

bool in_set(std::string_view status, std::string_view field, int number) {
  const auto text = proc_field(status, field).value_or("");
  std::uint64_t bits = 0;
  std::from_chars(text.data(), text.data() + text.size(), bits, 16);
  return (bits >> static_cast<unsigned>(number - 1) & 1U) != 0;
}

}  // namespace

bool left_to_default(pid_t pid, int number) {
  const auto file = open_at(AT_FDCWD, concat("/proc/", pid, "/status").c_str(), O_RDONLY);
  const auto status =
      file ? read_all(*file, kLargestStatus) : Result<std::string>(std::unexpected(file.error()));
  if (!status) return false;
  return !in_set(*status, "SigCgt", number) && !in_set(*status, "SigIgn", number) &&
         !in_set(*status, "SigBlk", number);
}

}  // namespace userns::frontend
