#include "frontend/start/seccomp_filter.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <span>
#include <string_view>

#include "common/fd.h"
#include "policy/text.h"
#include "seccomp_blob.h"

namespace userns::frontend {

namespace {

Result<void> install(std::span<const sock_filter> instructions, std::string_view hint) {
  auto* const first =
      const_cast<sock_filter*>(instructions.data());  // NOLINT(*-const-cast): as prctl(2) takes it
  sock_fprog program{.len = static_cast<unsigned short>(instructions.size()), .filter = first};
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
    return fail_errno(concat("cannot install a system call filter", hint));
  return {};
}

// open_tree_attr(2) of Linux 6.15 copies a mount and takes its flags away. By hand: libseccomp does
// not know the call. Its number is the same in all tables that the other filter lets through.
constexpr std::array kNoCopyWithOtherFlags{
    sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
    sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 467, 0, 1),
    sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
    sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

}  // namespace

Result<void> install_default_profile(bool nesting) {
  constexpr std::string_view kHint = " (--seccomp none does without)";
  return nesting ? install(kNestingProfile, kHint) : install(kDefaultProfile, kHint);
}

Result<void> keep_mount_flags() {
  constexpr std::string_view kHint = ", which --read-only and --bind :ro need";
  const auto kept = install(kKeepMountFlags, kHint);
  return kept ? install(kNoCopyWithOtherFlags, kHint) : kept;
}

}  // namespace userns::frontend
