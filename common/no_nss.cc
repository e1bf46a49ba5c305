// For programs with the C library inside. libaudit has functions that ask NSS for hosts, users and
// groups, and no record of ours needs one (common/audit.cc). These take its place, so that none of
// NSS is linked.
#include <grp.h>
#include <netdb.h>
#include <pwd.h>

extern "C" {
int getaddrinfo(const char* /*host*/, const char* /*service*/, const addrinfo* /*hints*/,
                addrinfo** /*found*/) {
  return EAI_FAIL;
}
void freeaddrinfo(addrinfo* /*found*/) noexcept {}
passwd* getpwnam(const char* /*name*/) { return nullptr; }
group* getgrnam(const char* /*name*/) { return nullptr; }
}
