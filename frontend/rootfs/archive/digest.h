// Bytes that must have a digest: read on while it is computed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "frontend/rootfs/archive/source.h"
#include "policy/error.h"

namespace userns::frontend {

// "sha256:" and 64 lower-case hexadecimal digits.
bool is_digest(std::string_view text);
// Of all the bytes of a source.
Result<std::string> digest_of(Source& source);

class DigestSource : public Source {
 public:
  // `digest`: is_digest(). `source` is owned.
  DigestSource(std::unique_ptr<Source> source, std::string digest);
  ~DigestSource() override;
  Result<std::string_view> read() override;
  // Reads what is left and compares. Nothing that was read is true before this says so.
  Result<void> check();

 private:
  struct State;
  std::unique_ptr<Source> source_;
  std::string digest_;
  std::unique_ptr<State> state_;
};

}  // namespace userns::frontend
