// Which ids become which: the arithmetic of a shift. Pure.
//
//   range = [ "u:" | "g:" ] first ":" count ;   (* decimals; without a prefix: uids and gids *)
//
// No id that a shift gives is one that it takes. So a shift of what was shifted changes nothing: a
// tree that was left half way is shifted by shifting all of it, and shifted back by the reverse.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/error.h"
#include "policy/id_range.h"

namespace userns::shift {

// Of uids, or of gids. Ids outside of its ranges stay.
class IdShift {
 public:
  IdShift() = default;
  // In each piece inside() becomes outside(). Fails where an id is taken twice or given twice, and
  // where one is both: by the numbers alone nobody could tell then what is shifted already.
  static Result<IdShift> make(std::vector<Extent> pieces, std::string_view kind);

  [[nodiscard]] std::uint32_t of(std::uint32_t id) const;  // the id itself where it is not taken
  [[nodiscard]] bool takes(std::uint32_t id) const;
  [[nodiscard]] bool gives(std::uint32_t id) const;
  [[nodiscard]] IdShift reversed() const;
  [[nodiscard]] const std::vector<Extent>& pieces() const { return pieces_; }
  friend bool operator==(const IdShift&, const IdShift&) = default;

 private:
  std::vector<Extent> pieces_;
};

struct Shift {
  IdShift uids;
  IdShift gids;
  [[nodiscard]] Shift reversed() const {
    return {.uids = uids.reversed(), .gids = gids.reversed()};
  }
  friend bool operator==(const Shift&, const Shift&) = default;
};

// One --from or --to.
struct RangeWish {
  bool uids = true;
  bool gids = true;
  IdRange range;
};
Result<RangeWish> parse_range(std::string_view text);
// The first --from becomes the first --to, and so on; the two of a pair are of the same kind and
// count.
Result<Shift> make_shift(const std::vector<std::string_view>& from,
                         const std::vector<std::string_view>& to);
// The extents of maps: inside to outside.
Result<Shift> shift_of_maps(const std::vector<Extent>& uids, const std::vector<Extent>& gids);

// --- in a user namespace ---------------------------------------------------------------------
// How a shift is done by someone who is not root: in a namespace in which each id that the shift
// speaks of has its own number, but for `own`, which is 0 there.

// The lines of that namespace's map. Fails where the host's root is among the ids.
Result<std::vector<Extent>> map_for(const IdShift& shift, std::uint32_t own, std::string_view kind);
// The shift as it is said there.
IdShift as_seen(const IdShift& shift, std::uint32_t own);

}  // namespace userns::shift
