// One side of a copy, as it is typed: "web:/etc/hosts", "./hosts", "-". Pure.
//
//   place     = "-" / [ container ":" ] path
//   container = a container's name, so without "/"
//
// A file of the host's with ":" in its name is "./a:b".
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "policy/error.h"

namespace userns::frontend {

struct CopyPlace {
  std::optional<std::string> container;  // none: of the host's
  // In a container: from its root, without "." and "..", empty for the root itself. On the host: as
  // it was typed.
  std::string path;
  bool is_stream = false;     // "-": a tar archive
  bool is_directory = false;  // was written with "/" at its end
  bool is_content = false;    // with "/." at its end: what is in the directory

  // As it was meant, for messages.
  [[nodiscard]] std::string text() const;
};

Result<CopyPlace> parse_place(std::string_view text);

// "srv/www" -> "srv", "www"; "www" -> "", "www".
struct ParentAndName {
  std::string parent;
  std::string name;
};
ParentAndName split_last(std::string_view path);

}  // namespace userns::frontend
