#include "frontend/copy/copy_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>

#include "frontend/copy/ends.h"
#include "frontend/copy/producer.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

using Tree = std::shared_ptr<const ContainerTree>;

Result<Tree> tree_of(const Store& store, const CopyPlace& place) {
  if (!place.container) return Tree{};
  const auto container = store.find(*place.container);
  auto tree = TRY(container ? ContainerTree::open(*container) : std::unexpected(container.error()));
  return std::make_shared<const ContainerTree>(std::move(tree));
}

struct Ends {
  CopyEnd from;
  CopyEnd to;
};

// Two containers are locked in the order of their names: no two copies wait for each other.
Result<Ends> open_ends(const Store& store, const CopyWish& wish) {
  const bool same = wish.from.container == wish.to.container;
  const bool first = wish.from.container < wish.to.container;
  const auto one = tree_of(store, first ? wish.from : wish.to);
  if (!one) return std::unexpected(one.error());
  const auto other = TRY(same ? one : tree_of(store, first ? wish.to : wish.from));
  return Ends{CopyEnd(wish.from, first ? *one : other), CopyEnd(wish.to, first ? other : *one)};
}

// The root directory has no name, and "." and ".." are none.
bool has_name(const CopyPlace& from) {
  const auto name = split_last(from.path).name;
  return !name.empty() && name != "." && name != "..";
}

bool is_of_the_content(const CopyPlace& from) { return from.is_content || !has_name(from); }

Result<FoundKind> look_at_source(const CopyEnd& from) {
  const auto& place = from.place();
  const auto kind = from.look(place.path, place.is_content);
  if (!kind) return kind;
  if (*kind == FoundKind::kNothing)
    return fail({}, concat("there is no ", quoted(place.text())), ENOENT);
  if ((place.is_directory || place.is_content) && *kind != FoundKind::kDirectory)
    return fail({},
                concat(quoted(place.text()),
                       " is not a directory; what a link leads to is copied by "
                       "/. at its end"),
                ENOTDIR);
  return kind;
}

// Where it goes if nothing of that name is there.
Result<Destination> new_name(const CopyEnd& to, FoundKind source) {
  const auto& place = to.place();
  auto [parent, name] = split_last(place.path);
  if (!place.container && place.path.starts_with('/')) parent += "/";
  const auto kind = TRY(to.look(parent, true));
  if (kind != FoundKind::kDirectory)
    return fail({},
                concat("there is no directory ",
                       quoted(place.container ? concat(*place.container, ":/", parent) : parent),
                       ": make it first"),
                ENOENT);
  if (place.is_directory && source != FoundKind::kDirectory)
    return fail({},
                concat("there is no directory ", quoted(place.text()),
                       ": make it first, or leave out the / at its end"),
                ENOENT);
  return Destination{.directory = parent, .first_name = name, .owner = {}};
}

Result<Destination> destination_of(const CopyEnd& to, FoundKind source, bool is_archive) {
  const auto& place = to.place();
  const auto there = TRY(to.look(place.path, true));
  if (there == FoundKind::kDirectory)
    return Destination{.directory = place.path, .first_name = "", .owner = {}};
  if (is_archive)
    return fail({},
                concat("an archive goes into a directory, and ", quoted(place.text()),
                       there == FoundKind::kNothing ? " is not there" : " is not one"),
                ENOTDIR);
  if (there == FoundKind::kOther && source == FoundKind::kDirectory)
    return fail({},
                concat(quoted(place.text()),
                       " is not a directory, and a directory was to be copied "
                       "there"),
                ENOTDIR);
  return new_name(to, source);
}

// A tree that grows into itself has no end.
Result<void> check_not_into_itself(const CopyPlace& from, const CopyPlace& to) {
  const bool inside =
      from.path.empty() || to.path == from.path || to.path.starts_with(from.path + "/");
  if (!from.container || from.container != to.container || !inside) return {};
  return fail({}, concat("cannot copy ", quoted(from.text()), " into itself, ", quoted(to.text())));
}

Result<Copied> unpack(const CopyEnd& to, const Fd& archive, const Destination& destination) {
  const auto devices = to.unpack(archive, destination);
  if (!devices)
    return fail({},
                concat("cannot copy to ", quoted(to.place().text()), ": ", devices.error().text),
                devices.error().code);
  return Copied{.devices = *devices};
}

Result<Copied> copy_between(const Ends& ends, const CopyWish& wish) {
  const auto source = TRY(look_at_source(ends.from));
  if (auto good = check_not_into_itself(wish.from, wish.to);
      !good && source == FoundKind::kDirectory)
    return std::unexpected(good.error());
  auto destination = TRY(destination_of(ends.to, source, false));
  destination.owner = wish.owner;
  const bool is_new = !destination.first_name.empty();
  if (is_new && !has_name(wish.from))
    return fail({}, concat("there is no directory ", quoted(wish.to.text()), ": make it first"));
  const bool content = !is_new && is_of_the_content(wish.from);
  auto producer = TRY(Producer::start([&](const Fd& out) { return ends.from.pack(content, out); }));
  auto copied = unpack(ends.to, producer.output(), destination);
  const auto produced = producer.finish();
  const bool is_cut = !produced && produced.error().code == EPIPE;
  if (!copied && (produced || is_cut || copied.error().code == EINTR)) return copied;
  if (!produced)
    return fail(
        {}, concat("cannot copy all of ", quoted(wish.from.text()), ": ", produced.error().text),
        produced.error().code);
  return copied;
}

Result<Copied> copy_from_archive(const Ends& ends, const CopyWish& wish) {
  auto destination = TRY(destination_of(ends.to, FoundKind::kOther, true));
  destination.owner = wish.owner;
  const Fd input(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
  if (!input.valid()) return fail_errno("cannot read standard input");
  return unpack(ends.to, input, destination);
}

Result<Copied> copy_to_archive(const Ends& ends, const CopyWish& wish) {
  if (::isatty(STDOUT_FILENO) == 1)
    return fail({}, "a tar archive is not for a terminal: write it to a file or a pipe");
  const Fd output(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
  if (!output.valid()) return fail_errno("cannot write to standard output");
  (void)TRY(look_at_source(ends.from));
  if (auto packed = ends.from.pack(is_of_the_content(wish.from), output); !packed)
    return fail({},
                concat("cannot pack all of ", quoted(wish.from.text()), ": ", packed.error().text),
                packed.error().code);
  return Copied{};
}

}  // namespace

Result<Copied> copy_files(const Store& store, const CopyWish& wish) {
  if (!wish.from.container && !wish.to.container)
    return fail({}, "neither side is in a container: write NAME:PATH for one of them");
  const auto ends = TRY(open_ends(store, wish));
  if (wish.from.is_stream) return copy_from_archive(ends, wish);
  if (wish.to.is_stream) return copy_to_archive(ends, wish);
  return copy_between(ends, wish);
}

}  // namespace userns::frontend
