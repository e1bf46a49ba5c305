#include "frontend/rootfs/fill.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "frontend/rootfs/archive/blobs.h"
#include "frontend/rootfs/archive/export_names.h"
#include "frontend/rootfs/archive/image_text.h"
#include "frontend/rootfs/archive/work_limits.h"
#include "frontend/rootfs/archive/working_dir.h"
#include "frontend/rootfs/copy.h"
#include "frontend/rootfs/image.h"
#include "frontend/rootfs/layers.h"
#include "frontend/rootfs/root_place.h"
#include "frontend/rootfs/template_busybox.h"
#include "frontend/run/mount_api.h"
#include "frontend/spec/config_file.h"
#include "frontend/start/ids/in_map.h"
#include "frontend/start/ids/inside_names.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

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
  nlohmann::json json{filled.root_place, to_text(filled.image), filled.settings};
  return to_text(filled.counts) +
         json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}
Result<Filled> parse_filled(const std::string& text) {
  Filled filled{.counts = to_counts(text)};
  const auto json = nlohmann::json::parse(text.substr(std::min(text.size(), sizeof(UnpackCounts))));
  json.at(0).get_to(filled.root_place);
  json.at(2).get_to(filled.settings);
  auto image = TRY(image_from_text(json.at(1).get<std::string>()));
  filled.image = std::move(image);
  return filled;
}

// What a worker says that was taken over by an archive is not trusted, either.
Result<Filled> to_filled(const std::string& text) {
  try {
    return parse_filled(text);
  } catch (const nlohmann::json::exception&) {
    return fail({}, "the worker inside does not say what it did");
  }
}

// --- the work -----------------------------------------------------------------------------------

// A file of the image, as a process in it would find it; empty where there is none that makes
// sense.
std::string read_inside(const Fd& top, const char* path) {
  constexpr std::size_t kLargest = 1UL << 20U;
  const auto file = open_at(top.get(), path, O_RDONLY | O_NONBLOCK | O_NOCTTY,
                            RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  struct stat facts{};
  if (!file || ::fstat(file->get(), &facts) != 0 || !S_ISREG(facts.st_mode)) return {};
  auto text = read_all(*file, kLargest);
  return text ? std::move(*text) : std::string{};
}

// Read before the root file system takes the place of all that is beside it.
Result<std::string> exported_settings(const Fd& top) {
  const auto file =
      open_at(top.get(), std::string(kExportedSettings).c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY,
              RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  struct stat facts{};
  if (file && ::fstat(file->get(), &facts) == 0 && S_ISREG(facts.st_mode))
    return read_all(*file, kLargestConfig);
  return fail({},
              concat("it has no ", kExportedSettings,
                     ", so userns-run export did not write it; create --tar takes other archives"));
}

// "user", "user:group", each a name or a number.
std::optional<InsideIds> ids_in_image(const Fd& top, std::string_view user) {
  const auto name = take_until(user, ':');
  if (name.empty()) return std::nullopt;
  return inside_ids(read_inside(top, "etc/passwd"), read_inside(top, "etc/group"), name, user);
}

using Act =
    std::function<Result<ImageConfig>(const Fd& top, UnpackLimits, Unpacker&, const Outside&)>;

UnpackLimits limits_of(const FillHow& how, const Fd& top) {
  auto limits = default_limits(top);
  if (how.max_bytes) limits.bytes = *how.max_bytes;
  limits.cpu = how.max_cpu;
  return limits;
}

Result<std::string> unpack_inside(const Fd& target, const FillHow& how, const Act& act,
                                  const Outside& outside) {
  TRY(bound_the_work());
  const auto top = TRY(open_at(target.get(), ".", O_RDONLY | O_DIRECTORY));
  const auto limits = limits_of(how, top);
  Unpacker unpacker(top, limits,
                    [&](const UnpackCounts& counts) { outside.progress(to_text(counts)); });
  auto image = TRY(act(top, limits, unpacker, outside));
  TRY(unpacker.finish());
  image.ids = ids_in_image(top, image.user);
  make_working_directory(top, image.cwd);
  Filled filled{
      .counts = unpacker.counts(), .image = std::move(image), .settings = {}, .root_place = {}};
  if (how.is_export) {
    auto settings = TRY(exported_settings(top));
    filled.settings = std::move(settings);
  }
  const bool is_plain = filled.image.cwd.empty();
  if (is_plain && how.looks_for_root) {
    auto place = TRY(find_root_place(top, how.wants_root));
    filled.root_place = std::move(place);
  }
  return to_text(filled);
}

std::function<void(std::string_view)> hear(const FillHow& how) {
  return [&how](std::string_view text) {
    if (how.on_progress) how.on_progress(to_counts(text));
  };
}

Result<Filled> fill(const ChosenIds& ids, const Fd& target, const FillHow& how, const Act& act,
                    const std::function<Result<Fd>(const std::string&)>& opener = {}) {
  TRY(give_away(ids, target));
  const InMap in{
      .on_progress = hear(how), .on_open = opener, .mount_namespace = false, .prepare = {}};
  const auto done = TRY(in_map(
      ids, [&](const Outside& outside) { return unpack_inside(target, how, act, outside); }, in));
  return to_filled(done);
}

// The layout's files are the caller's to read, not the container's root's: they are opened out
// here.
Result<Filled> fill_from_layout(const ChosenIds& ids, const Fd& target, const Fd& layout,
                                const FillHow& how) {
  const auto opener = [&](const std::string& name) {
    return open_at(layout.get(), name.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY,
                   RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
  };
  if (!opener("oci-layout") || !opener("index.json"))
    return fail({},
                "it is a directory, and no OCI layout (oci-layout, index.json); to use a root file "
                "system as it is: --rootfs");
  return fill_from_parts(ids, target, opener, how);
}

Result<std::string> copy_inside(const Fd& target, std::span<const Fd> from, CopyKind kind,
                                const BothIds& both, const FillHow& how, const Outside& outside) {
  TRY(bound_the_work());
  const auto top = open_at(target.get(), ".", O_RDONLY | O_DIRECTORY);
  const auto source = TRY(top ? merged(from) : std::unexpected(top.error()));
  const auto limits = limits_of(how, *top);
  Copier copier(source, *top, kind, both, limits,
                [&](const UnpackCounts& counts) { outside.progress(to_text(counts)); });
  TRY(copier.copy());
  return to_text(Filled{.counts = copier.counts(), .image = {}, .settings = {}, .root_place = {}});
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

Result<Filled> fill_from_parts(const ChosenIds& ids, const Fd& target,
                               const std::function<Result<Fd>(const std::string&)>& opener,
                               const FillHow& how) {
  return fill(
      ids, target, how,
      [](const Fd&, UnpackLimits, Unpacker& unpacker, const Outside& outside) {
        DirectoryBlobs blobs([&](const std::string& name) { return outside.open(name); });
        return unpack_image(blobs, unpacker);
      },
      opener);
}

Result<Filled> fill_from_tar(const ChosenIds& ids, const Fd& target, const Fd& tar,
                             const FillHow& how) {
  return fill(
      ids, target, how,
      [&](const Fd&, UnpackLimits, Unpacker& unpacker, const Outside&) -> Result<ImageConfig> {
        FileSource source(tar);
        TRY(unpacker.add(source, false));
        return ImageConfig{};
      });
}

Result<Filled> fill_from_busybox(const ChosenIds& ids, const Fd& target) {
  const auto busybox = TRY(find_busybox());
  TRY(give_away(ids, target));
  const auto done = TRY(in_map(ids, [&](const Outside&) -> Result<std::string> {
    const auto top = open_at(target.get(), ".", O_RDONLY | O_DIRECTORY);
    const auto made = top ? make_busybox_tree(*top, busybox) : std::unexpected(top.error());
    if (!made) return std::unexpected(made.error());
    return to_text(
        Filled{.counts = {.entries = *made}, .image = {}, .settings = {}, .root_place = {}});
  }));
  return to_filled(done);
}

Result<Filled> fill_from_debian(const ChosenIds& ids, const Fd& target, const DebianWish& wish,
                                const FillHow& how) {
  auto mmdebstrap = TRY(Mmdebstrap::start(wish));
  TRY(mmdebstrap.await_tar(how.on_stage));
  auto filled = fill_from_tar(ids, target, mmdebstrap.tar(), how);
  if (!filled && filled.error().code == EINTR) return filled;
  // A tar that ends too early is mmdebstrap's failure, and it says why.
  if (auto done = mmdebstrap.finish(); !done && (filled || filled.error().code == 0))
    return std::unexpected(done.error());
  return filled;
}

namespace {

Result<Filled> copy_from(const ChosenIds& ids, const Fd& target, const ChosenIds& from_ids,
                         std::span<const Fd> from, CopyKind kind, const FillHow& how) {
  const auto both = TRY(both_ids(from_ids, ids));
  TRY(give_away(ids, target));
  const bool several = from.size() > 1;
  std::vector<Fd> here;
  InMap in{.on_progress = hear(how), .on_open = {}, .mount_namespace = several, .prepare = {}};
  if (several)
    in.prepare = [&]() -> Result<void> {
      auto layers = TRY(layers_here(from));
      here = std::move(layers);
      return {};
    };
  const auto done = TRY(in_map(
      both.ids,
      [&](const Outside& outside) {
        return copy_inside(target, several ? std::span<const Fd>(here) : from, kind, both, how,
                           outside);
      },
      in));
  return to_filled(done);
}

}  // namespace

Result<Filled> fill_from_copy(const ChosenIds& ids, const Fd& target, const ChosenIds& from_ids,
                              std::span<const Fd> from, const FillHow& how) {
  return copy_from(ids, target, from_ids, from, CopyKind::kTree, how);
}

Result<Filled> fill_from_layer(const ChosenIds& ids, const Fd& target, const ChosenIds& from_ids,
                               const Fd& from, const FillHow& how) {
  return copy_from(ids, target, from_ids, std::span(&from, 1), CopyKind::kLayer, how);
}

Result<Filled> fill_from_archive(const ChosenIds& ids, const Fd& target, const std::string& path,
                                 const FillHow& how) {
  const auto about = [&](Result<Filled> filled) -> Result<Filled> {
    if (filled || filled.error().code == EINTR) return filled;
    return fail({}, concat(userns::quoted(path), ": ", filled.error().text), filled.error().code);
  };
  const auto archive = open_archive(path);
  if (!archive) return about(std::unexpected(archive.error()));
  struct stat facts{};
  if (::fstat(archive->get(), &facts) != 0) return about(fail_errno("cannot look at it"));
  if (S_ISDIR(facts.st_mode)) return about(fill_from_layout(ids, target, *archive, how));
  return about(fill(ids, target, how,
                    [&](const Fd& top, UnpackLimits limits, Unpacker& unpacker, const Outside&) {
                      return unpack_anything(*archive, top, limits, unpacker);
                    }));
}

}  // namespace userns::frontend
