#include "frontend/rootfs/fill.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "frontend/rootfs/blobs.h"
#include "frontend/rootfs/image.h"
#include "frontend/start/in_map.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

// An archive that is made to use up memory meets this first. The largest that a good one takes are the
// dictionaries of xz and zstd: 128 MiB.
constexpr rlim_t kMostMemory = 1UL << 30U;

// --- what the work says, as text and back -------------------------------------------------------

std::string to_text(const UnpackCounts& counts) {
  std::string text(sizeof counts, '\0');
  std::memcpy(text.data(), &counts, sizeof counts);  // to the process that this one is a fork of
  return text;
}
UnpackCounts to_counts(std::string_view text) {
  UnpackCounts counts;
  if (text.size() >= sizeof counts) std::memcpy(&counts, text.data(), sizeof counts);
  return counts;
}

std::string to_text(const Filled& filled) {
  const auto& image = filled.image;
  const nlohmann::json json{image.env, image.entrypoint, image.cmd, image.cwd, image.user, image.stop_signal};
  return to_text(filled.counts) + json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}
Filled to_filled(const std::string& text) {
  Filled filled{.counts = to_counts(text)};
  const auto json = nlohmann::json::parse(text.substr(std::min(text.size(), sizeof(UnpackCounts))));
  auto& image = filled.image;
  json.at(0).get_to(image.env);
  json.at(1).get_to(image.entrypoint);
  json.at(2).get_to(image.cmd);
  json.at(3).get_to(image.cwd);
  json.at(4).get_to(image.user);
  json.at(5).get_to(image.stop_signal);
  return filled;
}

// --- the work -----------------------------------------------------------------------------------

using Act = std::function<Result<ImageConfig>(const Fd& top, UnpackLimits, Unpacker&, const Outside&)>;

Result<std::string> unpack_inside(const Fd& target, const FillHow& how, const Act& act, const Outside& outside) {
  const rlimit memory{.rlim_cur = kMostMemory, .rlim_max = kMostMemory};
  if (::setrlimit(RLIMIT_DATA, &memory) != 0) return fail_errno("cannot bound the memory that unpacking takes");
  const auto top = open_at(target.get(), ".", O_RDONLY | O_DIRECTORY);
  if (!top) return std::unexpected(top.error());
  auto limits = default_limits(*top);
  if (how.max_bytes) limits.bytes = *how.max_bytes;
  Unpacker unpacker(*top, limits, [&](const UnpackCounts& counts) { outside.progress(to_text(counts)); });
  auto image = act(*top, limits, unpacker, outside);
  if (!image) return std::unexpected(image.error());
  if (auto finished = unpacker.finish(); !finished) return std::unexpected(finished.error());
  return to_text(Filled{.counts = unpacker.counts(), .image = std::move(*image)});
}

Result<Filled> fill(const ChosenIds& ids, const Fd& target, const FillHow& how, const Act& act,
                    const std::function<Result<Fd>(const std::string&)>& opener = {}) {
  if (auto given = give_away(ids, target); !given) return std::unexpected(given.error());
  const InMap in{.on_progress =
                     [&](std::string_view text) {
                       if (how.on_progress) how.on_progress(to_counts(text));
                     },
                 .on_open = opener};
  const auto done = in_map(ids, [&](const Outside& outside) { return unpack_inside(target, how, act, outside); }, in);
  if (!done) return std::unexpected(done.error());
  return to_filled(*done);
}

// The layout's files are the caller's to read, not the container's root's: they are opened out here.
Result<Filled> fill_from_layout(const ChosenIds& ids, const Fd& target, const Fd& layout, const FillHow& how) {
  const auto opener = [&](const std::string& name) {
    return open_at(layout.get(), name.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY,
                   RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
  };
  if (!opener("oci-layout") || !opener("index.json"))
    return fail(
        {},
        "it is a directory, and no OCI layout (oci-layout, index.json); to use a root file system as it is: --rootfs");
  return fill(
      ids, target, how,
      [](const Fd&, UnpackLimits, Unpacker& unpacker, const Outside& outside) {
        DirectoryBlobs blobs([&](const std::string& name) { return outside.open(name); });
        return unpack_image(blobs, unpacker);
      },
      opener);
}

Result<Fd> open_archive(const std::string& path) {
  if (path == "-") {
    Fd input(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
    if (!input.valid()) return fail_errno("cannot read standard input");
    return input;
  }
  auto file = open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_NOCTTY);
  if (!file) return fail({}, "cannot open it", file.error().code);
  return file;
}

}  // namespace

Result<Filled> fill_from_tar(const ChosenIds& ids, const Fd& target, const Fd& tar, const FillHow& how) {
  return fill(ids, target, how,
              [&](const Fd&, UnpackLimits, Unpacker& unpacker, const Outside&) -> Result<ImageConfig> {
                FileSource source(tar);
                if (auto added = unpacker.add(source, false); !added) return std::unexpected(added.error());
                return ImageConfig{};
              });
}

Result<Filled> fill_from_archive(const ChosenIds& ids, const Fd& target, const std::string& path, const FillHow& how) {
  const auto about = [&](Result<Filled> filled) -> Result<Filled> {
    if (filled || filled.error().code == EINTR) return filled;
    return fail({}, cat(userns::quoted(path), ": ", filled.error().text), filled.error().code);
  };
  const auto archive = open_archive(path);
  if (!archive) return about(std::unexpected(archive.error()));
  struct stat facts{};
  if (::fstat(archive->get(), &facts) != 0) return about(fail_errno("cannot look at it"));
  if (S_ISDIR(facts.st_mode)) return about(fill_from_layout(ids, target, *archive, how));
  return about(fill(ids, target, how, [&](const Fd& top, UnpackLimits limits, Unpacker& unpacker, const Outside&) {
    return unpack_anything(*archive, top, limits, unpacker);
  }));
}

}  // namespace userns::frontend
