#include "frontend/start/seal.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/fd.h"
#include "frontend/run/own_words.h"
#include "frontend/run/process.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

bool is_mapped(const ChosenMap& map, std::uint64_t outside) {
  const auto one = IdRange::make(outside, 1);
  return one && std::ranges::any_of(map.extents,
                                    [&](const Extent& e) { return e.outside().contains(*one); });
}

bool is_within_reach(const struct stat& facts, const ChosenIds& ids) {
  // An owner may change the mode first.
  return is_mapped(ids.uids, facts.st_uid) || (facts.st_mode & S_IWOTH) != 0 ||
         ((facts.st_mode & S_IWGRP) != 0 && is_mapped(ids.gids, facts.st_gid));
}

Result<Fd> sealed_copy(const Fd& program, off_t size) {
  Fd copy(::memfd_create("userns-run", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!copy.valid()) return fail_errno("cannot make a file in memory");
  for (off_t at = 0; at < size;) {
    const auto sent =
        ::sendfile(copy.get(), program.get(), &at, static_cast<std::size_t>(size - at));
    if (sent == 0) break;
    if (sent < 0 && errno != EINTR) return fail_errno("cannot copy this program into memory");
  }
  if (::fcntl(copy.get(), F_ADD_SEALS, kSeals) != 0)
    return fail_errno("cannot seal this program's copy in memory");
  return copy;
}

}  // namespace

namespace {

Result<void> become_sealed(off_t size, std::vector<std::string> words) {
  const auto program = open_at(AT_FDCWD, "/proc/self/exe", O_RDONLY);
  if (!program) return fail({}, "cannot read this program's own file", program.error().code);
  if (::fcntl(program->get(), F_GET_SEALS) == kSeals) return {};
  const auto copy = TRY(sealed_copy(*program, size));
  auto ours = TRY(words.empty() ? own_words() : std::move(words));
  ::fexecve(copy.get(), argv_of(ours).data(), ::environ);
  return fail_errno("cannot run this program from its copy in memory");
}

}  // namespace

Result<void> be_out_of_reach(const ChosenIds& ids, std::vector<std::string> words) {
  struct stat facts{};
  if (::stat("/proc/self/exe", &facts) != 0)
    return fail_errno("cannot look at this program's own file");
  if (!is_within_reach(facts, ids)) return {};
  return become_sealed(facts.st_size, std::move(words));
}

Result<void> be_out_of_own_reach() {
  struct stat facts{};
  if (::stat("/proc/self/exe", &facts) != 0)
    return fail_errno("cannot look at this program's own file");
  // Root of a user namespace may write to what belongs to its ids, whatever the mode; a file that
  // belongs to others refuses. A read-only mount refuses, too, and need not be the only one.
  const bool is_refused = ::faccessat(AT_FDCWD, "/proc/self/exe", W_OK, AT_EACCESS) != 0 &&
                          errno == EACCES && facts.st_uid != ::geteuid();
  if (is_refused) return {};
  return become_sealed(facts.st_size, {});
}

}  // namespace userns::frontend
