#include "frontend/oci/cgroup/new_limits.h"

#include <fcntl.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "common/fd.h"
#include "frontend/oci/config/read_config.h"
#include "frontend/oci/config/read_resources.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

Result<std::string> read_resources_file(const std::string& path) {
  auto file = path == "-" ? Result<Fd>(Fd(::dup(STDIN_FILENO)))
                          : open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_NOCTTY);
  auto text = file ? read_all(*file, kLargestConfig) : std::unexpected(file.error());
  if (text) return text;
  return fail({}, concat("cannot read --resources ", quoted(path)), text.error().code);
}

// "memory.limit" of a limit as the object linux.resources has it.
Result<void> add_limit(const LimitWord& limit, nlohmann::json& resources) {
  const std::string_view field(limit.field);
  const auto dot = field.find('.');
  auto& place = resources[std::string(field.substr(0, dot))][std::string(field.substr(dot + 1))];
  if (field.starts_with("cpu.cpus") || field.starts_with("cpu.mems")) {
    place = limit.text;
    return {};
  }
  const bool is_none = limit.text == "-1";
  const auto number = parse_decimal(limit.text);
  if (!is_none && !number) return fail({}, concat(quoted(limit.text), " is not a number or -1"));
  if (is_none)
    place = -1;
  else
    place = *number;
  return {};
}

}  // namespace

Result<OciResources> resources_of(const Arguments& told) {
  if (!told.resources.empty()) {
    const auto text = read_resources_file(told.resources);
    return text ? parse_resources(*text) : std::unexpected(text.error());
  }
  auto resources = nlohmann::json::object();
  for (const auto& limit : told.limits) TRY(add_limit(limit, resources));
  if (resources.empty()) return fail({}, "update needs --resources FILE, or a limit: see --help");
  return parse_resources(resources.dump());
}

}  // namespace userns::frontend
