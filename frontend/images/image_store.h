// Images of the caller's, in one OCI layout: blobs by digest, shared by all images that have them.
//
//   ~/.local/share/userns/.images/
//     oci-layout, index.json    what is there, by name
//     blobs/sha256/HEX          checked before use, each time (frontend/rootfs/digest.h)
//     .pull-XXXXXX/             of a pull that goes on, or litter if nobody holds .pulls
//     .lock                     flock(2): whoever writes the index
//     .pulls                    flock(2): shared by pulls, for the collector of blobs alone
//
// skopeo(1) reads it: `skopeo inspect oci:DIR:NAME`.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/fd.h"
#include "frontend/container/make/instant.h"
#include "frontend/images/image_index.h"
#include "policy/error.h"

namespace userns::frontend {

struct PullHow {
  std::vector<std::string> words;  // of skopeo's: "--src-creds=...", "--src-tls-verify=..."
};

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

  // Fetches it; what is there already is not fetched again. All of it, or nothing.
  Result<StoredImage> pull(std::string_view reference, const PullHow& how);
  // find(), else pull() if the reference says from where.
  Result<StoredImage> have(std::string_view reference, const PullHow& how);
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
  // Deletes what no image has. Nothing while a pull goes on.
  Result<Collected> collect();

  [[nodiscard]] ImageParts parts(const StoredImage& image) const;

 private:
  ImageStore(std::string path, Fd dir) : path_(std::move(path)), dir_(std::move(dir)) {}
  [[nodiscard]] Result<Fd> lock(const char* name, int how) const;
  Result<StoredImage> add_pulled(const std::string& pulled, const std::string& name);
  Result<void> sweep();
  [[nodiscard]] Result<std::vector<std::string>> blobs_of(const StoredImage& image) const;

  std::string path_;
  Fd dir_;
};

}  // namespace userns::frontend
