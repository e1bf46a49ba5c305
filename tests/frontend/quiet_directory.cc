// A name service that answers for who is asked about and lists nobody, as SSSD does by default. Its
// accounts are lines NAME:ID of /etc/quiet-users and /etc/quiet-groups; it is slow if there is
// /etc/quiet-slow. Loaded as libnss_quiet.so.2. Interface: nss(5), glibc's <nss.h>.
#include <grp.h>
#include <nss.h>
#include <pwd.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

// The line of `name` or, if that is null, of `id`.
bool find(const char* path, const char* name, unsigned id, char (&found)[64], unsigned& its_id) {
  if (::access("/etc/quiet-slow", F_OK) == 0) ::usleep(2000);
  FILE* const file = std::fopen(path, "re");
  bool is_found = false;
  while (file != nullptr && !is_found && std::fscanf(file, "%63[^:]:%u ", found, &its_id) == 2)
    is_found = name != nullptr ? std::strcmp(name, found) == 0 : its_id == id;
  if (file != nullptr) std::fclose(file);
  return is_found;
}

nss_status user(const char* name, unsigned id, passwd* out, char* space, std::size_t size) {
  static char empty[] = "";
  char found[64];
  unsigned its_id = 0;
  if (!find("/etc/quiet-users", name, id, found, its_id)) return NSS_STATUS_NOTFOUND;
  std::snprintf(space, size, "%s", found);
  *out = {space, empty, its_id, its_id, empty, empty, empty};
  return NSS_STATUS_SUCCESS;
}

nss_status its_group(const char* name, unsigned id, group* out, char* space, std::size_t size) {
  static char empty[] = "";
  static char* nobody[] = {nullptr};
  char found[64];
  unsigned its_id = 0;
  if (!find("/etc/quiet-groups", name, id, found, its_id)) return NSS_STATUS_NOTFOUND;
  std::snprintf(space, size, "%s", found);
  *out = {space, empty, its_id, nobody};
  return NSS_STATUS_SUCCESS;
}

}  // namespace

// NOLINTBEGIN: the C library's names
extern "C" {
nss_status _nss_quiet_getpwuid_r(uid_t id, passwd* out, char* space, std::size_t size, int*) {
  return user(nullptr, id, out, space, size);
}
nss_status _nss_quiet_getpwnam_r(const char* name, passwd* out, char* space, std::size_t size,
                                 int*) {
  return user(name, 0, out, space, size);
}
nss_status _nss_quiet_getgrgid_r(gid_t id, group* out, char* space, std::size_t size, int*) {
  return its_group(nullptr, id, out, space, size);
}
nss_status _nss_quiet_getgrnam_r(const char* name, group* out, char* space, std::size_t size,
                                 int*) {
  return its_group(name, 0, out, space, size);
}
}
// NOLINTEND
