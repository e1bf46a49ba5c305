// An NSS source for `subid:` that does what /etc/subid-plugin says, for newidmap_nss.py. Loaded as
// libsubid_NAME.so. Interface: shadow's libsubid, "struct subid_nss_ops". As libnss_NAME.so.2 it is
// a source for `passwd:`: it never answers, is down, knows nobody, or everybody in group 1. It
// needs so much address space that a limit of the caller's keeps it from being loaded.
#include <fcntl.h>
#include <pwd.h>
#include <shadow/subid.h>
#include <signal.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

char much[64UL << 20U];  // never touched, so it is no memory

namespace {

void read_mode(char (&mode)[64]) {
  std::memset(mode, 0, sizeof mode);
  const int fd = ::open("/etc/subid-plugin", O_RDONLY | O_CLOEXEC);
  if (fd < 0 || ::read(fd, mode, sizeof mode - 1) < 0) ::abort();
  ::close(fd);
}

subid_range* ranges(int count, unsigned long first, unsigned long each, unsigned long step) {
  auto* const made = static_cast<subid_range*>(
      std::calloc(static_cast<std::size_t>(count) + 1, sizeof(subid_range)));
  for (int i = 0; i < count; ++i) made[i] = {first + step * static_cast<unsigned long>(i), each};
  return made;
}

// Tells the test, through a file that it made for this, what the process that asks may do.
void leave_witness() {
  if (FILE* const out = std::fopen("/mnt/witness", "w")) {
    if (FILE* const in = std::fopen("/proc/self/status", "r")) {
      char line[256];
      while (std::fgets(line, sizeof line, in) != nullptr) std::fputs(line, out);
      std::fclose(in);
    }
    std::fprintf(out, "Dumpable:\t%d\n", ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
    std::fclose(out);
  }
}

}  // namespace

extern "C" {

// NOLINTNEXTLINE: the C library's name
int _nss_x_getpwuid_r(uid_t uid, passwd* entry, char*, std::size_t, int* code) {
  char mode[64];
  read_mode(mode);
  if (std::strncmp(mode, "down", 4) == 0) {
    *code = EIO;
    return -1;
  }
  if (std::strncmp(mode, "unknown", 7) == 0) return 0;
  if (std::strncmp(mode, "knows", 5) == 0) {
    static char name[] = "alice", none[] = "";
    *entry = {name, none, uid, 1, none, none, none};
    return 1;
  }
  if (std::strncmp(mode, "thief", 5) != 0)
    while (true) ::pause();
  leave_witness();
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct set[2] = {};
  set[0].permitted = set[0].effective = 1U << CAP_SETUID;
  const bool stolen = ::setresuid(0, 0, 0) == 0 || ::capset(&header, set) == 0;
  if (FILE* const out = std::fopen("/mnt/witness", "a")) {
    std::fprintf(out, "Stolen:\t%d\n", stolen ? 1 : 0);
    std::fclose(out);
  }
  std::thread([] {
    while (true) ::pause();
  }).detach();
  return -1;  // unavailable: the next source
}

__attribute__((destructor)) void leave() { (void)::getppid(); }

subid_status shadow_subid_has_range(const char*, unsigned long, unsigned long, subid_type,
                                    bool* result) {
  *result = true;  // our helpers must not rely on it
  return SUBID_STATUS_SUCCESS;
}

// Shadow 4.17 takes no source without.
void shadow_subid_free(void* made) { std::free(made); }

subid_status shadow_subid_find_subid_owners(unsigned long, subid_type, uid_t** uids, int* count) {
  *uids = nullptr;
  *count = 0;
  return SUBID_STATUS_SUCCESS;
}

subid_status shadow_subid_list_owner_ranges(const char* owner, subid_type type, subid_range** out,
                                            int* count) {
  char mode[64];
  read_mode(mode);
  const auto is = [&](const char* word) {
    return std::strncmp(mode, word, std::strlen(word)) == 0;
  };
  leave_witness();
  *count = 1;
  *out = ranges(1, type == ID_TYPE_UID ? 400000 : 500000, 10, 0);
  if (is("good"))
    return std::strcmp(owner, "alice") == 0 ? SUBID_STATUS_SUCCESS : SUBID_STATUS_UNKNOWN_USER;
  if (is("blocks")) *out = ranges(*count = 4, type == ID_TYPE_UID ? 400000 : 500000, 65536, 65536);
  if (is("crash")) ::raise(SIGSEGV);
  if (is("exit0")) ::_exit(0);
  if (is("exit1")) std::exit(0);
  if (is("hang"))
    while (true) ::pause();
  if (is("closing")) {
    // Closes all fds, and says nothing.
    for (int fd = 0; fd < 64; ++fd) ::close(fd);
    ::_exit(0);
  }
  if (is("shouting")) {
    // Writes a line in the helper's own format, for anybody's range, to whatever is open, and
    // fails.
    const char line[] = "alice:1:4000000000\n";
    for (int fd = 3; fd < 64; ++fd)
      if (::write(fd, line, sizeof line - 1) < 0) continue;
    return SUBID_STATUS_ERROR;
  }
  if (is("error")) return SUBID_STATUS_ERROR;
  if (is("unreachable")) return SUBID_STATUS_ERROR_CONN;
  if (is("none")) *count = 0;
  if (is("negative")) *count = -1;
  if (is("null")) *out = nullptr;
  if (is("overflow")) *out = ranges(1, 4294967295UL, 10, 0);
  if (is("wrapping")) *out = ranges(1, 400000, ~0UL - 5, 0);
  if (is("empty")) *out = ranges(1, 400000, 0, 0);
  if (is("everything")) *out = ranges(1, 0, 4294967295UL, 0);
  if (is("many")) *out = ranges(*count = 5000, 400000, 5, 10);
  return SUBID_STATUS_SUCCESS;
}
}
