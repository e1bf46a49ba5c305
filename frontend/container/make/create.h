// Makes a container: all of it, or nothing.
//
// It is made in a directory that is none yet and gets its name when it is complete. A process that
// is killed leaves litter, which the next creation in the store sweeps
// (frontend/store/unfinished.h).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "frontend/container/make/instant.h"
#include "frontend/rootfs/fill.h"
#include "frontend/store/store.h"
#include "policy/error.h"

namespace userns::frontend {

struct FromArchive {
  std::string path;  // "-": standard input
};
// The root file system is the setting `rootfs`, and stays where it is.
struct FromDirectory {};
struct FromBusybox {};
struct FromDebian {
  DebianWish wish;
};
// Another one of the same store, which does not run. Its settings come first, but for its ids.
struct FromContainer {
  std::string name;
  // Both stand on its files then, which are not copied. Its own become a base tree.
  bool instant = false;
  bool snapshot =
      false;  // shows the other's files, and keeps only what differs; then they have the same ids
};
// An image of a store of images.
struct FromImage {
  ImageParts parts;
};
using CreateSource =
    std::variant<FromArchive, FromDirectory, FromBusybox, FromDebian, FromContainer, FromImage>;

struct CreateWish {
  std::string name;
  CreateSource source;
  ConfigFile config;                      // what was asked for; paths in it are absolute
  std::optional<std::uint64_t> id_count;  // --ids
  std::optional<std::string> share_ids;   // --share-ids: a container of the same store
  bool copy = false;                      // never on a base tree
  FillHow how;
  // What an export's settings come to. None: it is taken for no export.
  std::function<Result<void>(ConfigFile&, std::string_view text, std::vector<std::string>& notes)>
      take_exported = {};
};

struct Created {
  Container container;
  UnpackCounts counts;
  std::vector<std::string> notes;  // what an image asks for and does not get
};

// INT, TERM, HUP and QUIT (where not ignored) end it in order: the error's code is EINTR.
Result<Created> create_container(const Store& store, const CreateWish& wish);

}  // namespace userns::frontend
