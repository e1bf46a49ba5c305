#include "frontend/rootfs/archive/digest.h"

#include <nettle/sha2.h>

#include <algorithm>
#include <array>

#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::string_view kPrefix = "sha256:";
constexpr std::string_view kDigits = "0123456789abcdef";

void update(sha256_ctx& context, std::string_view piece) {
  ::nettle_sha256_update(&context, piece.size(),
                         reinterpret_cast<const std::uint8_t*>(piece.data()));
}

std::string finish(sha256_ctx& context) {
  std::array<std::uint8_t, SHA256_DIGEST_SIZE> bytes{};
  ::nettle_sha256_digest(&context, bytes.size(), bytes.data());
  std::string found(kPrefix);
  for (const auto byte : bytes) {
    found.push_back(kDigits[byte >> 4U]);
    found.push_back(kDigits[byte & 15U]);
  }
  return found;
}

}  // namespace

Result<std::string> digest_of(Source& source) {
  sha256_ctx context;
  ::nettle_sha256_init(&context);
  while (true) {
    const auto piece = TRY(source.read());
    if (piece.empty()) return finish(context);
    update(context, piece);
  }
}

struct DigestSource::State {
  sha256_ctx context;
};

bool is_digest(std::string_view text) {
  if (!text.starts_with(kPrefix)) return false;
  text.remove_prefix(kPrefix.size());
  return text.size() == std::size_t{2} * SHA256_DIGEST_SIZE &&
         std::ranges::all_of(text,
                             [](char c) { return kDigits.find(c) != std::string_view::npos; });
}

DigestSource::DigestSource(std::unique_ptr<Source> source, std::string digest)
    : source_(std::move(source)), digest_(std::move(digest)), state_(std::make_unique<State>()) {
  ::nettle_sha256_init(&state_->context);
}

DigestSource::~DigestSource() = default;

Result<std::string_view> DigestSource::read() {
  auto piece = source_->read();
  if (piece) update(state_->context, *piece);
  return piece;
}

Result<void> DigestSource::check() {
  while (true) {
    const auto piece = TRY(read());
    if (piece.empty()) break;
  }
  const auto found = finish(state_->context);
  if (found == digest_) return {};
  return fail({}, concat("the image is damaged or was tampered with: a part of it that should be ",
                         digest_, " is ", found));
}

}  // namespace userns::frontend
