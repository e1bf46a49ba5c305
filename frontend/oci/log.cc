#include "frontend/oci/log.h"

#include <array>
#include <ctime>
#include <nlohmann/json.hpp>

#include "common/fd.h"
#include "common/report.h"
#include "frontend/spec/tell.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

std::string now() {
  std::array<char, 32> text{};
  const std::time_t seconds = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

std::string line_of(const Arguments& told, const Error& error) {
  const auto text = printable(to_text(error));
  if (!told.json_log) return concat(now(), ": ", text, "\n");
  const nlohmann::json line{{"level", "error"}, {"msg", text}, {"time", now()}};
  return concat(line.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace), "\n");
}

}  // namespace

void log_failure(const Arguments& told, const Error& error) {
  tell("userns-oci", error);
  if (told.log.empty()) return;
  const auto file = open_at(AT_FDCWD, told.log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0, 0644);
  // Nobody is left to tell that it cannot be written.
  if (file) (void)write_all(*file, line_of(told, error));
}

}  // namespace userns::frontend
