// userns-names: what NSS says of users, groups and subordinate ids. Answers a helper's questions,
// each a datagram of the socket that is fd 3 (common/asker.h).
//
// Runs as the helper's caller without any privilege, but its word counts: so nobody may look into
// it. The helper starts it only if users cannot read its file, which makes the kernel see to that.
// What it says is text in the form of the files. Source: nss(5), nsswitch.conf(5), ptrace(2).
#include <dlfcn.h>
#include <grp.h>
#include <pwd.h>
#include <shadow/subid.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include "common/config.h"
#include "policy/text.h"

namespace userns {
namespace {

constexpr int kSocket = 3;
constexpr std::size_t kLongestQuestion = 2048;

// Nothing if the question could not be answered.
using Answer = std::optional<std::string>;

// "No such entry" is spelled in all of these ways (getpwnam(3)); any other errno is a failure.
Answer none() {
  return errno == 0 || errno == ENOENT || errno == ESRCH ? Answer("") : std::nullopt;
}

Answer line_of(const passwd* entry) {
  if (entry == nullptr) return none();
  return concat(entry->pw_name, ":x:", entry->pw_uid, ":", entry->pw_gid, ":::");
}

Answer line_of(const group* entry) {
  return entry == nullptr ? none() : concat(entry->gr_name, ":x:", entry->gr_gid, ":");
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

Answer answer_to(std::string_view question) {
  const char kind = question.empty() ? '?' : question.front();
  const std::string key(question.substr(question.empty() ? 0 : 1));
  errno = 0;
  if (kind == 'u') {
    const auto uid = parse_decimal(key);
    return uid ? line_of(::getpwuid(static_cast<uid_t>(*uid))) : std::nullopt;
  }
  if (kind == 'n') return line_of(::getpwnam(key.c_str()));
  if (kind == 'g') return line_of(::getgrnam(key.c_str()));
  return kind == 's' && !key.empty() ? subids_of(key) : std::nullopt;
}

int by_hand() {
  ::dprintf(STDERR_FILENO,
            "userns-names: the helpers start this program, to ask for names; not by hand\n");
  return 2;
}

}  // namespace
}  // namespace userns

int main(int argc, char** argv) {
  using namespace userns;
  if (argc == 2 && std::string_view(argv[1]) == "--version") {
    ::dprintf(STDOUT_FILENO, "userns-names (userns suite) %s\n", kVersion);
    return 0;
  }
  std::array<char, kLongestQuestion> question{};
  for (;;) {
    const auto length = ::recv(kSocket, question.data(), question.size(), 0);
    if (length < 0 && (errno == ENOTSOCK || errno == EBADF)) return by_hand();
    if (length <= 0) return 0;
    const auto found = answer_to({question.data(), static_cast<std::size_t>(length)});
    const std::string said = found ? concat("=", *found) : "!";
    if (::send(kSocket, said.data(), said.size(), MSG_NOSIGNAL) < 0) return 1;
  }
}
