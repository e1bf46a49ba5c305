#include "frontend/policy_tool/lock.h"

#include <dirent.h>
#include <fcntl.h>
#include <shadow.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <ctime>
#include <memory>
#include <optional>
#include <utility>

#include "common/fd.h"
#include "frontend/spec/tell.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr int kTries = 150;
constexpr timespec kPause{0, 100'000'000};
constexpr int kQuietTries = 10;  // a second
constexpr int kGlances = 50;     // a second
constexpr timespec kGlance{0, 20'000'000};
constexpr const char* kAccountsLock = "/etc/.pwd.lock";  // of lckpwdf(3)

// "process 12 ('useradd')"
std::string name_of(int pid) {
  const auto file = open_at(AT_FDCWD, concat("/proc/", pid, "/comm").c_str(), O_RDONLY);
  const auto name = file ? read_all(*file, 64) : std::unexpected(file.error());
  return concat(
      "process ", pid,
      name ? concat(" (", quoted(std::string_view(*name).substr(0, name->find('\n'))), ")") : "");
}

// The process that a lock file names; 0: it is empty, just being made or no lock of this kind.
Result<int> owner_of(const std::string& lock) {
  const auto file = open_at(AT_FDCWD, lock.c_str(), O_RDONLY | O_NOFOLLOW);
  auto text = TRY(file ? read_all(*file, 64) : std::unexpected(file.error()));
  const auto pid = parse_decimal(
      std::string_view(text).substr(0, text.find_first_of(std::string_view("\0\n", 2))));
  return pid && *pid <= 1U << 22U ? static_cast<int>(*pid) : 0;
}

bool is_gone(int pid) { return pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH; }

// Shadow writes the terminating zero, too.
Result<void> write_own(const std::string& own) {
  ::unlink(own.c_str());  // of an earlier process of this number
  const auto file =
      TRY(open_at(AT_FDCWD, own.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0, 0600));
  const std::string text = concat(::getpid());
  return write_all(file, std::string_view(text.c_str(), text.size() + 1));
}

bool is_linked(const std::string& own) {
  struct stat facts{};
  return ::stat(own.c_str(), &facts) == 0 && facts.st_nlink == 2;
}

// True: taken. False: somebody else's, `holder` being who.
Result<bool> try_once(const std::string& own, const std::string& lock, int& holder) {
  if (::link(own.c_str(), lock.c_str()) == 0) return is_linked(own);
  if (errno != EEXIST) return fail_errno(concat("cannot make the lock ", lock));
  const auto owner = owner_of(lock);
  if (!owner && owner.error().code == ENOENT) return false;
  if (!owner) return std::unexpected(owner.error());
  holder = *owner;
  if (is_gone(*owner)) ::unlink(lock.c_str());
  return false;
}

void unlock(const std::vector<std::string>& locks) {
  for (const auto& lock : locks) ::unlink(lock.c_str());
}

// What keeps us from it: nothing, or a process; 0 is one that can't be told.
struct Holder {
  std::string file;
  int pid = 0;

  [[nodiscard]] std::string text() const {
    return pid > 0 ? concat(file, " is being changed by ", name_of(pid))
                   : concat(file, " is locked, and ", file, ".lock does not say by which process");
  }
};

// Who holds lckpwdf(3): nobody, or a process; 0 is one that can't be told.
std::optional<int> holder_of_accounts() {
  const auto file = open_at(AT_FDCWD, kAccountsLock, O_RDONLY | O_NOFOLLOW);
  struct flock lock{};
  lock.l_type = F_WRLCK;
  if (!file || ::fcntl(file->get(), F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK)
    return std::nullopt;
  return std::max(0, static_cast<int>(lock.l_pid));
}

std::string accounts_text(int pid) {
  return concat("the account files are locked (", std::string_view(kAccountsLock), ") by ",
                pid > 0 ? name_of(pid) : "a process that can't be told");
}

// Says once what is waited for.
class Notice {
 public:
  void say(std::string_view what) {
    if (!std::exchange(said_, true))
      tell("userns-policy",
           {.rule = {}, .code = 0, .text = concat(what, ": waiting for it, 15 seconds at most")});
  }
  [[nodiscard]] bool is_said() const { return said_; }

 private:
  bool said_ = false;
};

// Waits without a word for a second at most: lckpwdf(3), which comes next, says nothing for 15.
void glance_at_accounts(Notice& notice) {
  auto pid = holder_of_accounts();
  for (int i = 0; pid && i < kGlances && !notice.is_said(); ++i) {
    ::nanosleep(&kGlance, nullptr);
    pid = holder_of_accounts();
  }
  if (pid) notice.say(accounts_text(*pid));
}

Result<void> lock_accounts(Notice& notice) {
  glance_at_accounts(notice);
  if (::lckpwdf() == 0) return {};
  const int code = errno;
  if (const auto pid = holder_of_accounts())
    return fail({},
                concat(accounts_text(*pid), ", for 15 seconds now: try again when it has ended"));
  return fail({}, concat("cannot lock the account files (", std::string_view(kAccountsLock), ")"),
              code);
}

// FILE.PID of processes that were killed between making it and taking the lock; shadow's, too.
void remove_halves(const std::string& file) {
  const auto directory = file.substr(0, file.rfind('/'));
  const auto name = concat(file.substr(directory.size() + 1), ".");
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(directory.c_str()), &::closedir);
  while (const dirent* const entry = entries ? ::readdir(entries.get()) : nullptr) {
    const std::string_view other(static_cast<const char*>(entry->d_name));
    const auto number = other.starts_with(name) ? other.substr(name.size()) : std::string_view{};
    const auto pid = parse_decimal(number).value_or(0);
    if (pid == 0 || pid > 1U << 22U || !is_gone(static_cast<int>(pid))) continue;
    // An empty one: the process was killed before it wrote its number.
    const auto path = concat(directory, "/", other);
    const auto owner = owner_of(path);
    if (owner && (*owner == 0 || static_cast<std::uint64_t>(*owner) == pid)) ::unlink(path.c_str());
  }
}

// Under lckpwdf, so that of two who find a dead owner's lock only one takes it over.
Result<std::vector<std::string>> try_all(std::span<const std::string> files,
                                         std::optional<Holder>& holder) {
  std::vector<std::string> locks;
  holder.reset();
  for (const auto& file : files) {
    remove_halves(file);
    const std::string own = concat(file, ".", ::getpid()), lock = concat(file, ".lock");
    int pid = 0;
    Result<bool> taken = false;
    if (const auto written = write_own(own); !written)
      taken = fail({}, concat("cannot lock ", file), written.error().code);
    else
      for (int tries = 0; tries < 2 && taken && !*taken; ++tries) taken = try_once(own, lock, pid);
    ::unlink(own.c_str());
    if (taken && *taken) {
      locks.push_back(lock);
      continue;
    }
    unlock(locks);
    if (!taken) return std::unexpected(taken.error());
    holder = Holder{file, pid};
    break;
  }
  return locks;
}

}  // namespace

Result<PolicyLock> PolicyLock::take(std::span<const std::string> files, Hold hold) {
  std::optional<Holder> holder;
  Notice notice;
  for (int tries = 0; tries < kTries; ++tries) {
    if (tries > 0) ::nanosleep(&kPause, nullptr);
    if (tries == kQuietTries) notice.say(holder->text());
    TRY(lock_accounts(notice));
    auto locks = try_all(files, holder);
    if (!locks || holder || hold == Hold::kFiles) ::ulckpwdf();
    if (!locks) return std::unexpected(locks.error());
    if (holder) continue;
    PolicyLock all;
    all.locks_ = std::move(*locks);
    all.accounts_ = hold == Hold::kAccounts;
    return all;
  }
  return fail({}, concat(holder->text(), holder->pid > 0
                                             ? ": wait for it to end, and try again"
                                             : ": remove it if nobody is at work, and try again"));
}

bool PolicyLock::is_free(std::span<const std::string> files) {
  return !holder_of_accounts() && std::ranges::none_of(files, [](const std::string& file) {
    return ::access(concat(file, ".lock").c_str(), F_OK) == 0;
  });
}

bool PolicyLock::is_stale(const std::string& lock) {
  const auto owner = owner_of(lock);
  return owner && is_gone(*owner);
}

PolicyLock::PolicyLock(PolicyLock&& other) noexcept
    : locks_(std::exchange(other.locks_, {})), accounts_(std::exchange(other.accounts_, false)) {}

PolicyLock::~PolicyLock() {
  unlock(locks_);
  if (accounts_) ::ulckpwdf();
}

}  // namespace userns::frontend
