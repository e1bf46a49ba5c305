// userns-names: what NSS says of users, groups and subordinate ids. Answers a helper's questions,
// each a datagram of the socket that is fd 3 (common/asker.h).
//
// Runs as the helper's caller without any privilege, but its word counts: so nobody may look into
// it. The helper starts it only if users cannot read its file, which makes the kernel see to that.
// What it says is text in the form of the files. Source: nss(5), nsswitch.conf(5), ptrace(2).
#include <dlfcn.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <shadow/subid.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "common/config.h"
#include "policy/names.h"
#include "policy/text.h"

namespace userns {
namespace {

constexpr int kSocket = 3;
constexpr std::size_t kLongestQuestion = 2048;
constexpr std::string_view kBetweenSources = " \t\r\f\v[]";

// Nothing if the question could not be answered.
using Answer = std::optional<std::string>;

// "No such entry" is spelled in all of these ways (getpwnam(3)); any other errno is a failure.
bool means_none(int code) { return code == 0 || code == ENOENT || code == ESRCH; }

// All of nsswitch.conf; empty: there is none. Nothing if it cannot be read whole.
std::optional<std::string_view> nsswitch() {
  static std::array<char, 64UL << 10U> text;
  const int file = ::open("/etc/nsswitch.conf", O_RDONLY | O_CLOEXEC);
  if (file < 0) return errno == ENOENT ? std::optional<std::string_view>("") : std::nullopt;
  std::size_t have = 0;
  ssize_t got = 1;
  for (; got > 0 && have < text.size(); have += static_cast<std::size_t>(got > 0 ? got : 0))
    got = ::read(file, text.data() + have, text.size() - have);
  ::close(file);
  return got == 0 ? std::optional(std::string_view(text.data(), have)) : std::nullopt;
}

// Asks one source by itself, as nss(5) names its functions. One that is not installed has no entry.
template <class Entry, class Key>
bool has_none(std::string_view source, std::string_view function, Key key) {
  static std::array<char, 1UL << 20U> room;
  constexpr int kNotFound = 0, kFound = 1;  // enum nss_status
  void* const module = ::dlopen(concat("libnss_", source, ".so.2").c_str(), RTLD_NOW);
  if (module == nullptr && std::strstr(::dlerror(), "No such file") == nullptr) return false;
  // The C library itself has "files", in some versions.
  const auto ask = reinterpret_cast<int (*)(Key, Entry*, char*, std::size_t, int*)>(
      ::dlsym(module == nullptr ? RTLD_DEFAULT : module,
              concat("_nss_", source, "_", function, "_r").c_str()));
  Entry entry{};
  errno = 0;
  const int status =
      ask == nullptr ? kNotFound : ask(key, &entry, room.data(), room.size(), &errno);
  return status == kNotFound || (status != kFound && means_none(errno));
}

// The C library's "no such entry" is the last source's word: it passes over one that is down, or
// cannot be loaded, which the caller can bring about by limits, also of this process (prlimit(2)).
template <class Entry, class Key>
Answer none(std::string_view database, std::string_view function, Key key) {
  if (!means_none(errno)) return std::nullopt;
  const auto text = nsswitch();
  if (!text) return std::nullopt;
  std::string_view rest = *text;
  for (auto words = nss_words(rest, database); !words.empty(); words = nss_words(rest, database)) {
    rest.remove_prefix(static_cast<std::size_t>(words.data() - rest.data()) + words.size());
    while (!words.empty()) {
      const auto source = words.substr(0, words.find_first_of(kBetweenSources));
      words.remove_prefix(std::min(source.size() + 1, words.size()));
      const bool is_one = !source.empty() && !source.contains('=');  // not of "[NOTFOUND=return]"
      if (is_one && !has_none<Entry>(source, function, key)) return std::nullopt;
    }
  }
  return "";
}

std::string line_of(const passwd& entry) {
  return concat(entry.pw_name, ":x:", entry.pw_uid, ":", entry.pw_gid, ":::");
}

std::string line_of(const group& entry) { return concat(entry.gr_name, ":x:", entry.gr_gid, ":"); }

template <class Entry, class Key>
Answer ask(Entry* (*function)(Key), std::string_view database, std::string_view name, Key key) {
  errno = 0;
  const auto* const entry = function(key);
  return entry == nullptr ? none<Entry>(database, name, key) : line_of(*entry);
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
  if (kind == 'u') {
    const auto uid = parse_decimal(key);
    return uid ? ask(::getpwuid, "passwd", "getpwuid", static_cast<uid_t>(*uid)) : std::nullopt;
  }
  if (kind == 'n') return ask(::getpwnam, "passwd", "getpwnam", key.c_str());
  if (kind == 'g') return ask(::getgrnam, "group", "getgrnam", key.c_str());
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
