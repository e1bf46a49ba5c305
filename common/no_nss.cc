// For programs with the C library inside. libaudit has functions that ask NSS for hosts, users and
// groups, and no record of ours needs one (common/audit.cc). These take its place, so that none of
// NSS is linked. As other C libraries declare them with other words, their headers are left out.
extern "C" {
int getaddrinfo(const char* /*host*/, const char* /*service*/, const void* /*hints*/,
                void** /*found*/) {
  constexpr int kFailed = -4;  // EAI_FAIL
  return kFailed;
}
void freeaddrinfo(void* /*found*/) {}
void* getpwnam(const char* /*name*/) { return nullptr; }
void* getgrnam(const char* /*name*/) { return nullptr; }
// These since libaudit 4.1.
int getpwnam_r(const char* /*name*/, void* /*entry*/, char* /*text*/, decltype(sizeof 0) /*size*/,
               void** found) {
  *found = nullptr;
  return 0;
}
int getgrnam_r(const char* /*name*/, void* /*entry*/, char* /*text*/, decltype(sizeof 0) /*size*/,
               void** found) {
  *found = nullptr;
  return 0;
}
}
