// libarchive, reading a tar in any compression that is common: the one place that calls its reader.
//
// Memory is bounded by what the caller's RLIMIT_DATA allows: running out of it is an error like
// others.
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "frontend/rootfs/archive/source.h"
#include "policy/error.h"

namespace userns::frontend {

class TarReader {
 public:
  enum class Content : std::uint8_t {
    kTar,  // entries
    kRaw,  // one entry whose data is what was compressed
  };
  // Reads ahead as far as it takes to know the compression. `source` must live as long.
  static Result<TarReader> open(Source& source, Content content = Content::kTar);

  // The next entry, valid until the next call; nothing at the end.
  Result<archive_entry*> next();
  // The next piece of its data, and where in the file it belongs; nothing at its end.
  struct Piece {
    std::string_view data;
    std::uint64_t offset = 0;
  };
  Result<std::optional<Piece>> data();

  // Uncompressed bytes so far.
  [[nodiscard]] std::uint64_t bytes() const;
  // Where in them the last entry begins.
  [[nodiscard]] std::uint64_t entry_offset() const;
  [[nodiscard]] bool is_compressed() const;

 private:
  struct State {
    Source* source = nullptr;
    std::optional<Error> error;
  };
  struct Closer {
    void operator()(archive* raw) const { ::archive_read_free(raw); }
  };
  TarReader() : state_(std::make_unique<State>()), archive_(::archive_read_new()) {}
  static la_ssize_t take(archive* raw, void* state, const void** bytes);
  static la_int64_t leave(archive* raw, void* state, la_int64_t count);
  [[nodiscard]] std::unexpected<Error> failure();

  std::unique_ptr<State> state_;
  std::unique_ptr<archive, Closer> archive_;
};

// What an entry is called, byte for byte; empty where it has no name.
std::string_view path_of(archive_entry* entry);

}  // namespace userns::frontend
