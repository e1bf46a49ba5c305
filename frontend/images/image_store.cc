#include "frontend/images/image_store.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <utility>

#include "frontend/images/skopeo.h"
#include "frontend/rootfs/archive/digest.h"
#include "frontend/rootfs/archive/image_json.h"
#include "frontend/rootfs/archive/source.h"
#include "frontend/rootfs/remove.h"
#include "frontend/store/base_trees.h"
#include "frontend/store/files.h"
#include "frontend/store/store.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr unsigned long long kBelow = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
constexpr std::string_view kPulled = ".pull-";
constexpr std::string_view kRegistry = "docker://";
constexpr std::string_view kLayoutTransport = "oci:";
constexpr const char* kLayout = "{\"imageLayoutVersion\": \"1.0.0\"}\n";
constexpr const char* kBlobs = "blobs/sha256";

Result<Fd> file_of(std::string_view text) {
  Fd file(::memfd_create("index", MFD_CLOEXEC));
  if (!file.valid()) return fail_errno("cannot make a file in memory");
  TRY(write_all(file, text));
  if (::lseek(file.get(), 0, SEEK_SET) < 0) return fail_errno("cannot read a file in memory");
  return file;
}

// Of this directory of ours: files, and directories of files.
void remove_all(const Fd& dir, const std::string& name) {
  if (::unlinkat(dir.get(), name.c_str(), 0) == 0 || (errno != EISDIR && errno != EPERM)) return;
  const auto inner = open_at(dir.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  const auto names = inner ? list_directory(*inner) : std::unexpected(inner.error());
  if (names)
    for (const auto& one : *names) remove_all(*inner, one);
  ::unlinkat(dir.get(), name.c_str(), AT_REMOVEDIR);
}

// A layout that skopeo writes to or reads from, gone at the end of the scope. Whoever has one holds
// ".pulls", so that nobody takes it for litter.
class Pull {
 public:
  static Result<Pull> begin(const Fd& store, const std::string& path) {
    auto name = concat(path, "/", kPulled, "XXXXXX");
    if (::mkdtemp(name.data()) == nullptr)
      return fail_errno(concat("cannot make a directory in ", path));
    auto dir =
        TRY(open_at(store.get(), name.substr(path.size() + 1).c_str(), O_RDONLY | O_DIRECTORY));
    return Pull(store, std::move(name), std::move(dir));
  }
  Pull(Pull&& other) noexcept
      : store_(other.store_), path_(std::exchange(other.path_, {})), dir_(std::move(other.dir_)) {}
  Pull(const Pull&) = delete;
  Pull& operator=(const Pull&) = delete;
  Pull& operator=(Pull&&) = delete;
  ~Pull() {
    if (!path_.empty()) remove_all(store_, path_.substr(path_.rfind('/') + 1));
  }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] Result<void> lead_to(const StoredImage& image) const {
    auto made = replace_file(dir_, "index.json", index_text(image));
    return made ? replace_file(dir_, "oci-layout", kLayout) : made;
  }
  [[nodiscard]] Result<std::string> index() const {
    return read_file_at(dir_.get(), "index.json", kLargestJson);
  }

 private:
  Pull(const Fd& store, std::string path, Fd dir)
      : store_(store), path_(std::move(path)), dir_(std::move(dir)) {}
  const Fd& store_;
  std::string path_;
  Fd dir_;
};

// Of the image that "oci:DIR" or "oci:DIR:TAG" leads to, if that is plain to see.
std::optional<std::string> digest_in_layout(std::string_view reference) {
  if (!reference.starts_with(kLayoutTransport)) return std::nullopt;
  reference.remove_prefix(kLayoutTransport.size());
  const auto colon = std::min(reference.find(':'), reference.size());
  const auto path = concat(reference.substr(0, colon), "/index.json");
  const auto text = read_file_at(AT_FDCWD, path.c_str(), kLargestJson);
  const auto images =
      text ? parse_image_index(*text) : Result<std::vector<StoredImage>>(fail({}, ""));
  if (!images) return std::nullopt;
  const auto tag = reference.substr(std::min(colon + 1, reference.size()));
  std::optional<std::string> digest;
  for (const auto& image : *images) {
    if (colon < reference.size() && image.name != tag) continue;
    if (digest) return std::nullopt;
    digest = image.digest;
  }
  return digest;
}

std::string about(std::string_view reference, const Error& error) {
  return concat("cannot pull ", quoted(reference), ": ", error.text);
}

}  // namespace

Result<ImageStore> ImageStore::open() {
  const auto home = TRY(Store::open_or_make(std::nullopt));
  auto path = concat(home.path(), "/.images");
  for (const auto& part : {path, concat(path, "/blobs"), concat(path, "/", kBlobs)})
    if (::mkdir(part.c_str(), 0700) != 0 && errno != EEXIST)
      return fail_errno(concat("cannot make ", part, ", where images are kept"));
  auto dir = open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!dir) return fail({}, concat("cannot open ", path), dir.error().code);
  struct stat facts{};
  if (::fstat(dir->get(), &facts) != 0 || facts.st_uid != ::geteuid())
    return fail({}, concat(path, " is not the caller's"));
  ImageStore store(home, std::move(path), std::move(*dir));
  const auto lock = TRY(store.lock(".lock", LOCK_EX));
  if (::faccessat(store.dir_.get(), "oci-layout", F_OK, AT_SYMLINK_NOFOLLOW) == 0) return store;
  auto made = replace_file(store.dir_, "index.json", index_text(std::vector<StoredImage>{}));
  if (made) made = replace_file(store.dir_, "oci-layout", kLayout);
  return made ? Result<ImageStore>(std::move(store)) : std::unexpected(made.error());
}

Result<Fd> ImageStore::lock(const char* name, int how) const {
  auto file = open_at(dir_.get(), name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, kBelow, 0600);
  if (!file) return fail({}, concat("cannot lock ", path_, "/", name), file.error().code);
  while (::flock(file->get(), how) != 0)
    if (errno != EINTR) return fail_errno(concat("cannot lock ", path_, "/", name));
  return file;
}

Result<std::vector<StoredImage>> ImageStore::images() const {
  const auto text = read_file_at(dir_.get(), "index.json", kLargestJson);
  auto all = text ? parse_image_index(*text) : std::unexpected(text.error());
  if (!all) return fail({}, concat(path_, "/index.json: ", all.error().text), all.error().code);
  std::erase_if(*all, [](const StoredImage& image) { return image.name.empty(); });
  std::ranges::sort(*all, {}, &StoredImage::name);
  return all;
}

Result<std::optional<StoredImage>> ImageStore::find(std::string_view reference) const {
  const auto name = name_of_image(reference);
  const auto all = TRY(name ? images() : std::unexpected(name.error()));
  const auto found = std::ranges::find(all, *name, &StoredImage::name);
  return found == all.end() ? std::nullopt : std::optional(*found);
}

Result<ImageStore::Blobs> ImageStore::blobs_of(const StoredImage& image) const {
  constexpr std::size_t kMostManifests = 8;  // a manifest comes first; what follows are its parts
  Blobs blobs{.heads = {image.digest}, .layers = {}};
  for (std::size_t at = 0; at < blobs.heads.size() && at <= kMostManifests; ++at) {
    const auto path = blob_path(blobs.heads[at]);
    const auto text = path ? read_file_at(dir_.get(), path->c_str(), kLargestJson)
                           : std::unexpected(path.error());
    auto node = text ? parse_oci_node(*text, "") : std::unexpected(text.error());
    if (!node && at == 0) return std::unexpected(node.error());
    if (!node) break;
    for (auto& digest : node->next)
      if (std::ranges::find(blobs.heads, digest) == blobs.heads.end())
        blobs.heads.push_back(std::move(digest));
    if (node->config.empty()) continue;
    blobs.heads.push_back(std::move(node->config));
    blobs.layers = std::move(node->layers);
    break;
  }
  return blobs;
}

bool ImageStore::has(const std::string& digest) const {
  const auto path = blob_path(digest);
  return path && ::faccessat(dir_.get(), path->c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

std::uint64_t ImageStore::size_of(const StoredImage& image) const {
  const auto blobs = blobs_of(image);
  if (!blobs) return 0;
  std::set<std::string> all(blobs->heads.begin(), blobs->heads.end());
  all.insert(blobs->layers.begin(), blobs->layers.end());
  std::uint64_t size = 0;
  for (const auto& digest : all) {
    struct stat facts{};
    const auto path = blob_path(digest);
    if (path && ::fstatat(dir_.get(), path->c_str(), &facts, AT_SYMLINK_NOFOLLOW) == 0)
      size += static_cast<std::uint64_t>(facts.st_size);
  }
  return size;
}

std::uint64_t ImageStore::tree_size_of(const StoredImage& image) const {
  const auto base = find_base(home_, base_id_of(image));
  return base ? data_of_base(*base) : 0;
}

bool ImageStore::is_unpacked_in(const Store& store, const StoredImage& image) const {
  return find_base(store, base_id_of(image)).has_value();
}

bool ImageStore::has_layers(const StoredImage& image) const {
  const auto blobs = blobs_of(image);
  return blobs &&
         std::ranges::all_of(blobs->layers, [&](const std::string& one) { return has(one); });
}

// Whether a container of `store` can be made of what is there.
bool ImageStore::is_whole(const StoredImage& image, const Store& store) const {
  return !image.is_tree_alone || is_unpacked_in(store, image) || has_layers(image);
}

// What killed pulls have left, if none goes on.
Result<void> ImageStore::sweep() {
  const auto alone = lock(".pulls", LOCK_EX | LOCK_NB);
  if (!alone) return {};
  const auto names = TRY(list_directory(dir_));
  for (const auto& name : names)
    if (name.starts_with(kPulled)) remove_all(dir_, name);
  return {};
}

Result<StoredImage> ImageStore::add_pulled(const std::string& pulled, const std::string& name,
                                           bool tree_alone) {
  auto entries = TRY(parse_image_index(pulled));
  if (entries.size() != 1)
    return fail({}, concat("skopeo has written ", entries.size(), " images instead of one"));
  auto image = std::move(entries.front());
  image.name = name;
  image.is_tree_alone = tree_alone;
  return add(image);
}

Result<StoredImage> ImageStore::add(const StoredImage& image) {
  const auto held = lock(".lock", LOCK_EX);
  auto all = TRY(held ? images() : std::unexpected(held.error()));
  std::erase_if(all, [&](const StoredImage& other) { return other.name == image.name; });
  all.push_back(image);
  TRY(replace_file(dir_, "index.json", index_text(all)));
  return image;
}

Result<StoredImage> ImageStore::pull(std::string_view reference, const PullHow& how) {
  const auto name = TRY(name_of_image(reference));
  if (!has_transport(reference))
    return fail({}, concat("from where? userns-run pull docker://", name));
  TRY(sweep());
  const auto shared = lock(".pulls", LOCK_SH);
  const auto pull = TRY(shared ? Pull::begin(dir_, path_) : std::unexpected(shared.error()));
  auto words = how.words;
  // skopeo checks signatures as policy.json says, and then has no place for them in a layout.
  words.insert(words.end(),
               {"--quiet", "--remove-signatures", "--dest-shared-blob-dir", concat(path_, "/blobs"),
                "--", std::string(reference), concat("oci:", pull.path(), ":image")});
  if (::isatty(STDERR_FILENO) == 1) std::erase(words, "--quiet");
  const auto fetched = skopeo_copy(words);
  if (!fetched) return fail({}, about(reference, fetched.error()), fetched.error().code);
  const auto index = pull.index();
  auto image = index ? add_pulled(*index, name, how.tree_alone) : std::unexpected(index.error());
  if (image) return image;
  return fail({}, about(reference, image.error()), image.error().code);
}

// skopeo's words; `side`: "src" or "dest".
PullHow transfer_of(const Words& words, std::string_view side) {
  PullHow how;
  if (const auto file = words.one("authfile")) how.words.push_back(concat("--authfile=", *file));
  if (const auto dir = words.one("cert-dir"))
    how.words.push_back(concat("--", side, "-cert-dir=", *dir));
  if (words.has("no-tls-verify")) how.words.push_back(concat("--", side, "-tls-verify=false"));
  return how;
}

Result<StoredImage> ImageStore::have(std::string_view reference, const PullHow& how,
                                     const Store& store) {
  const auto found = TRY(find(reference));
  const bool is_local = has_transport(reference) && !reference.starts_with(kRegistry);
  const bool is_here = found && is_whole(*found, store);
  if (is_here && (!is_local || digest_in_layout(reference) == found->digest)) return *found;
  if (!has_transport(reference) && !found)
    return fail({}, concat("there is no image ", quoted(reference),
                           " (userns-run images lists them): userns-run pull docker://", reference,
                           " fetches it"));
  auto wish = how;
  // What was pulled by hand stays whole. Of an archive, skopeo makes the layers anew each time.
  wish.tree_alone =
      (!found || found->is_tree_alone) && (!is_local || reference.starts_with(kLayoutTransport));
  return pull(has_transport(reference) ? std::string(reference) : concat(kRegistry, reference),
              wish);
}

Result<void> ImageStore::drop_layers(const StoredImage& image) {
  if (!image.is_tree_alone || !is_unpacked_in(home_, image)) return {};
  const auto blobs = blobs_of(image);
  if (!blobs || std::ranges::none_of(blobs->layers, [&](const auto& one) { return has(one); }))
    return {};
  const auto collected = collect();
  return collected ? Result<void>{} : std::unexpected(collected.error());
}

Result<void> ImageStore::push(const StoredImage& image, const std::string& to,
                              const PullHow& how) const {
  const auto shared = lock(".pulls", LOCK_SH);
  if (shared && image.is_tree_alone && !has_layers(image))
    return fail(
        {}, concat("the layers of ", image.name,
                   " are not kept, because it was fetched for a container: userns-run "
                   "pull ",
                   has_transport(image.name) ? "" : kRegistry, image.name, " fetches them again"));
  // A layout that leads to this image alone: skopeo does not take every name.
  const auto alone = shared ? Pull::begin(dir_, path_) : std::unexpected(shared.error());
  auto made = alone ? alone->lead_to(image) : std::unexpected(alone.error());
  if (!made) return made;
  auto words = how.words;
  words.insert(words.end(), {"--quiet", "--src-shared-blob-dir", concat(path_, "/blobs"), "--",
                             concat("oci:", alone->path()), to});
  if (::isatty(STDERR_FILENO) == 1) std::erase(words, "--quiet");
  const auto sent = skopeo_copy(words);
  if (sent) return {};
  return fail({}, concat("cannot push ", image.name, " to ", quoted(to), ": ", sent.error().text),
              sent.error().code);
}

Result<NewBlobs> ImageStore::begin_blobs() {
  auto held = lock(".pulls", LOCK_SH);
  auto blobs = TRY(held ? open_at(dir_.get(), kBlobs, O_RDONLY | O_DIRECTORY, kBelow)
                        : std::unexpected(held.error()));
  return NewBlobs(std::move(blobs), std::move(*held));
}

Result<Blob> NewBlobs::add(std::string_view text) {
  return add([&](const Fd& out) { return write_all(out, text); });
}

Result<Blob> NewBlobs::add(const std::function<Result<void>(const Fd&)>& write) {
  const Fd file(::openat(blobs_.get(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file.valid()) return fail_errno("cannot write a part of an image");
  TRY(write(file));
  struct stat facts{};
  if (::fsync(file.get()) != 0 || ::fstat(file.get(), &facts) != 0 ||
      ::lseek(file.get(), 0, SEEK_SET) < 0)
    return fail_errno("cannot write a part of an image");
  FileSource source(file);
  auto digest = TRY(digest_of(source));
  const auto name = digest.substr(digest.find(':') + 1);
  if (::linkat(AT_FDCWD, concat("/proc/self/fd/", file.get()).c_str(), blobs_.get(), name.c_str(),
               AT_SYMLINK_FOLLOW) != 0 &&
      errno != EEXIST)
    return fail_errno("cannot write a part of an image");
  return Blob{std::move(digest), static_cast<std::uint64_t>(facts.st_size)};
}

Result<void> ImageStore::remove(const StoredImage& image) {
  const auto held = lock(".lock", LOCK_EX);
  auto all = TRY(held ? images() : std::unexpected(held.error()));
  std::erase_if(all, [&](const StoredImage& other) { return other.name == image.name; });
  return replace_file(dir_, "index.json", index_text(all));
}

// Images that were fetched for a container, and whose tree is deleted since.
Result<void> ImageStore::forget_hollow() {
  const auto held = lock(".lock", LOCK_EX);
  auto all = TRY(held ? images() : std::unexpected(held.error()));
  const auto gone =
      std::erase_if(all, [&](const StoredImage& image) { return !is_whole(image, home_); });
  return gone == 0 ? Result<void>{} : replace_file(dir_, "index.json", index_text(all));
}

Result<std::set<std::string>> ImageStore::used_blobs() const {
  const auto all = TRY(images());
  std::set<std::string> used;
  for (const auto& image : all) {
    const auto blobs = blobs_of(image);
    if (!blobs)
      return fail({}, concat("cannot tell which blobs ", image.name, " has (", blobs.error().text,
                             "): userns-run rmi ", image.name));
    used.insert(blobs->heads.begin(), blobs->heads.end());
    if (!image.is_tree_alone || !is_unpacked_in(home_, image))
      used.insert(blobs->layers.begin(), blobs->layers.end());
  }
  return used;
}

Result<ImageStore::Collected> ImageStore::collect() {
  TRY(sweep());
  Collected collected;
  const auto alone = lock(".pulls", LOCK_EX | LOCK_NB);
  if (!alone) return collected;
  TRY(forget_hollow());
  const auto used = TRY(used_blobs());
  const auto dir = open_at(dir_.get(), kBlobs, O_RDONLY | O_DIRECTORY, kBelow);
  const auto names = TRY(dir ? list_directory(*dir) : std::unexpected(dir.error()));
  for (const auto& name : names) {
    struct stat facts{};
    if (used.contains(concat("sha256:", name)) ||
        ::fstatat(dir->get(), name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0 ||
        ::unlinkat(dir->get(), name.c_str(), 0) != 0)
      continue;
    ++collected.blobs;
    collected.bytes += static_cast<std::uint64_t>(facts.st_size);
  }
  return collected;
}

Result<ImageParts> ImageStore::parts(const StoredImage& image) const {
  auto shared = TRY(lock(".pulls", LOCK_SH));
  const auto held = std::make_shared<const Fd>(std::move(shared));
  return ImageParts{.id = base_id_of(image),
                    .open = [this, image, held](const std::string& name) -> Result<Fd> {
                      if (name == "index.json") return file_of(index_text(image));
                      return open_at(dir_.get(), name.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY,
                                     RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
                    }};
}

}  // namespace userns::frontend
