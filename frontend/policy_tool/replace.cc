#include "frontend/policy_tool/replace.h"

#include <fcntl.h>
#include <linux/stat.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <vector>

#include "common/fd.h"
#include "common/trusted_file.h"
#include "frontend/policy_tool/record.h"
#include "frontend/policy_tool/tool.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

bool is_same(const struct stat& a, const struct stat& b) {
  return a.st_ino == b.st_ino && a.st_dev == b.st_dev && a.st_size == b.st_size &&
         a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec &&
         a.st_ctim.tv_sec == b.st_ctim.tv_sec && a.st_ctim.tv_nsec == b.st_ctim.tv_nsec;
}

// A name that something is mounted on cannot be renamed over.
bool is_mount_point(const Fd& file) {
  struct statx facts{};
  return ::statx(file.get(), "", AT_EMPTY_PATH, 0, &facts) == 0 &&
         (facts.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

Result<void> check_unchanged(const Snapshot& old) {
  struct stat now{};
  const bool exists = ::lstat(old.path.c_str(), &now) == 0;
  if (exists == old.exists && (!exists || is_same(now, old.facts))) return {};
  return fail(
      {}, concat(old.path, " was changed by somebody else meanwhile, and was left as it is now"));
}

// ACLs and security labels are extended attributes.
Result<void> copy_attributes(const Fd& from, const Fd& to) {
  std::vector<char> names(64UL << 10U), value(64UL << 10U);
  const auto length = ::flistxattr(from.get(), names.data(), names.size());
  if (length < 0 && errno == ENOTSUP) return {};
  if (length < 0) return fail_errno("cannot list extended attributes");
  for (std::string_view rest(names.data(), static_cast<std::size_t>(length)); !rest.empty();) {
    const std::string name(take_until(rest, '\0'));
    const auto size = ::fgetxattr(from.get(), name.c_str(), value.data(), value.size());
    if (size < 0 ||
        ::fsetxattr(to.get(), name.c_str(), value.data(), static_cast<std::size_t>(size), 0) != 0)
      return fail_errno(concat("cannot keep the extended attribute ", name));
  }
  return {};
}

Result<void> write_copy(const Snapshot& old, const Fd& copy, std::string_view text) {
  if (old.exists) {
    const auto original = TRY(open_at(AT_FDCWD, old.path.c_str(), O_RDONLY | O_NOFOLLOW));
    if (::fchown(copy.get(), old.facts.st_uid, old.facts.st_gid) != 0)
      return fail_errno("cannot keep the owner");
    // The mode first: it is the mask of an ACL.
    if (::fchmod(copy.get(), old.facts.st_mode & 07777) != 0)
      return fail_errno("cannot keep the mode");
    if (auto copied = copy_attributes(original, copy); !copied) return copied;
  } else if (::fchmod(copy.get(), 0644) != 0) {
    return fail_errno("cannot set the mode");
  }
  if (auto written = write_all(copy, text); !written) return written;
  return ::fsync(copy.get()) == 0 ? Result<void>{} : fail_errno("cannot write it to the disk");
}

std::vector<std::string_view> lines_with_ends(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto length = std::min(text.find('\n'), text.size() - 1) + 1;
    lines.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return lines;
}

}  // namespace

Result<Snapshot> snapshot(const std::string& path) {
  const auto trusted = TRY(open_trusted_file(path));
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr),
                                                         &std::free);
  Snapshot all{
      .path = real ? real.get() : path, .text = {}, .exists = trusted.has_value(), .facts = {}};
  if (!real && errno == ENOENT && ::lstat(path.c_str(), &all.facts) == 0)
    return fail(
        {},
        concat(path,
               " is a symbolic link to a file that does not exist: make it, or remove the link"));
  if (!all.exists) return all;
  if (::fstat(trusted->get(), &all.facts) != 0) return fail_errno(concat("cannot examine ", path));
  if (is_mount_point(*trusted))
    return fail({}, concat(all.path,
                           " is a mount point (a file is bind-mounted there), so it cannot "
                           "be replaced in one step: umount ",
                           all.path, ", or change the file that is mounted; nothing was changed"));
  auto text = read_all(*trusted, kLargestPolicy);
  if (!text) return fail({}, concat("cannot read ", path), text.error().code);
  all.text = std::move(*text);
  return all;
}

Result<void> replace(const Snapshot& old, std::string_view text) {
  const std::string copy_path = concat(old.path, ".userns-policy");
  ::unlink(copy_path.c_str());
  auto copy =
      open_at(AT_FDCWD, copy_path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0, 0600);
  Result<void> done = copy ? write_copy(old, *copy, text) : std::unexpected(copy.error());
  if (!done)
    done = fail(
        {},
        concat("cannot write the new ", old.path, "; it was left as it is: ", done.error().text),
        done.error().code);
  if (done) done = check_unchanged(old);
  const bool is_recorded = done.has_value();
  if (is_recorded) record_change(old.path, old.text, text, ChangeEnd::kGranted);
  if (done && ::rename(copy_path.c_str(), old.path.c_str()) != 0)
    done = fail_errno(concat("cannot replace ", old.path));
  if (!done) {
    if (is_recorded) record_change(old.path, old.text, text, ChangeEnd::kFailed);
    ::unlink(copy_path.c_str());
    return done;
  }
  const auto directory = open_at(AT_FDCWD, old.path.substr(0, old.path.rfind('/') + 1).c_str(),
                                 O_RDONLY | O_DIRECTORY);
  if (directory) (void)::fsync(directory->get());
  return {};
}

std::string diff(std::string_view path, std::string_view before, std::string_view after) {
  constexpr std::size_t kContext = 3;
  const auto old_lines = lines_with_ends(before), new_lines = lines_with_ends(after);
  const auto least = std::min(old_lines.size(), new_lines.size());
  std::size_t head = 0, tail = 0;
  while (head < least && old_lines[head] == new_lines[head]) ++head;
  while (tail < least - head &&
         old_lines[old_lines.size() - 1 - tail] == new_lines[new_lines.size() - 1 - tail])
    ++tail;
  if (before == after) return {};
  const auto from = head - std::min(head, kContext), shown_tail = std::min(tail, kContext);
  const auto old_end = old_lines.size() - tail, new_end = new_lines.size() - tail;
  const auto place = [&](char sign, std::size_t end) {
    const auto count = end + shown_tail - from;
    return concat(sign, count == 0 ? from : from + 1, ",", count);
  };
  std::string text = concat("--- ", path, "\n+++ ", path, "\n@@ ", place('-', old_end), " ",
                            place('+', new_end), " @@\n");
  const auto add = [&](char sign, const std::vector<std::string_view>& lines, std::size_t first,
                       std::size_t end) {
    for (std::size_t i = first; i < end; ++i)
      text += concat(sign, lines[i],
                     lines[i].ends_with('\n') ? "" : "\n\\ No newline at end of file\n");
  };
  add(' ', old_lines, from, head);
  add('-', old_lines, head, old_end);
  add('+', new_lines, head, new_end);
  add(' ', old_lines, old_end, old_end + shown_tail);
  return text;
}

}  // namespace userns::frontend
