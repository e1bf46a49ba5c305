#include "frontend/copy/size.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "frontend/rootfs/archive/work_limits.h"
#include "frontend/start/ids/callers_ids.h"
#include "frontend/start/ids/in_map.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

using Directory = std::unique_ptr<DIR, int (*)(DIR*)>;

constexpr std::uint64_t kBlock = 512;  // stat(2): of st_blocks
// A longer path is not opened at once: it begins anew from a directory half way.
constexpr std::size_t kLongestStep = 2048;
// A container of a stranger's making may have more; it is not walked for ever.
constexpr std::uint64_t kMostEntries = 100'000'000;
constexpr std::size_t kMostLinked = 4'000'000;

class Measure {
 public:
  explicit Measure(const Fd& top) : top_(top) {}

  Result<std::uint64_t> all() {
    struct stat facts{};
    if (::fstat(top_.get(), &facts) != 0) return fail_errno("cannot look at its directory");
    bytes_ = static_cast<std::uint64_t>(facts.st_blocks) * kBlock;
    pending_.push_back({nullptr, "."});
    while (!pending_.empty()) {
      const auto next = std::move(pending_.back());
      pending_.pop_back();
      TRY(look_into(next));
    }
    return bytes_;
  }

 private:
  // A directory by its path from another one, which is open; null: from the top.
  struct Place {
    std::shared_ptr<const Fd> from;
    std::string path;
  };

  Result<void> look_into(const Place& place) {
    auto opened = open_at(place.from ? place.from->get() : top_.get(), place.path.c_str(),
                          O_RDONLY | O_DIRECTORY | O_NOFOLLOW,
                          RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
    // It was removed or replaced, or something is mounted there.
    const int code = opened ? 0 : opened.error().code;
    if (code == ENOENT || code == ENOTDIR || code == EXDEV || code == ELOOP) return {};
    if (!opened)
      return fail({}, concat("cannot look into ", quoted(place.path)), opened.error().code);
    auto base = place;
    if (place.path.size() > kLongestStep) {
      Fd again(::fcntl(opened->get(), F_DUPFD_CLOEXEC, 0));
      if (!again.valid()) return fail_errno("cannot keep a deep directory open");
      base = {std::make_shared<const Fd>(std::move(again)), "."};
    }
    const Directory entries(::fdopendir(opened->get()), ::closedir);
    if (!entries) return fail_errno("cannot read a directory");
    (void)opened->release();
    while (const dirent* const entry = ::readdir(entries.get())) {  // NOLINT(concurrency-mt-unsafe)
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") TRY(add(::dirfd(entries.get()), name, base));
    }
    return {};
  }

  Result<void> add(int directory, std::string_view name, const Place& base) {
    struct stat facts{};
    const std::string word(name);
    if (::fstatat(directory, word.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) return {};
      return fail_errno(concat("cannot look at ", quoted(name)));
    }
    if (++entries_ > kMostEntries) return fail({}, "it has too many files to be counted", E2BIG);
    const bool is_directory = S_ISDIR(facts.st_mode);
    if (!is_directory && facts.st_nlink > 1) {
      if (!linked_.emplace(facts.st_dev, facts.st_ino).second) return {};
      if (linked_.size() > kMostLinked)
        return fail({}, "it has too many hard links to be counted", E2BIG);
    }
    if (is_directory) pending_.push_back({base.from, concat(base.path, "/", name)});
    bytes_ += static_cast<std::uint64_t>(facts.st_blocks) * kBlock;
    return {};
  }

  const Fd& top_;
  std::uint64_t bytes_ = 0;
  std::uint64_t entries_ = 0;
  std::vector<Place> pending_;
  std::set<std::pair<dev_t, ino_t>> linked_;
};

}  // namespace

Result<std::uint64_t> size_below(const Fd& top) {
  Measure measure(top);
  return measure.all();
}

Result<std::uint64_t> own_size_of(const Container& container) {
  const auto spec = TRY(container.spec());
  const auto ids = TRY(find_ids(spec));
  const auto all = TRY(ids_with_self(ids, ::geteuid(), ::getegid()));
  const auto said = in_map(all.ids, [&](const Outside&) -> Result<std::string> {
    TRY(bound_the_work());
    const auto bytes = TRY(size_below(container.dir()));
    return concat(bytes);
  });
  if (!said)
    return fail({}, concat("the size of ", container.name(), " is not known: ", said.error().text),
                said.error().code);
  const auto bytes = parse_decimal(*said);
  return bytes ? Result<std::uint64_t>(*bytes) : fail({}, "the walk has ended without a size");
}

}  // namespace userns::frontend
