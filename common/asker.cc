#include "common/asker.h"

#include <dlfcn.h>
#include <shadow/subid.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>

#include "common/caller.h"
#include "common/capability.h"
#include "common/config.h"
#include "common/trusted_file.h"
#include "policy/subid.h"
#include "policy/text.h"

namespace userns {
namespace {

constexpr unsigned kSeconds = 10;
constexpr std::size_t kLongestQuestion = 2048, kLongestAnswer = 192UL << 10U;

// --- in the child: an answer, or nothing where the question could not be answered -------------

using Answer = std::optional<std::string>;

template <class T>
Answer text_of(const Result<std::optional<T>>& found) {
  if (!found) return std::nullopt;
  return *found ? concat((*found)->value()) : "";
}

Answer login_of(Uid uid) {
  const auto login = find_login(uid);
  if (!login) return std::nullopt;
  return *login ? concat((*login)->group.value(), ":", (*login)->name) : "";
}

Answer aux_groups() {
  const auto text = read_trusted_file("/etc/login.defs", "SU-NAME");
  if (!text) return std::nullopt;
  return login_defs_says_yes(*text, "GRANT_AUX_GROUP_SUBIDS") ? "yes" : "";
}

// libsubid answers from the file where it cannot load the module; so that has to be there.
bool has_loaded(std::string_view module) {
  void* const loaded = ::dlopen(concat("libsubid_", module, ".so").c_str(), RTLD_NOW | RTLD_NOLOAD);
  return loaded != nullptr && ::dlsym(loaded, "shadow_subid_list_owner_ranges") != nullptr;
}

// "uMODULE:OWNER"
Answer subids_of(std::string_view question) {
  const bool of_uids = question.starts_with('u');
  question.remove_prefix(1);
  const auto module = take_until(question, ':');
  const std::string owner(question);
  void* const library = ::dlopen(kLibsubid, RTLD_NOW);
  if (library == nullptr) return std::nullopt;
  const auto ranges_of = reinterpret_cast<int (*)(const char*, subid_range**)>(
      ::dlsym(library, of_uids ? "subid_get_uid_ranges" : "subid_get_gid_ranges"));
  subid_range* ranges = nullptr;
  const int count = ranges_of == nullptr ? -1 : ranges_of(owner.c_str(), &ranges);
  if (count < 0 || (count > 0 && ranges == nullptr) || !has_loaded(module)) return std::nullopt;
  std::string lines;
  for (int i = 0; i < count; ++i)
    lines += concat(owner, ":", ranges[i].start, ":", ranges[i].count, "\n");
  return lines;
}

Answer answer_to(const Answer& login, std::string_view question) {
  const char kind = question.empty() ? '?' : question.front();
  question.remove_prefix(question.empty() ? 0 : 1);
  switch (kind) {
    case 'l':
      return login;
    case 'g':
      return text_of(find_group(question));
    case 'u':
      return text_of(find_user(question));
    case 'a':
      return aux_groups();
    case 's':
      return subids_of(question);
    default:
      return std::nullopt;
  }
}

bool lose_everything(Uid uid, int socket, pid_t parent) {
  ::signal(SIGALRM, SIG_DFL);
  sigset_t none;
  const int null = ::open("/dev/null", O_RDWR);
  const auto become = [&] { return ::setresuid(uid.value(), uid.value(), uid.value()); };
  return ::sigemptyset(&none) == 0 && ::sigprocmask(SIG_SETMASK, &none, nullptr) == 0 &&
         null >= 0 && ::dup2(null, 0) == 0 && ::dup2(null, 1) == 1 && ::dup2(null, 2) == 2 &&
         ::dup2(socket, 3) == 3 && ::close_range(4, UINT_MAX, 0) == 0 && ::chdir("/") == 0 &&
         with_capability({CAP_SETUID}, become) == 0 && drop_all_but({}, uid) &&
         ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && ::getppid() == parent;
}

[[noreturn]] void serve(Uid uid, int socket, pid_t parent) {
  ::alarm(kSeconds);
  std::array<char, kLongestQuestion> question{};
  if (!lose_everything(uid, socket, parent)) ::_exit(1);
  // Before it is asked for, since it nearly always is: the parent is busy meanwhile.
  const auto login = login_of(uid);
  for (;;) {
    const auto length = ::recv(3, question.data(), question.size(), 0);
    if (length <= 0) ::_exit(0);
    const auto found = answer_to(login, {question.data(), static_cast<std::size_t>(length)});
    const std::string said = found ? concat("=", *found) : "!";
    if (::send(3, said.data(), said.size(), MSG_NOSIGNAL) < 0) ::_exit(1);
  }
}

}  // namespace

Result<Asker> Asker::start(Uid uid) {
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return fail("SU-NAME", "cannot make a socket to ask for names", errno);
  Fd ours(ends[0]);
  const Fd childs(ends[1]);
  const timeval patience{.tv_sec = kSeconds, .tv_usec = 0};
  const pid_t parent = ::getpid();
  if (::setsockopt(ours.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0)
    return fail("SU-NAME", "cannot bound the wait for names", errno);
  const pid_t child = ::fork();
  if (child < 0) return fail("SU-NAME", "cannot fork to ask for names", errno);
  if (child == 0) serve(uid, childs.get(), parent);
  return Asker(std::move(ours), child);
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

Result<std::optional<std::uint32_t>> Asker::number(const std::string& question,
                                                   std::string_view about) const {
  const auto text = ask(question, about);
  if (!text) return std::unexpected(text.error());
  const auto value = parse_decimal(*text);
  if (!value || *value > kLargestId) return std::nullopt;
  return static_cast<std::uint32_t>(*value);
}

Result<Asker::Login> Asker::login() const {
  const auto text = ask("l", "the caller's login name");
  if (!text) return std::unexpected(text.error());
  std::string_view name = *text;
  const auto group = parse_decimal(take_until(name, ':'));
  if (!group || *group > kLargestId) return Login{};
  const bool is_number = name.find_first_not_of("0123456789") == std::string_view::npos;
  return Login{is_number ? "" : std::string(name), Gid{static_cast<std::uint32_t>(*group)}};
}

Result<std::optional<std::uint32_t>> Asker::group(std::string_view name) const {
  return number(concat("g", name), concat("group ", quoted(name)));
}
Result<std::optional<std::uint32_t>> Asker::user(std::string_view name) const {
  return number(concat("u", name), concat("user ", quoted(name)));
}

Result<bool> Asker::grants_to_other_groups() const {
  const auto text = ask("a", "GRANT_AUX_GROUP_SUBIDS");
  return text ? Result<bool>(*text == "yes") : std::unexpected(text.error());
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
