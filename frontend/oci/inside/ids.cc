#include "frontend/oci/inside/ids.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <utility>

#include "common/fd.h"
#include "frontend/start/ids/process_ids.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

Result<std::string> read_of(std::string_view who, std::string_view name) {
  constexpr std::size_t kLargest = 65536;
  const auto file = open_at(AT_FDCWD, concat("/proc/", who, "/", name).c_str(), O_RDONLY);
  return file ? read_all(*file, kLargest) : std::unexpected(file.error());
}

bool is_one_of_own(const std::vector<Extent>& extents, std::uint32_t own) {
  return extents.size() == 1 && extents[0].count() == 1 && extents[0].outside().first() == own;
}

}  // namespace

Result<ChosenIds> ids_of_config(const OciConfig& config) {
  if (!config.makes(CLONE_NEWUSER)) return own_ids();
  ChosenIds ids;
  const bool own_uid = is_one_of_own(config.uids, ::geteuid());
  const bool own_gid = is_one_of_own(config.gids, ::getegid());
  const bool is_root = ::geteuid() == 0;
  const auto writer = [&](bool is_own) {
    return is_root || is_own ? MapWriter::kSelf : MapWriter::kHelper;
  };
  ids.uids = {config.uids, writer(own_uid)};
  ids.gids = {config.gids, writer(own_gid)};
  ids.deny_setgroups = !is_root && own_gid;
  return ids;
}

Result<ChosenIds> own_ids() {
  ChosenIds ids;
  for (auto& [map, name] : {std::pair{&ids.uids, "uid_map"}, std::pair{&ids.gids, "gid_map"}}) {
    const auto text = TRY(read_of("self", name));
    for (const auto& extent : parse_map_file(text))
      map->extents.push_back(
          *Extent::make(extent.inside().first(), extent.inside().first(), extent.count()));
  }
  const auto denied = TRY(is_setgroups_denied("self"));
  ids.deny_setgroups = denied;
  return ids;
}

Result<bool> is_setgroups_denied(std::string_view who) {
  const auto text = TRY(read_of(who, "setgroups"));
  return text.starts_with("deny");
}

}  // namespace userns::frontend
