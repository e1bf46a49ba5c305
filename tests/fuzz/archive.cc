// Archives: entries whose names stay below the root, or an error; never a crash, never without an
// end.
#include <algorithm>
#include <string>

#include "frontend/rootfs/archive/path_names.h"
#include "frontend/rootfs/archive/tar_reader.h"
#include "frontend/rootfs/attributes.h"
#include "tests/fuzz/property.h"

using namespace userns;
using namespace userns::frontend;

namespace {

// The input in pieces: what is in one may end anywhere.
class Pieces : public Source {
 public:
  explicit Pieces(std::string_view text) : rest_(text) {}
  Result<std::string_view> read() override {
    const auto piece = rest_.substr(0, 700);
    rest_.remove_prefix(piece.size());
    return piece;
  }

 private:
  std::string_view rest_;
};

void check_names(std::string_view path) {
  const auto names = path_names(path);
  if (!names) {
    must(!names.error().text.empty(), "a refusal says why");
    return;
  }
  for (const auto name : *names) {
    must(name != ".." && name != "." && !name.empty() && name.size() <= kLongestName,
         "a name is one below the root");
    must(name.find('/') == std::string_view::npos, "a name is one name");
  }
  must(path_names(joined(*names)) == *names, "one spelling per place");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Pieces pieces(as_text(data, size));
  auto reader = TarReader::open(pieces);
  if (!reader) return 0;
  while (reader->bytes() < 1UL << 22U) {
    const auto entry = reader->next();
    if (!entry || *entry == nullptr) return 0;
    check_names(path_of(*entry));
    if (const char* const target = ::archive_entry_hardlink(*entry)) check_names(target);
    const char* name = nullptr;
    const void* value = nullptr;
    std::size_t length = 0;
    ::archive_entry_xattr_reset(*entry);
    while (::archive_entry_xattr_next(*entry, &name, &value, &length) == ARCHIVE_OK) {
      const std::string_view text(static_cast<const char*>(value), length);
      (void)without_namespace_root(text);
      must(acl_value(acl_entries(text)).size() <= text.size() + 4, "an ACL does not grow");
    }
    std::uint64_t seen = 0;
    while (seen < 1UL << 20U) {
      const auto piece = reader->data();
      if (!piece || !*piece) break;
      seen += (*piece)->data.size() + 1;
    }
  }
  return 0;
}
