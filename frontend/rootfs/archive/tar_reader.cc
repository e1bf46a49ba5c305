#include "frontend/rootfs/archive/tar_reader.h"

#include <cerrno>

#include "policy/text.h"

namespace userns::frontend {

la_ssize_t TarReader::take(archive* raw, void* state, const void** bytes) {
  auto& self = *static_cast<State*>(state);
  auto piece = self.source->read();
  if (!piece) {
    self.error = std::move(piece.error());
    ::archive_set_error(raw, self.error->code, "read");
    return ARCHIVE_FATAL;
  }
  *bytes = piece->data();
  return static_cast<la_ssize_t>(piece->size());
}

la_int64_t TarReader::leave(archive* /*raw*/, void* state, la_int64_t count) {
  return static_cast<la_int64_t>(
      static_cast<State*>(state)->source->skip(static_cast<std::uint64_t>(count)));
}

Result<TarReader> TarReader::open(Source& source, Content content) {
  TarReader reader;
  archive* const raw = reader.archive_.get();
  if (raw == nullptr) return fail({}, "cannot read the archive", ENOMEM);
  reader.state_->source = &source;
  // Only what is built in: for others the library would run programs that it finds on PATH.
  ::archive_read_support_filter_gzip(raw);
  ::archive_read_support_filter_bzip2(raw);
  ::archive_read_support_filter_xz(raw);
  ::archive_read_support_filter_lzma(raw);
  ::archive_read_support_filter_zstd(raw);
  ::archive_read_support_filter_lz4(raw);
  ::archive_read_support_filter_compress(raw);
  if (content == Content::kRaw)
    ::archive_read_support_format_raw(raw);
  else
    ::archive_read_support_format_tar(raw);
  ::archive_read_set_read_callback(raw, &TarReader::take);
  ::archive_read_set_skip_callback(raw, &TarReader::leave);
  ::archive_read_set_callback_data(raw, reader.state_.get());
  if (::archive_read_open1(raw) != ARCHIVE_OK) return reader.failure();
  return reader;
}

std::unexpected<Error> TarReader::failure() {
  if (state_->error) return std::unexpected(*state_->error);
  const char* const text = ::archive_error_string(archive_.get());
  const std::string_view said = text == nullptr ? "unknown failure" : text;
  if (said.starts_with("Unrecognized archive format"))
    return fail({},
                "it is not a tar archive, or its compression is none of gzip, bzip2, xz, lzma, "
                "zstd, lz4, compress");
  if (::archive_errno(archive_.get()) == ENOMEM)
    return fail({}, concat("the archive is damaged, or made to use up memory: ", said));
  return fail({}, concat("the archive is damaged: ", said));
}

Result<archive_entry*> TarReader::next() {
  archive_entry* entry = nullptr;
  const int result = ::archive_read_next_header(archive_.get(), &entry);
  if (result == ARCHIVE_EOF) return nullptr;
  // A warning: a name is not in the encoding that its format promises. We take the bytes.
  if (result == ARCHIVE_RETRY || result < ARCHIVE_WARN) return failure();
  return entry;
}

Result<std::optional<TarReader::Piece>> TarReader::data() {
  const void* bytes = nullptr;
  std::size_t size = 0;
  la_int64_t offset = 0;
  const int result = ::archive_read_data_block(archive_.get(), &bytes, &size, &offset);
  if (result == ARCHIVE_EOF) return std::nullopt;
  if (result == ARCHIVE_RETRY || result < ARCHIVE_WARN) return failure();
  if (offset < 0) return fail({}, "the archive is damaged: a file has data before its beginning");
  return Piece{.data = {static_cast<const char*>(bytes), size},
               .offset = static_cast<std::uint64_t>(offset)};
}

std::uint64_t TarReader::bytes() const {
  return static_cast<std::uint64_t>(::archive_filter_bytes(archive_.get(), 0));
}

std::uint64_t TarReader::entry_offset() const {
  return static_cast<std::uint64_t>(::archive_read_header_position(archive_.get()));
}

bool TarReader::is_compressed() const { return ::archive_filter_count(archive_.get()) > 1; }

std::string_view path_of(archive_entry* entry) {
  const char* const path = ::archive_entry_pathname(entry);
  return path == nullptr ? std::string_view{} : path;
}

}  // namespace userns::frontend
