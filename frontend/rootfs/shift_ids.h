// One map that holds the ids of two containers, so that files can be read as one's and made as the
// other's. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "frontend/start/ids/choose_ids.h"
#include "policy/error.h"

namespace userns::frontend {

class IdShift {
 public:
  // Where an id of `from` has to go to be the same id of `to`; nothing where that one has it not.
  [[nodiscard]] std::optional<std::uint32_t> operator()(std::uint32_t id) const;

 private:
  friend struct BothIds;
  friend Result<struct BothIds> both_ids(const ChosenIds& from, const ChosenIds& to);
  struct Piece {
    IdRange ids;
    std::uint32_t place;  // of the first one, in the common map
  };
  std::vector<Piece> pieces_;
};

struct BothIds {
  ChosenIds ids;  // `from` where it is, `to` after it
  IdShift uids;
  IdShift gids;
};
// The ids may be the same ones (then nothing is shifted); ids that overlap in part are an error.
Result<BothIds> both_ids(const ChosenIds& from, const ChosenIds& to);

}  // namespace userns::frontend
