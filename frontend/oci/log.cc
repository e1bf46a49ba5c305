#include "frontend/oci/log.h"

#include <nlohmann/json.hpp>
#include <string_view>

#include "common/fd.h"
#include "common/report.h"
#include "frontend/oci/clock.h"
#include "frontend/spec/tell.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

std::string line_of(const Arguments& told, std::string_view level, const Error& error) {
  const auto text = printable(to_text(error));
  if (!told.json_log) return concat(time_now(), ": ", text, "\n");
  const nlohmann::json line{{"level", level}, {"msg", text}, {"time", time_now()}};
  return concat(line.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace), "\n");
}

void log(const Arguments& told, std::string_view level, const Error& error) {
  tell("userns-oci", error);
  if (told.log.empty()) return;
  const auto file = open_at(AT_FDCWD, told.log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0, 0644);
  // Nobody is left to tell that it cannot be written.
  if (file) (void)write_all(*file, line_of(told, level, error));
}

}  // namespace

void log_failure(const Arguments& told, const Error& error) { log(told, "error", error); }

void log_warning(const Arguments& told, const Error& warning) { log(told, "warning", warning); }

}  // namespace userns::frontend
