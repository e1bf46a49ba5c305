#include "frontend/store/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <memory>

#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {

Result<Fd> open_own_file(int dir, const char* name) {
  const unsigned long long resolve = dir == AT_FDCWD ? 0 : RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  auto file = open_at(dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, resolve);
  if (!file) return file;
  struct stat facts{};
  if (::fstat(file->get(), &facts) != 0) return fail_errno(concat("cannot look at ", name));
  if (!S_ISREG(facts.st_mode)) return fail({}, concat(name, " is not a regular file"));
  if (facts.st_uid != ::geteuid() && facts.st_uid != 0)
    return fail({}, concat(name, " belongs to uid ", facts.st_uid, ", not to you"));
  return file;
}

Result<std::string> read_file_at(int dir, const char* name, std::size_t limit) {
  const auto file = TRY(open_own_file(dir, name));
  auto text = read_all(file, limit);
  if (!text) return fail({}, concat(name, " ", text.error().text), text.error().code);
  return text;
}

namespace {

// Where a file may not become that long, the write fails, and the process lives to say so.
class NoFileSizeSignal {
 public:
  NoFileSizeSignal() : before_(::signal(SIGXFSZ, SIG_IGN)) {}
  ~NoFileSizeSignal() { (void)::signal(SIGXFSZ, before_); }
  NoFileSizeSignal(const NoFileSizeSignal&) = delete;
  NoFileSizeSignal& operator=(const NoFileSizeSignal&) = delete;

 private:
  sighandler_t before_;
};

Result<void> replace(const Fd& dir, const char* name, std::string_view text, unsigned mode,
                     bool outlives_a_crash) {
  const auto fresh = concat(".", name, ".tmp");
  const NoFileSizeSignal quiet;
  ::unlinkat(dir.get(), fresh.c_str(), 0);  // of a process that was killed
  const auto file = open_at(dir.get(), fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW,
                            RESOLVE_BENEATH, mode);
  if (!file) return fail({}, concat("cannot write ", name), file.error().code);
  Result<void> done = write_all(*file, text);
  if (!done) done = fail({}, concat("cannot write ", name), done.error().code);
  if (done && outlives_a_crash && ::fsync(file->get()) != 0)
    done = fail_errno(concat("cannot write ", name));
  if (done && ::renameat(dir.get(), fresh.c_str(), dir.get(), name) != 0)
    done = fail_errno(concat("cannot write ", name));
  if (!done) ::unlinkat(dir.get(), fresh.c_str(), 0);
  if (done && outlives_a_crash)
    ::fsync(dir.get());  // not every file system can, and the file is whole in any case
  return done;
}

}  // namespace

Result<void> replace_file(const Fd& dir, const char* name, std::string_view text, unsigned mode) {
  return replace(dir, name, text, mode, true);
}

Result<void> replace_file_of_this_boot(const Fd& dir, const char* name, std::string_view text) {
  return replace(dir, name, text, 0600, false);
}

Result<std::vector<std::string>> list_directory(const Fd& dir) {
  auto again = TRY(open_at(dir.get(), ".", O_RDONLY | O_DIRECTORY));
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(again.get()), ::closedir);
  if (!stream) return fail_errno("cannot list the directory");
  (void)again.release();  // the stream's
  std::vector<std::string> names;
  while (const dirent* const entry =
             ::readdir(stream.get())) {  // NOLINT(concurrency-mt-unsafe): a stream of its own
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace userns::frontend
