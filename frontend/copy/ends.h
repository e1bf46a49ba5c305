// What there is at one end of a copy, and the two acts: packing it into a tar, and unpacking a tar
// there.
//
// In a container both are done as the root of its ids, below its root directory: links are followed
// as a process inside would follow them, and never out of it. On the host they are done with the
// caller's own id and no other.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "common/fd.h"
#include "frontend/copy/place.h"
#include "frontend/copy/tree.h"
#include "policy/error.h"

namespace userns::frontend {

enum class FoundKind : std::uint8_t { kNothing, kDirectory, kOther };

// Where the entries of an archive go.
struct Destination {
  std::string directory;   // exists
  std::string first_name;  // UnpackBeside::first_name
  std::optional<std::pair<std::uint32_t, std::uint32_t>> owner;
};

class CopyEnd {
 public:
  // `tree`: of the container that `place` names; none for the host.
  CopyEnd(CopyPlace place, std::shared_ptr<const ContainerTree> tree)
      : place_(std::move(place)), tree_(std::move(tree)) {}

  [[nodiscard]] const CopyPlace& place() const { return place_; }
  // What `path` (of this end) is; a link to a directory is one if `follows`.
  [[nodiscard]] Result<FoundKind> look(const std::string& path, bool follows) const;
  // The file, or the directory with all below, under its last name; its content only under ".".
  [[nodiscard]] Result<void> pack(bool only_content, const Fd& out) const;
  // The number of devices that were left out.
  [[nodiscard]] Result<std::uint64_t> unpack(const Fd& archive, const Destination& to) const;

 private:
  CopyPlace place_;
  std::shared_ptr<const ContainerTree> tree_;
};

}  // namespace userns::frontend
