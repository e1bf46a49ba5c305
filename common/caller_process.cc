#include "common/caller_process.h"

#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "common/capability.h"
#include "policy/text.h"

namespace userns {
namespace {

Result<void> become(Uid uid) {
  const auto change = [&] { return ::setresuid(uid.value(), uid.value(), uid.value()); };
  if (uid != Uid{0} && with_capability({CAP_SETUID}, change) != 0)
    return fail("PR-DROP", "cannot become the caller", errno);
  return {};
}

}  // namespace

Result<CallerProcess> CallerProcess::begin() {
  CallerProcess process;
  sigset_t all;
  ::sigfillset(&all);
  if (::sigprocmask(SIG_SETMASK, &all, &process.mask_) != 0)
    return fail("ST-STATE", "cannot block signals", errno);
  if (::clearenv() != 0) return fail("ST-STATE", "cannot empty the environment", errno);
  // The kernel's default, as in common/helper.cc. prctl(3) would cut what it returns.
  process.slack_ = static_cast<unsigned long>(::syscall(SYS_prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0));
  if (::prctl(PR_SET_TIMERSLACK, 50'000UL, 0, 0, 0) != 0)
    return fail("ST-STATE", "cannot set the slack of timers", errno);
  process.umask_ = ::umask(022);
  return process;
}

Error CallerProcess::exec(char** argv) const {
  // The kernel lays argv's strings, the environment's and the program's file name one after the
  // other.
  char** last = argv;
  while (last[1] != nullptr) ++last;
  auto* const end =
      reinterpret_cast<char*>(::getauxval(AT_EXECFN));  // NOLINT(performance-no-int-to-ptr)
  std::vector<char*> environment;
  for (char* at = *last + std::strlen(*last) + 1; at < end; at += std::strlen(at) + 1)
    environment.push_back(at);
  environment.push_back(nullptr);
  environ = environment.data();
  ::umask(umask_);
  (void)::prctl(PR_SET_TIMERSLACK, slack_, 0, 0, 0);
  ::sigprocmask(SIG_SETMASK, &mask_, nullptr);
  ::execvp(*argv, argv);
  return {kExecFailed, errno, concat("cannot execute ", quoted(*argv))};
}

Result<void> step_down_for_good(Uid uid) {
  const auto done = become(uid);
  const auto kept = keep_only({});
  return done ? kept : done;
}

Result<void> become_for_good(Uid uid) {
  const auto done = become(uid);
  return done ? drop_all_but({.for_exec = true}, uid) : done;
}

}  // namespace userns
