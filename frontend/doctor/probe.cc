#include "frontend/doctor/probe.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>

#include "common/fd.h"
#include "frontend/run/apparmor.h"
#include "frontend/run/mount_api.h"
#include "frontend/start/net/net_helpers.h"
#include "frontend/start/net/user_network.h"
#include "policy/text.h"

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
  std::array<char, 256> label{};  // AppArmor's, ended by a zero byte; a longer one is cut
};

int code_of(int result) { return result == 0 ? 0 : errno; }

int code_of(const Result<Fd>& result) { return result ? 0 : result.error().code; }

// By the calls that a start makes: a filter may know others only.
constexpr std::uint64_t kAttributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

// /proc can only be mounted by a process in the new pid namespace.
void try_mounts(Codes& codes) {
  const pid_t child = ::fork();
  if (child < 0) return;
  if (child == 0) {
    const int code = code_of(new_filesystem("proc", {}, kAttributes));
    ::_exit(code & 0xff);  // all that matter are below 134
  }
  int status = 0;
  if (::waitpid(child, &status, 0) == child && WIFEXITED(status)) codes.proc = WEXITSTATUS(status);
  codes.sys = code_of(new_filesystem("sysfs", {}, kAttributes));
}

Codes try_all() {
  Codes codes;
  codes.user = code_of(::unshare(CLONE_NEWUSER));
  const auto label = apparmor_label();
  label.copy(codes.label.data(), codes.label.size() - 1);
  if (codes.user != 0) return codes;
  for (std::size_t i = 0; i < kKinds.size(); ++i)
    codes.kinds.at(i) = code_of(::unshare(kKinds.at(i).flag));
  if (codes.kinds[0] == 0 && codes.kinds[1] == 0 && codes.kinds[2] == 0) try_mounts(codes);
  return codes;
}

bool write_line(const char* path, std::string_view text) {
  const auto file = open_at(AT_FDCWD, path, O_WRONLY);
  return file && write_once(*file, text).has_value();
}

// Says that it is there, and waits for the end of `life`.
[[noreturn]] void be_a_container(const Fd& ready, const Fd& life) {
  const auto uid = concat("0 ", ::getuid(), " 1"), gid = concat("0 ", ::getgid(), " 1");
  const bool made = ::unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 &&
                    write_line("/proc/self/setgroups", "deny") &&
                    write_line("/proc/self/uid_map", uid) && write_line("/proc/self/gid_map", gid);
  char nothing = 0;
  if (made && ::write(ready.get(), "1", 1) == 1) (void)!::read(life.get(), &nothing, 1);
  ::_exit(0);
}

void take_refusals(Facts& facts, pid_t target) {
  for (auto& trial : try_user_net(target))
    for (auto& known : facts.user_net)
      if (known.program == trial.program) known.refusal = std::move(trial.refusal);
}

}  // namespace

void probe_user_net(Facts& facts) {
  auto ready = make_pipe(), life = make_pipe();
  const pid_t child = ready && life ? ::fork() : -1;
  if (child < 0) return;
  if (child == 0) {
    life->write.reset();
    be_a_container(ready->write, life->read);
  }
  ready->write.reset();
  char one = 0;
  if (::read(ready->read.get(), &one, 1) == 1) {
    facts.network_error = try_network(child);
    if (facts.can_open_tun && facts.has_default_route) take_refusals(facts, child);
  }
  life->write.reset();
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) continue;
}

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
  facts.apparmor_inside = codes.label.data();
  if (codes.user != 0) return;
  for (std::size_t i = 0; i < kKinds.size(); ++i)
    facts.namespaces.push_back({.what = kKinds.at(i).name, .code = codes.kinds.at(i)});
  if (codes.proc != kUntried) facts.proc_mount = Trial{.what = "proc", .code = codes.proc};
  if (codes.sys != kUntried) facts.sys_mount = Trial{.what = "sys", .code = codes.sys};
}

}  // namespace userns::frontend::doctor
