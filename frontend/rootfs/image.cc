#include "frontend/rootfs/image.h"

#include <fcntl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "frontend/rootfs/archive/digest.h"
#include "frontend/rootfs/archive/image_json.h"
#include "frontend/rootfs/archive/path_names.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr int kMostLooks = 4;    // a pipe is kept in memory that far
constexpr int kMostIndexes = 4;  // an index may lead to an index
constexpr std::uint64_t kSlack = 64UL << 20U;

// --- recognising ------------------------------------------------------------------------------

bool is_hex(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// What the archives of images begin with, in one order or another; a root file system seldom.
bool may_be_of_image(const Names& names) {
  const auto first = names.front();
  for (const std::string_view known :
       {"blobs", "oci-layout", "index.json", "manifest.json", "repositories"})
    if (first == known) return true;
  return first.starts_with("sha256:") || (first.size() >= 64 && is_hex(first.substr(0, 64)));
}

struct Looks {
  bool image = false;
  bool compressed = false;
};

// By the first entry that is not the root.
Result<Looks> look_at(FileSource& source) {
  auto reader = TRY(TarReader::open(source));
  for (int looked = 0; looked < kMostLooks; ++looked) {
    const auto entry = TRY(reader.next());
    if (entry == nullptr) return Looks{};
    const auto names = path_names(path_of(entry));
    if (!names) return Looks{};  // to be complained about by who unpacks it
    if (!names->empty())
      return Looks{.image = may_be_of_image(*names), .compressed = reader.is_compressed()};
  }
  return Looks{};
}

Result<Fd> nameless_file(const Fd& directory) {
  Fd file(::openat(directory.get(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file.valid())
    return fail_errno("cannot keep the uncompressed image (a file without a name)");
  return file;
}

// The uncompressed archive in a file.
Result<Fd> uncompress(Source& source, const Fd& directory, UnpackLimits limits) {
  auto file = nameless_file(directory);
  auto reader =
      TRY(file ? TarReader::open(source, TarReader::Content::kRaw) : std::unexpected(file.error()));
  (void)TRY(reader.next());
  while (true) {
    const auto piece = TRY(reader.data());
    if (!piece) return file;
    if (piece->offset > 2 * limits.bytes + kSlack)
      return fail({}, concat("the image has more than twice ", limits.bytes,
                             " bytes; --max-size allows more"));
    if (auto written = write_all(*file, piece->data); !written)
      return fail({}, "cannot keep the uncompressed image", written.error().code);
  }
}

bool is_image(Blobs& blobs) {
  if (blobs.has("oci-layout") && blobs.has("index.json")) return true;
  if (!blobs.has("manifest.json")) return false;
  const auto manifest = blobs.text("manifest.json");
  return manifest && is_docker_manifest(*manifest);
}

// --- unpacking --------------------------------------------------------------------------------

Result<std::string> checked_text(Blobs& blobs, const std::string& digest) {
  const auto path = blob_path(digest);
  auto source = TRY(path ? blobs.open(*path) : std::unexpected(path.error()));
  DigestSource checked(std::move(source), digest);
  std::string text;
  while (true) {
    const auto piece = TRY(checked.read());
    if (piece.empty()) break;
    text += piece;
    if (text.size() > kLargestJson)
      return fail({}, concat("the image's part ", digest, " is too large"));
  }
  TRY(checked.check());
  return text;
}

std::string this_architecture() {
  utsname facts{};
  return ::uname(&facts) == 0 ? oci_architecture(facts.machine) : std::string{};
}

Result<OciNode> find_manifest(Blobs& blobs) {
  auto text = blobs.text("index.json");
  for (int depth = 0; depth < kMostIndexes; ++depth) {
    if (!text) return std::unexpected(text.error());
    auto node = parse_oci_node(*text, this_architecture());
    if (!node || node->next.empty()) return node;
    text = checked_text(blobs, node->next.front());
  }
  return fail({}, "the image is damaged: its indexes lead in circles");
}

Result<ImageConfig> unpack_oci(Blobs& blobs, Unpacker& unpacker) {
  const auto manifest = TRY(find_manifest(blobs));
  const auto config = TRY(checked_text(blobs, manifest.config));
  for (const auto& digest : manifest.layers) {
    const auto path = blob_path(digest);
    auto source = TRY(path ? blobs.open(*path) : std::unexpected(path.error()));
    DigestSource layer(std::move(source), digest);
    TRY(unpacker.add(layer, true));
    TRY(layer.check());
  }
  return parse_image_config(config);
}

Result<ImageConfig> unpack_docker(Blobs& blobs, Unpacker& unpacker) {
  const auto text = blobs.text("manifest.json");
  const auto manifest = TRY(text ? parse_docker_manifest(*text) : std::unexpected(text.error()));
  const auto config = TRY(blobs.text(manifest.config));
  for (const auto& name : manifest.layers) {
    auto layer = TRY(blobs.open(name));
    TRY(unpacker.add(*layer, true));
  }
  return parse_image_config(config);
}

Result<ImageConfig> unpack_plain(Source& source, Unpacker& unpacker) {
  TRY(unpacker.add(source, false));
  return ImageConfig{};
}

}  // namespace

Result<ImageConfig> unpack_image(Blobs& blobs, Unpacker& unpacker) {
  const bool oci = blobs.has("oci-layout") && blobs.has("index.json");
  return oci ? unpack_oci(blobs, unpacker) : unpack_docker(blobs, unpacker);
}

Result<ImageConfig> unpack_anything(const Fd& archive, const Fd& top, UnpackLimits limits,
                                    Unpacker& unpacker) {
  FileSource source(archive);
  source.remember();
  const auto looks = TRY(look_at(source));
  source.again();
  if (!looks.image) return unpack_plain(source, unpacker);
  const bool as_it_is = source.is_regular() && !looks.compressed;
  Fd kept;
  std::uint64_t start = 0;
  if (as_it_is) {
    start = static_cast<std::uint64_t>(std::max<off_t>(::lseek(archive.get(), 0, SEEK_CUR), 0));
  } else {
    auto file = TRY(uncompress(source, top, limits));
    kept = std::move(file);
  }
  const auto blobs = TRY(TarBlobs::open(as_it_is ? archive : kept, start));
  if (is_image(*blobs)) return unpack_image(*blobs, unpacker);
  if (as_it_is) return unpack_plain(source, unpacker);
  if (::lseek(kept.get(), 0, SEEK_SET) < 0) return fail_errno("cannot read the archive again");
  FileSource uncompressed(kept);
  return unpack_plain(uncompressed, unpacker);
}

}  // namespace userns::frontend
