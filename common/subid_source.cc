#include "common/subid_source.h"

#include <dlfcn.h>
#include <shadow/subid.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <utility>

#include "common/capability.h"
#include "common/config.h"
#include "common/fd.h"
#include "common/trusted_file.h"
#include "policy/text.h"

namespace userns {
namespace {

constexpr const char* kNsswitchPath = "/etc/nsswitch.conf";
constexpr std::size_t kLargestNsswitch = 1UL << 20U;

Result<void> scan(SubidScanner& scanner, const Fd& in, std::string_view source) {
  static std::array<char, 64UL << 10U> chunk;  // pages that a small file never touches cost nothing
  for (std::size_t got = chunk.size(); got == chunk.size();) {
    const auto read = read_some(in, chunk);
    if (!read) return fail("SU-READ", cat("cannot read ", source), read.error().code);
    got = *read;
    scanner.feed({chunk.data(), got});
  }
  return scanner.finish();
}

// In the child: runs without privilege, and only its answer, in the format of subuid(5), leaves it.
bool answer_with_libsubid(IdKind kind, const std::string& owner, const Fd& out) {
  if (!drop_all_but({}, Uid{::getuid()})) return false;
  void* const library = ::dlopen(kLibsubidSoname, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return false;
  const auto find = reinterpret_cast<decltype(&subid_get_uid_ranges)>(
      ::dlsym(library, kind == IdKind::kUid ? "subid_get_uid_ranges" : "subid_get_gid_ranges"));
  subid_range* ranges = nullptr;
  const int count = find == nullptr ? -1 : find(owner.c_str(), &ranges);
  std::string answer;
  for (int i = 0; i < count; ++i) answer += cat(owner, ":", ranges[i].start, ":", ranges[i].count, "\n");
  return count >= 0 && write_all(out, answer);
}

Result<void> ask_nss(SubidScanner& scanner, IdKind kind, const std::string& owner, std::string_view source) {
  auto pipe = make_pipe();
  if (!pipe) return std::unexpected(pipe.error());
  const pid_t child = ::fork();
  if (child < 0) return fail("SU-NSS", cat("cannot ask the ", source, ": fork failed"), errno);
  if (child == 0) ::_exit(answer_with_libsubid(kind, owner, pipe->write) ? 0 : 1);
  pipe->write.reset();
  auto scanned = scan(scanner, pipe->read, source);
  int status = -1;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  // Only a whole answer counts, and the child's exit says that it was whole.
  if (status != 0) return fail("SU-NSS", cat("asking the ", source, " failed: check its module and service"));
  return scanned;
}

}  // namespace

Result<SubidRanges> find_subids(IdKind kind, std::string_view name, Uid uid) {
  const auto nsswitch = open_trusted_file(kNsswitchPath);
  if (!nsswitch) return std::unexpected(nsswitch.error());
  const auto text = *nsswitch ? read_all(**nsswitch, kLargestNsswitch) : Result<std::string>{};
  if (!text) return fail("SU-READ", cat("cannot read ", kNsswitchPath), text.error().code);
  SubidScanner scanner(name, uid);
  std::string source = kind == IdKind::kUid ? "/etc/subuid" : "/etc/subgid";
  Result<void> done;
  if (const auto module = nss_subid_source(*text); module == "files") {
    const auto file = open_trusted_file(source);
    if (!file) return std::unexpected(file.error());
    if (*file) done = scan(scanner, **file, source);
  } else {
    source = cat("NSS source ", module);
    done = ask_nss(scanner, kind, name.empty() ? cat(uid.value()) : std::string(name), source);
  }
  if (!done) return std::unexpected(done.error());
  return SubidRanges{scanner.ranges(), std::move(source), scanner.skipped()};
}

}  // namespace userns
