// Which of a user's ids a new container gets: a block that no other container of the user holds.
// Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/start/ids/choose_ids.h"
#include "policy/error.h"
#include "policy/ids.h"

namespace userns::frontend {

// The ids outside that a container holds, whether it runs or not: its files belong to them.
struct Holder {
  std::string path;  // of the container, for messages
  std::vector<IdRange> uids;
  std::vector<IdRange> gids;
};

struct BlockWish {
  std::optional<std::uint64_t> count;  // none: kAutoBlock, or all where fewer are delegated
  // Its root inside is to be these ids outside (whom a root file system belongs to already).
  std::optional<std::uint32_t> root_uid;
  std::optional<std::uint32_t> root_gid;
};
struct Blocks {
  std::vector<Extent> uids;  // from inside id 0 on
  std::vector<Extent> gids;
};

// The lowest block that is free; one of several pieces where there is none in one piece. Fails
// where too few ids are free: the error says who holds them, and what to do.
Result<Blocks> choose_blocks(const IdFacts& facts, std::span<const Holder> holders,
                             const BlockWish& wish);

// The first holder that has one of these ids (maps by hand); nullptr where none has.
const Holder* holder_of(std::span<const Extent> uids, std::span<const Extent> gids,
                        std::span<const Holder> holders);

// Whether the two have an id in common.
bool share_ids(const Holder& one, const Holder& other);

// Without the ids of the caller's own: however many containers have them, they are nobody else's.
Holder without_own(Holder holder, std::uint32_t uid, std::uint32_t gid);

// What a container with this config text holds. Lenient: a line that makes no sense holds nothing.
Holder held_by(std::string path, std::string_view config_text);

// The words of a config file: "u:0:100000:65536" ... for `map`.
std::vector<std::string> map_values(const Blocks& blocks);

}  // namespace userns::frontend
