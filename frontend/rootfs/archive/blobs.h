// The parts of an image by name, wherever they are.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "common/fd.h"
#include "frontend/rootfs/archive/source.h"
#include "policy/error.h"

namespace userns::frontend {

class Blobs {
 public:
  Blobs() = default;
  Blobs(const Blobs&) = delete;
  Blobs& operator=(const Blobs&) = delete;
  virtual ~Blobs() = default;
  [[nodiscard]] virtual bool has(const std::string& name) = 0;
  // One at a time.
  virtual Result<std::unique_ptr<Source>> open(const std::string& name) = 0;

  // All of a small one.
  Result<std::string> text(const std::string& name);
};

// Members of a tar that is not compressed, in a regular file. Links between members are followed.
class TarBlobs : public Blobs {
 public:
  // `file` must live as long. Reads the headers only.
  static Result<std::unique_ptr<TarBlobs>> open(const Fd& file, std::uint64_t start);
  [[nodiscard]] bool has(const std::string& name) override { return find(name) != nullptr; }
  Result<std::unique_ptr<Source>> open(const std::string& name) override;

 private:
  struct Member {
    std::uint64_t offset = 0;  // of its header
    std::string link;          // the member that it stands for
  };
  explicit TarBlobs(const Fd& file) : file_(file) {}
  [[nodiscard]] const Member* find(const std::string& name) const;
  const Fd& file_;
  std::map<std::string, Member> members_;
};

// Files of a directory, opened by somebody else.
class DirectoryBlobs : public Blobs {
 public:
  explicit DirectoryBlobs(std::function<Result<Fd>(const std::string&)> opener)
      : opener_(std::move(opener)) {}
  [[nodiscard]] bool has(const std::string& name) override { return opener_(name).has_value(); }
  Result<std::unique_ptr<Source>> open(const std::string& name) override;

 private:
  std::function<Result<Fd>(const std::string&)> opener_;
};

// Where a link in `directory`/... of an archive leads, as a path of the archive; empty where it
// leads out.
std::string link_target(std::string_view from, std::string_view target);

}  // namespace userns::frontend
