#include "frontend/cli/files/export.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

#include "frontend/cli/table.h"
#include "frontend/cli/terminal.h"
#include "frontend/cli/verbs/select.h"
#include "frontend/export/export_container.h"
#include "frontend/store/unfinished.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

struct ExportWish {
  Container container;
  std::string file;  // "-": standard output
  bool compress = true;
  bool replace = false;
};

Result<ExportWish> wish_of(const Words& words) {
  if (words.names.empty() || words.names.size() > 2)
    return fail({}, "export takes a container and a file: userns-run export NAME FILE.tar.zst");
  const auto store = store_of(words);
  auto container = TRY(store ? store->find(words.names.front()) : std::unexpected(store.error()));
  auto file = words.names.size() == 2 ? words.names.back() : concat(container.name(), ".tar.zst");
  const bool compress = !words.has("plain") && !file.ends_with(".tar");
  return ExportWish{.container = std::move(container),
                    .file = std::move(file),
                    .compress = compress,
                    .replace = words.has("force")};
}

Result<void> write_to(const ExportWish& wish, const Fd& out) {
  ProgressLine line;
  ExportHow how{.compress = wish.compress, .on_progress = {}};
  how.on_progress = [&](std::uint64_t bytes) { line.show(size_for_people(bytes)); };
  auto done = export_container(wish.container, out, how);
  line.clear();
  return done;
}

Result<void> to_stdout(const ExportWish& wish) {
  if (::isatty(STDOUT_FILENO) == 1)
    return fail({}, "an archive is not for a terminal: name a file, or write it to a pipe");
  const Fd out(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
  if (!out.valid()) return fail_errno("cannot write to standard output");
  return write_to(wish, out);
}

// One that a killed export has left is taken over; one that is being written is not.
Result<Fd> open_part(const std::string& part) {
  Fd out(::open(part.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600));
  struct stat ours{}, named{};
  if (!out.valid() || ::fstat(out.get(), &ours) != 0)
    return fail_errno(concat("cannot make ", quoted(part)));
  if (!S_ISREG(ours.st_mode) || ours.st_nlink != 1)
    return fail({}, concat(quoted(part), " is in the way: remove it"), EEXIST);
  // Before the lock was had, it may have got its name.
  if (::flock(out.get(), LOCK_EX | LOCK_NB) != 0 || ::lstat(part.c_str(), &named) != 0 ||
      named.st_dev != ours.st_dev || named.st_ino != ours.st_ino)
    return fail({}, concat(quoted(part), " is being written by another export: try again"), EBUSY);
  if (::fchmod(out.get(), 0600) != 0 || ::ftruncate(out.get(), 0) != 0)
    return fail_errno(concat("cannot empty ", quoted(part)));
  return out;
}

// It has its name when it is whole: what was interrupted leaves nothing that looks like one.
Result<void> to_file(const ExportWish& wish) {
  const auto part = concat(wish.file, ".part");
  if (!wish.replace && ::access(wish.file.c_str(), F_OK) == 0)
    return fail({}, concat(quoted(wish.file), " is there already: give another name, or --force"),
                EEXIST);
  const auto opened = TRY(open_part(part));
  const Fd& out = opened;
  auto done = write_to(wish, out);
  if (done && ::fsync(out.get()) != 0) done = fail_errno(concat("cannot write ", quoted(part)));
  const auto rename = [&](const char* from, const char* to) {
    return wish.replace ? ::rename(from, to) : rename_to_free_name(AT_FDCWD, from, AT_FDCWD, to);
  };
  if (done && rename(part.c_str(), wish.file.c_str()) != 0)
    done = fail_errno(concat("cannot give ", quoted(part), " the name ", quoted(wish.file)));
  if (!done) (void)::unlink(part.c_str());
  return done;
}

int export_verb(const Words& words) {
  const auto wish = wish_of(words);
  if (!wish) return own_failure(wish.error());
  const auto done = wish->file == "-" ? to_stdout(*wish) : to_file(*wish);
  if (done) return 0;
  return own_failure(
      {.rule = {},
       .code = done.error().code,
       .text = concat("cannot export ", wish->container.name(), ": ", done.error().text)});
}

constexpr std::array kExportOptions{
    VerbOption{"plain", "", "not compressed, as with a FILE that ends in .tar", false},
    VerbOption{"force", "", "also in the place of a file that is there", false}, kPathOption};

}  // namespace

constinit const Verb kExportVerb{
    .name = "export",
    .arguments = "NAME [FILE|-]",
    .summary = "Writes a container's files and settings to an archive (NAME.tar.zst)",
    .options = kExportOptions,
    .run = export_verb};

}  // namespace userns::frontend
