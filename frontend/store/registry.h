// What all of a user's containers have in common: the user's ids. One process of the user holds it
// at a time, while it chooses ids and writes down that they are taken.
//
//   ~/.local/share/userns/.lock
//   ~/.local/share/userns/.index   store PATH                       a directory of --path's
//                                  held UIDS GIDS PATH/NAME         FIRST:COUNT,... or -: as it was
//                                  seen last
//
// Who holds what is read from the containers themselves; the index only says where they are, and
// remembers those of a store that is out of reach now (a disk that is not mounted).
#pragma once

#include <string>
#include <vector>

#include "common/fd.h"
#include "frontend/store/id_blocks.h"
#include "frontend/store/store.h"
#include "policy/error.h"

namespace userns::frontend {

class Registry {
 public:
  // Waits for its turn; looks at all containers, those of `store` too.
  static Result<Registry> lock(const Store& store);

  [[nodiscard]] const std::vector<Holder>& holders() const { return holders_; }
  // From now on these are some, too; on disk before this returns.
  Result<void> add(std::vector<Holder> fresh);
  // Whether it was one already when it was last written down, in that place.
  [[nodiscard]] bool knows(const Holder& holder) const;

 private:
  Registry(Store home, Fd lock) : home_(std::move(home)), lock_(std::move(lock)) {}
  void look(const std::vector<Holder>& remembered);
  void look_at(const std::string& path, const std::vector<Holder>& remembered);
  [[nodiscard]] Result<void> save() const;

  Store home_;
  Fd lock_;
  std::vector<std::string> stores_;  // paths
  std::vector<Holder> holders_;
  std::vector<Holder> remembered_;
};

// The ids of a container, or of what is left of one: those that its config says and those that the
// index remembers.
Holder held_in(const Container& container);

// Whether a config says which ids the container has, as it did when it was seen last.
Result<void> check_ids_in(const Container& container, const ConfigFile& config);

// A container that was moved or copied to where it is by hand is known from its start on: its place
// is written down. Fails if another one has some of its ids by now.
Result<void> register_place(const Container& container);

// The stores that have been used, the default one first; those that are out of reach, too.
Result<std::vector<std::string>> known_stores();

// The text of the index, both ways. Lenient: a line that makes no sense is passed over. Pure.
struct Index {
  std::vector<std::string> stores;
  std::vector<Holder> holders;
};
Index parse_index(std::string_view text);
std::string to_text(const Index& index);

}  // namespace userns::frontend
