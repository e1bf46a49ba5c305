// Only in a build with -Db_coverage: what children run is counted, too, however they end: without
// privilege, below a filter, by a signal. The counters lie in one place (shared_counters.ld), which
// is mapped before any child is made so that all have the same memory; the parent writes it out
// when it ends.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

extern "C" {

extern char shared_counters_begin[], shared_counters_end[];

// gcc has each exec of a counted program write its counters first, which such a child cannot, and
// then forget them.
int __gcov_execvp(const char* file, char* const* argv) {
  int (*const volatile real)(const char*, char* const*) = ::execvp;
  return real(file, argv);
}

[[gnu::constructor(101)]] static void share_counters() {
  const auto size = static_cast<std::size_t>(shared_counters_end - shared_counters_begin);
  if (size == 0 || ::mmap(shared_counters_begin, size, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
    ::abort();
}
}
