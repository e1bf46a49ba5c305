#include "frontend/oci/config/add_user_namespace.h"

#include <nlohmann/json.hpp>

namespace userns::frontend {
namespace {

nlohmann::json mappings_of(const std::vector<Extent>& extents) {
  auto mappings = nlohmann::json::array();
  for (const auto& extent : extents)
    mappings.push_back({{"containerID", extent.inside().first()},
                        {"hostID", extent.outside().first()},
                        {"size", extent.count()}});
  return mappings;
}

}  // namespace

Result<std::string> add_user_namespace(std::string_view json, const std::vector<Extent>& uids,
                                       const std::vector<Extent>& gids) {
  auto config = nlohmann::json::parse(json, nullptr, false);
  const bool has_linux = config.is_object() && config.contains("linux");
  if (!has_linux || !config["linux"].is_object()) return fail({}, "config.json has no linux");
  auto& system = config["linux"];
  system["namespaces"].push_back({{"type", "user"}});
  system["uidMappings"] = mappings_of(uids);
  system["gidMappings"] = mappings_of(gids);
  return config.dump();
}

}  // namespace userns::frontend
