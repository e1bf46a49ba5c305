#include "frontend/doctor/probe.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "common/fd.h"

namespace userns::frontend::doctor {
namespace {

struct Kind {
  std::string_view name;
  int flag;
};
// The mount and pid namespaces and that of the network are what the last two trials are made in.
constexpr std::array<Kind, 7> kKinds{{{"mount", CLONE_NEWNS},
                                      {"pid", CLONE_NEWPID},
                                      {"net", CLONE_NEWNET},
                                      {"ipc", CLONE_NEWIPC},
                                      {"uts", CLONE_NEWUTS},
                                      {"cgroup", CLONE_NEWCGROUP},
                                      {"time", CLONE_NEWTIME}}};
constexpr int kUntried = -1;

struct Codes {
  int user = kUntried;
  std::array<int, kKinds.size()> kinds{};
  int proc = kUntried, sys = kUntried;
};

int code_of(int result) { return result == 0 ? 0 : errno; }

// /proc can only be mounted by a process in the new pid namespace.
void try_mounts(Codes& codes) {
  const pid_t child = ::fork();
  if (child < 0) return;
  if (child == 0) {
    const int code =
        code_of(::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr));
    ::_exit(code & 0xff);  // all that matter are below 134
  }
  int status = 0;
  if (::waitpid(child, &status, 0) == child && WIFEXITED(status)) codes.proc = WEXITSTATUS(status);
  codes.sys = code_of(::mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr));
}

Codes try_all() {
  Codes codes;
  codes.user = code_of(::unshare(CLONE_NEWUSER));
  if (codes.user != 0) return codes;
  for (std::size_t i = 0; i < kKinds.size(); ++i)
    codes.kinds.at(i) = code_of(::unshare(kKinds.at(i).flag));
  if (codes.kinds[0] == 0 && codes.kinds[1] == 0 && codes.kinds[2] == 0) try_mounts(codes);
  return codes;
}

}  // namespace

void probe_namespaces(Facts& facts) {
  const auto pipe = make_pipe();
  const pid_t child = pipe ? ::fork() : -1;
  if (child == 0) {
    const Codes codes = try_all();
    const auto sent = ::write(pipe->write.get(), &codes, sizeof codes);
    ::_exit(sent == sizeof codes ? 0 : 1);
  }
  int status = 1;
  while (child > 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  Codes codes;
  if (child < 0 || status != 0 || ::read(pipe->read.get(), &codes, sizeof codes) != sizeof codes) {
    facts.user_namespace.code = EAGAIN;
    return;
  }
  facts.user_namespace.code = codes.user;
  if (codes.user != 0) return;
  for (std::size_t i = 0; i < kKinds.size(); ++i)
    facts.namespaces.push_back({.what = kKinds.at(i).name, .code = codes.kinds.at(i)});
  if (codes.proc != kUntried) facts.proc_mount = Trial{.what = "proc", .code = codes.proc};
  if (codes.sys != kUntried) facts.sys_mount = Trial{.what = "sys", .code = codes.sys};
}

}  // namespace userns::frontend::doctor
