// Source: zstd.h, "Streaming compression".
#include "frontend/export/compressor.h"

#include <zstd.h>

#include <vector>

#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr int kLevel = 3;  // zstd(1)'s own

}  // namespace

void Compressor::Free::operator()(ZSTD_CCtx_s* context) const { ::ZSTD_freeCCtx(context); }

Result<Compressor> Compressor::start(const Fd& out, bool compress) {
  if (!compress) return Compressor(out, {});
  Context context(::ZSTD_createCCtx());
  if (!context) return fail({}, "there is too little memory to compress");
  (void)::ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, kLevel);
  (void)::ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
  return Compressor(out, std::move(context));
}

Result<void> Compressor::write(std::string_view text) {
  return context_ ? push(text, false) : write_all(out_, text);
}

Result<void> Compressor::finish() { return context_ ? push({}, true) : Result<void>{}; }

Result<void> Compressor::push(std::string_view text, bool last) {
  std::vector<char> buffer(::ZSTD_CStreamOutSize());
  ZSTD_inBuffer in{.src = text.data(), .size = text.size(), .pos = 0};
  while (true) {
    ZSTD_outBuffer out{.dst = buffer.data(), .size = buffer.size(), .pos = 0};
    const auto left =
        ::ZSTD_compressStream2(context_.get(), &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
    if (::ZSTD_isError(left) != 0)
      return fail({}, concat("cannot compress: ", std::string_view(::ZSTD_getErrorName(left))));
    if (auto written = write_all(out_, {buffer.data(), out.pos}); !written) return written;
    if (last ? left == 0 : in.pos == in.size) return {};
  }
}

}  // namespace userns::frontend
