// Images of the caller's, in one OCI layout: blobs by digest, shared by all images that have them.
//
//   ~/.local/share/userns/.images/
//     oci-layout, index.json    what is there, by name
//     blobs/sha256/HEX          checked before use, each time (frontend/rootfs/digest.h)
//                               (of an image that was fetched for a container, the layers are
//                               deleted once its tree is unpacked, in the store of containers)
//     .pull-XXXXXX/             of a pull that goes on, or litter if nobody holds .pulls
//     .lock                     flock(2): whoever writes the index
//     .pulls                    flock(2): shared by pulls and by readers of layers, exclusive for
//                               who deletes blobs
//
// skopeo(1) reads it: `skopeo inspect oci:DIR:NAME`.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/fd.h"
#include "frontend/container/make/instant.h"
#include "frontend/images/image_index.h"
#include "frontend/spec/verb.h"
#include "frontend/store/store.h"
#include "policy/error.h"

namespace userns::frontend {

struct PullHow {
  std::vector<std::string> words;  // of skopeo's: "--src-creds=...", "--src-tls-verify=..."
  bool tree_alone = false;         // StoredImage::is_tree_alone
};

inline constexpr VerbOption kAuthOption{"authfile", "FILE",
                                        "passwords of registries, as skopeo has them"};
inline constexpr VerbOption kCertOption{"cert-dir", "DIR", "certificates of the registry"};
inline constexpr VerbOption kPlainOption{"no-tls-verify", "", "plain HTTP, and any certificate"};
// What these options say; `side`: "src" or "dest".
PullHow transfer_of(const Words& words, std::string_view side);

struct Blob {
  std::string digest;
  std::uint64_t size = 0;
};

// Blobs that are being written. None of them is deleted meanwhile.
class NewBlobs {
 public:
  Result<Blob> add(std::string_view text);
  // `write` writes it to an empty file.
  Result<Blob> add(const std::function<Result<void>(const Fd&)>& write);

 private:
  friend class ImageStore;
  NewBlobs(Fd blobs, Fd held) : blobs_(std::move(blobs)), held_(std::move(held)) {}
  Fd blobs_;  // the directory
  Fd held_;
};

class ImageStore {
 public:
  // Made where it is missing.
  static Result<ImageStore> open();

  [[nodiscard]] const std::string& path() const { return path_; }
  // Sorted by name.
  [[nodiscard]] Result<std::vector<StoredImage>> images() const;
  // Nothing where it is not there. `reference`: as name_of_image() takes it.
  [[nodiscard]] Result<std::optional<StoredImage>> find(std::string_view reference) const;
  // Of all its blobs, on disk.
  [[nodiscard]] std::uint64_t size_of(const StoredImage& image) const;
  // Of the data of its unpacked tree; 0 if there is none.
  [[nodiscard]] std::uint64_t tree_size_of(const StoredImage& image) const;

  // Fetches it; what is there already is not fetched again. All of it, or nothing.
  Result<StoredImage> pull(std::string_view reference, const PullHow& how);
  // For a container of `store`: find(), else pull() if the reference says from where.
  Result<StoredImage> have(std::string_view reference, const PullHow& how, const Store& store);
  // After have(), when the container is there: deletes the layers, if the tree is all that is kept.
  // Nothing while another process reads layers: that one does it then.
  Result<void> drop_layers(const StoredImage& image);
  // Sends an image to "docker://...", or whatever else skopeo takes.
  Result<void> push(const StoredImage& image, const std::string& to, const PullHow& how) const;

  // Its name; the blobs go with collect().
  Result<void> remove(const StoredImage& image);
  Result<NewBlobs> begin_blobs();
  // In place of another of that name.
  Result<StoredImage> add(const StoredImage& image);
  struct Collected {
    std::uint64_t blobs = 0;
    std::uint64_t bytes = 0;
  };
  // Deletes what no image has, and the names of images of which nothing is left. Nothing while a
  // pull goes on.
  Result<Collected> collect();

  // Of this store, which must live as long. While there is a copy of it, no layer is deleted.
  [[nodiscard]] Result<ImageParts> parts(const StoredImage& image) const;

 private:
  ImageStore(Store home, std::string path, Fd dir)
      : home_(std::move(home)), path_(std::move(path)), dir_(std::move(dir)) {}
  [[nodiscard]] Result<Fd> lock(const char* name, int how) const;
  Result<StoredImage> add_pulled(const std::string& pulled, const std::string& name,
                                 bool tree_alone);
  Result<void> sweep();
  Result<void> forget_hollow();
  struct Blobs {
    std::vector<std::string> heads;  // digests of manifests and of the config
    std::vector<std::string> layers;
  };
  [[nodiscard]] Result<Blobs> blobs_of(const StoredImage& image) const;
  [[nodiscard]] Result<std::set<std::string>> used_blobs() const;
  [[nodiscard]] bool has(const std::string& digest) const;
  [[nodiscard]] bool has_layers(const StoredImage& image) const;
  [[nodiscard]] bool is_unpacked_in(const Store& store, const StoredImage& image) const;
  [[nodiscard]] bool is_whole(const StoredImage& image, const Store& store) const;

  Store home_;  // of containers
  std::string path_;
  Fd dir_;
};

}  // namespace userns::frontend
