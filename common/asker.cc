#include "common/asker.h"

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <utility>

#include "common/capability.h"
#include "common/config.h"
#include "common/trusted_file.h"
#include "policy/names.h"
#include "policy/subid.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns {
namespace {

constexpr unsigned kSeconds = 10;
constexpr std::size_t kLongestQuestion = 2048, kLongestAnswer = 192UL << 10U;

// --- in the child ----------------------------------------------------------------------------

// The caller can trace what the caller can read (ptrace(2)), and would put words into its mouth.
// With fs.suid_dumpable 1 everybody can trace anything of the same uid.
bool is_hidden(const char* program) {
  struct stat facts{};
  std::array<char, 1> all_are_traced{};
  const auto setting = open_at(AT_FDCWD, "/proc/sys/fs/suid_dumpable", O_RDONLY);
  return ::stat(program, &facts) == 0 && facts.st_uid == 0 && (facts.st_mode & 066U) == 0 &&
         setting && read_some(*setting, all_are_traced) == std::size_t{1} &&
         all_are_traced[0] != '1';
}

// Its end of the socket is fd 3.
bool lose_everything(Uid uid, pid_t parent) {
  ::signal(SIGALRM, SIG_DFL);
  ::alarm(kSeconds);
  sigset_t none;
  const int null = ::open("/dev/null", O_RDWR);
  const auto become = [&] { return ::setresuid(uid.value(), uid.value(), uid.value()); };
  return ::sigemptyset(&none) == 0 && ::sigprocmask(SIG_SETMASK, &none, nullptr) == 0 &&
         null >= 0 && ::dup2(null, 0) == 0 && ::dup2(null, 1) == 1 && ::dup2(null, 2) == 2 &&
         ::syscall(SYS_close_range, 4U, UINT_MAX, 0U) == 0 && ::chdir("/") == 0 &&
         with_capability({CAP_SETUID}, become) == 0 && drop_all_but({}, uid) &&
         ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && ::getppid() == parent;
}

[[noreturn]] void serve(Uid uid, int socket, pid_t parent) {
  auto* const path = const_cast<char*>(kNamesPath);  // NOLINT(*-const-cast): as execve(2) takes it
  char* const words[] = {path, nullptr};
  char question = 0;
  // Until it is asked it is as its parent is, runs nothing of anybody's, and costs next to nothing.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || ::dup2(socket, 3) != 3 ||
      ::fcntl(3, F_SETFD, 0) != 0 || ::syscall(SYS_close_range, 4U, UINT_MAX, 0U) != 0 ||
      ::recv(3, &question, 1, MSG_PEEK) <= 0)
    ::_exit(0);
  if (lose_everything(uid, parent) && is_hidden(path)) ::execve(path, words, words + 1);
  ::_exit(1);
}

// --- in the parent ---------------------------------------------------------------------------

Result<std::optional<std::uint32_t>> id_of(const Result<std::optional<NameEntry>>& found) {
  if (!found) return std::unexpected(found.error());
  return *found ? std::optional((*found)->id) : std::nullopt;
}

}  // namespace

Asker::Database Asker::read(const char* path, std::string_view nsswitch, std::string_view key) {
  const auto source = name_source(nsswitch, key);
  if (source == NameSource::kOthers) return {};
  auto text = read_trusted_file(path, "SU-NAME");
  if (!text) return {};
  return {std::move(*text), source == NameSource::kFilesAlone};
}

Result<Asker> Asker::start(Uid uid, Asks asks) {
  Asker asker;
  asker.nsswitch_ = read_trusted_file("/etc/nsswitch.conf", "SU-READ");
  const auto nsswitch = asker.nsswitch_.value_or("");
  asker.passwd_ = read("/etc/passwd", nsswitch, "passwd");
  if (asks == Asks::kUsersAndGroups) asker.group_ = read("/etc/group", nsswitch, "group");
  const bool no_groups = asks == Asks::kUsers || asker.group_.is_alone;
  if (asker.passwd_.is_alone && no_groups && nss_subid_source(nsswitch) == "files") return asker;
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return fail("SU-NAME", "cannot make a socket to ask for names", errno);
  asker.socket_ = Fd(ends[0]);
  const Fd childs(ends[1]);
  const timeval patience{.tv_sec = kSeconds, .tv_usec = 0};
  const pid_t parent = ::getpid();
  for (const int end : ends)
    if (::setsockopt(end, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0)
      return fail("SU-NAME", "cannot bound the wait for names", errno);
  asker.child_ = ::fork();
  if (asker.child_ < 0) return fail("SU-NAME", "cannot fork to ask for names", errno);
  if (asker.child_ == 0) serve(uid, childs.get(), parent);
  return asker;
}

Result<std::string> Asker::ask(const std::string& question, std::string_view about) const {
  static std::array<char, kLongestAnswer> answer;
  const bool asked = question.size() < kLongestQuestion &&
                     ::send(socket_.get(), question.data(), question.size(), MSG_NOSIGNAL) > 0;
  const auto length =
      asked ? ::recv(socket_.get(), answer.data(), answer.size(), MSG_TRUNC) : ssize_t{-1};
  if (length < 1 || length > ssize_t{kLongestAnswer}) socket_.reset();
  if (!socket_.valid() || answer.front() != '=')
    return fail("SU-NAME", concat("cannot look up ", about,
                                  ": the user database (NSS) gave no usable answer in time"));
  return std::string(answer.data() + 1, static_cast<std::size_t>(length) - 1);
}

Result<std::optional<NameEntry>> Asker::entry(const Database& file, std::size_t fields, char kind,
                                              std::string_view key, std::string_view about) const {
  const auto is_wanted = [&](const NameEntry& entry) {
    return kind == 'u' ? concat(entry.id) == key : entry.name == key;
  };
  const auto found = file.text ? find_entry(*file.text, fields, is_wanted) : std::nullopt;
  if (found || file.is_alone) return found;
  answer_ = ask(concat(kind, key), about);
  if (!answer_) return std::unexpected(answer_.error());
  return find_entry(*answer_, fields, [](const NameEntry&) { return true; });
}

Result<Asker::Login> Asker::login(Uid uid) const {
  const auto key = concat(uid.value());
  const auto found = TRY(entry(passwd_, kPasswdFields, 'u', key, "the caller's login name"));
  if (!found) return Login{};
  const auto name = found->name;
  const bool is_number = name.find_first_not_of("0123456789") == std::string_view::npos;
  return Login{std::string(is_number ? "" : name), Gid{found->group}};
}

Result<std::optional<std::uint32_t>> Asker::group(std::string_view name) const {
  return id_of(entry(group_, kGroupFields, 'g', name, concat("group ", quoted(name))));
}

Result<std::optional<std::uint32_t>> Asker::user(std::string_view name) const {
  return id_of(entry(passwd_, kPasswdFields, 'n', name, concat("user ", quoted(name))));
}

Result<std::string> Asker::subid_source() const {
  if (!nsswitch_) return nsswitch_;
  return std::string(nss_subid_source(*nsswitch_));
}

Result<std::string> Asker::subids(IdKind kind, std::string_view module,
                                  std::string_view owner) const {
  auto lines =
      ask(concat(kind == IdKind::kUid ? "su" : "sg", module, ":", owner), "subordinate ids");
  if (lines) return lines;
  return fail("SU-NSS",
              concat("asking the NSS source ", module,
                     " failed, or it does not know the user: check its module and service"));
}

Result<void> Asker::end() {
  if (child_ < 0) return {};
  char more = 0;
  ssize_t got = 0;
  // The child ends when it can be asked no more, and closes its end of the socket by that.
  (void)::shutdown(socket_.get(), SHUT_WR);
  do got = ::recv(socket_.get(), &more, 1, 0);
  while (got > 0 || (got < 0 && errno == EINTR));
  if (got < 0 && errno != ECONNRESET)
    return fail("SU-NAME", "the child that asks for names does not end: has somebody stopped it?");
  while (::waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
  }
  return {};
}

}  // namespace userns
