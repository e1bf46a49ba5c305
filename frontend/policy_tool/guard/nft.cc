#include "frontend/policy_tool/guard/nft.h"

#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/fd.h"
#include "frontend/policy_tool/guard/guard_text.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kLongestAnswer = 64UL << 20U;
constexpr const char* kPlaces[] = {"/usr/sbin/nft", "/usr/bin/nft", "/sbin/nft", "/bin/nft"};

Result<pid_t> spawn(const std::vector<std::string>& words, const Fd& in, const Fd& out) {
  const auto* const place =
      std::ranges::find_if(kPlaces, [](const char* path) { return ::access(path, X_OK) == 0; });
  if (place == std::end(kPlaces))
    return fail({}, "nft is not installed (package nftables)", ENOENT);
  std::vector<char*> argv{const_cast<char*>("nft")};  // NOLINT(*-const-cast): as exec takes it
  for (const auto& word : words)
    argv.push_back(const_cast<char*>(word.c_str()));  // NOLINT(*-const-cast)
  argv.push_back(nullptr);
  char* const no_environment[] = {nullptr};
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, in.get(), STDIN_FILENO);
  for (const int number : {STDOUT_FILENO, STDERR_FILENO})
    ::posix_spawn_file_actions_adddup2(&actions, out.get(), number);
  pid_t pid = 0;
  const int code = ::posix_spawn(&pid, *place, &actions, nullptr, argv.data(), no_environment);
  ::posix_spawn_file_actions_destroy(&actions);
  return code == 0 ? Result<pid_t>(pid) : fail({}, "cannot start nft", code);
}

Result<Fd> memory_file(std::string_view text) {
  Fd file(::memfd_create("nft", MFD_CLOEXEC));
  if (!file.valid()) return fail_errno("cannot make a file in memory for nft");
  TRY(write_all(file, text));
  ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

}  // namespace

Result<std::string> run_nft(const std::vector<std::string>& words, std::string_view input) {
  const auto in = memory_file(input), out = memory_file({});
  if (!in || !out) return std::unexpected((in ? out : in).error());
  const auto pid = TRY(spawn(words, *in, *out));
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return fail_errno("lost nft");
  ::lseek(out->get(), 0, SEEK_SET);
  auto said = read_all(*out, kLongestAnswer);
  if (!said || (WIFEXITED(status) && WEXITSTATUS(status) == 0)) return said;
  std::string_view rest = *said;
  return fail({}, concat("nft: ", take_until(rest, '\n')));
}

GuardState guard_state(std::span<const NetLine> lines) {
  if (::geteuid() != 0 || !run_nft({"list", "tables", "bridge"}, {})) return GuardState::kUnknown;
  if (!run_nft({"list", "table", "bridge", std::string(kGuardTable)}, {}))
    return GuardState::kMissing;
  const auto mark =
      run_nft({"list", "chain", "bridge", std::string(kGuardTable), guard_mark(lines)}, {});
  return mark ? GuardState::kCurrent : GuardState::kOther;
}

}  // namespace userns::frontend
