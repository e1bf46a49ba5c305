#include "common/subid_source.h"

#include <dlfcn.h>
#include <shadow/subid.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <utility>

#include "common/capability.h"
#include "common/fd.h"
#include "common/trusted_file.h"
#include "policy/text.h"

namespace userns {
namespace {

Result<void> scan(SubidScanner& scanner, const Fd& in, std::string_view source) {
  static std::array<char, 64UL << 10U> chunk;  // pages that a small file never touches cost nothing
  for (std::size_t got = chunk.size(); got == chunk.size();) {
    const auto read = read_some(in, chunk);
    if (!read) return fail("SU-READ", concat("cannot read ", source), read.error().code);
    got = *read;
    scanner.feed({chunk.data(), got});
  }
  return scanner.finish();
}

// A module's one function that we need (shadow's subid_nss_ops). The module is asked itself, not
// through libsubid, which answers from the file where it cannot load a module.
using ListRanges = subid_status (*)(const char* owner, subid_type type, subid_range** ranges,
                                    int* count);

constexpr int kWholeAnswer = 42;  // exit status that a module which ends the process does not know

// In the child: runs without privilege, and only its answer, in the format of subuid(5), leaves it.
bool answer_with_module(IdKind kind, std::string_view module, const std::string& owner,
                        const Fd& out) {
  if (!drop_all_but({}, Uid{::getuid()})) return false;
  void* const library = ::dlopen(concat("libsubid_", module, ".so").c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return false;
  const auto list =
      reinterpret_cast<ListRanges>(::dlsym(library, "shadow_subid_list_owner_ranges"));
  if (list == nullptr) return false;
  subid_range* ranges = nullptr;
  int count = 0;
  const auto status =
      list(owner.c_str(), kind == IdKind::kUid ? ID_TYPE_UID : ID_TYPE_GID, &ranges, &count);
  if (status == SUBID_STATUS_UNKNOWN_USER) return true;
  if (status != SUBID_STATUS_SUCCESS || count < 0 || (count > 0 && ranges == nullptr)) return false;
  std::string answer;
  for (int i = 0; i < count; ++i)
    answer += concat(owner, ":", ranges[i].start, ":", ranges[i].count, "\n");
  return write_all(out, answer).has_value();
}

Result<void> ask_nss(SubidScanner& scanner, IdKind kind, const std::string& owner,
                     std::string_view module, std::string_view source) {
  auto pipe = make_pipe();
  if (!pipe) return std::unexpected(pipe.error());
  const pid_t child = ::fork();
  if (child < 0) return fail("SU-NSS", concat("cannot ask the ", source, ": fork failed"), errno);
  if (child == 0) ::_exit(answer_with_module(kind, module, owner, pipe->write) ? kWholeAnswer : 1);
  pipe->write.reset();
  auto scanned = scan(scanner, pipe->read, source);
  int status = -1;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  // Only a whole answer counts, and the child's exit says that it was whole.
  if (!WIFEXITED(status) || WEXITSTATUS(status) != kWholeAnswer)
    return fail("SU-NSS", concat("asking the ", source, " failed: check its module and service"));
  return scanned;
}

}  // namespace

Result<SubidRanges> find_subids(IdKind kind, std::string_view name, Uid uid) {
  const auto text = read_trusted_file("/etc/nsswitch.conf", "SU-READ");
  if (!text) return std::unexpected(text.error());
  SubidScanner scanner(name, uid);
  std::string source = kind == IdKind::kUid ? "/etc/subuid" : "/etc/subgid";
  Result<void> done;
  if (const auto module = nss_subid_source(*text); module == "files") {
    const auto file = open_trusted_file(source);
    if (!file) return std::unexpected(file.error());
    if (*file) done = scan(scanner, **file, source);
  } else {
    source = concat("NSS source ", module);
    done = ask_nss(scanner, kind, name.empty() ? concat(uid.value()) : std::string(name), module,
                   source);
  }
  if (!done) return std::unexpected(done.error());
  return SubidRanges{scanner.ranges(), std::move(source), scanner.skipped()};
}

}  // namespace userns
