// Which ids the container gets, and who writes its maps. Pure: facts in, maps out.
//
// Source: user_namespaces(7), "Defining user and group ID mappings: writing to uid_map and
// gid_map".
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "frontend/spec/spec.h"
#include "policy/error.h"
#include "policy/id_range.h"

namespace userns::frontend {

inline constexpr std::uint64_t kAutoBlock = 65536;

enum class MapWriter : std::uint8_t {
  kNobody,  // no extents: the map stays empty
  kSelf,  // one's own id alone, or the caller holds CAP_SETUID and CAP_SETGID: the kernel takes it
          // from us
  kHelper,  // newuidmap, newgidmap
};
struct ChosenMap {
  std::vector<Extent> extents;
  MapWriter writer = MapWriter::kNobody;

  // Whether the inside id exists.
  [[nodiscard]] bool has(std::uint32_t id) const;
  // From now on `inside` is `outside`, and what it was is nobody's.
  void set_one(std::uint32_t inside, std::uint32_t outside);
};
struct ChosenIds {
  ChosenMap uids;
  ChosenMap gids;
  bool deny_setgroups =
      false;  // the kernel wants it before an unprivileged gid map of one's own gid
};

// What `auto` takes from, for uids or gids.
struct AutoSource {
  std::span<const IdRange> ranges;  // outside ids, sorted
  // The same as they are given, in the order of the file; may be fewer.
  std::span<const IdRange> lines = {};
  std::string_view name;  // "/etc/subuid", for messages
};
struct IdFacts {
  std::uint32_t uid = 0;  // effective, the caller's
  std::uint32_t gid = 0;
  bool privileged = false;       // CAP_SETUID and CAP_SETGID in the caller's own user namespace
  std::string_view caller_name;  // empty where there is none
  AutoSource uids;               // looked at only for MapAuto
  AutoSource gids;
  bool setgroups_denied = false;  // in the caller's own user namespace, and so in those below it
  // The pieces of the caller's own user namespace: the kernel takes no extent across two of them.
  // Empty: it is one piece.
  std::span<const IdRange> uid_pieces;
  std::span<const IdRange> gid_pieces;
};

// With keep-id, the caller's own ids are put into the maps.
void keep_own_ids(ChosenIds& ids, const IdFacts& facts, const MapAuto& wish);

// Fails where auto finds no ids, where extents contradict each other, and where the ids that the
// command is to have inside are not mapped.
Result<ChosenIds> choose_ids(const Spec& spec, const IdFacts& facts);

}  // namespace userns::frontend
