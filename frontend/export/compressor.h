// Writes to a file what is given to it, compressed by zstd or as it is.
#pragma once

#include <memory>
#include <string_view>
#include <utility>

#include "common/fd.h"
#include "policy/error.h"

struct ZSTD_CCtx_s;

namespace userns::frontend {

class Compressor {
 public:
  // `out` must live as long.
  static Result<Compressor> start(const Fd& out, bool compress);
  Result<void> write(std::string_view text);
  // The end of the stream: nothing is whole before.
  Result<void> finish();

 private:
  struct Free {
    void operator()(ZSTD_CCtx_s* context) const;
  };
  using Context = std::unique_ptr<ZSTD_CCtx_s, Free>;
  Compressor(const Fd& out, Context context) : out_(out), context_(std::move(context)) {}
  Result<void> push(std::string_view text, bool last);

  const Fd& out_;
  Context context_;  // none: as it is
};

}  // namespace userns::frontend
