#include "common/subid_source.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "common/trusted_file.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns {
namespace {

std::string_view path_of(IdKind kind) {
  return kind == IdKind::kUid ? "/etc/subuid" : "/etc/subgid";
}

Result<void> scan(SubidScanner& scanner, const std::optional<Fd>& file, std::string_view path) {
  static std::array<char, 64UL << 10U> chunk;  // pages that a small file never touches cost nothing
  const bool is_there = file && ::lseek(file->get(), 0, SEEK_SET) == 0;
  for (std::size_t got = chunk.size(); is_there && got == chunk.size();) {
    const auto read = read_some(*file, chunk);
    if (!read) return fail("SU-READ", concat("cannot read ", path), read.error().code);
    got = *read;
    scanner.feed({chunk.data(), got});
  }
  return scanner.finish();
}

Result<SubidRanges> ranges_in_module(IdKind kind, std::string_view module, std::string_view name,
                                     Uid uid, const Asker& asker) {
  SubidScanner scanner(name, uid);
  const std::string owner = name.empty() ? concat(uid.value()) : std::string(name);
  const auto lines = TRY(asker.subids(kind, module, owner));
  scanner.feed(lines);
  TRY(scanner.finish());
  return SubidRanges{scanner.ranges(), concat("NSS source ", module), {}};
}

Result<SubidRanges> ranges_in_file(IdKind kind, const Result<std::optional<Fd>>& file,
                                   SubidScanner scanner) {
  if (!file) return std::unexpected(file.error());
  TRY(scan(scanner, *file, path_of(kind)));
  return SubidRanges{scanner.ranges(), std::string(path_of(kind)), scanner.skipped()};
}

}  // namespace

SubidSource SubidSource::open(IdKind kind) {
  SubidSource source;
  source.kind_ = kind;
  source.file_ = open_trusted_file(path_of(kind));
  return source;
}

Result<SubidRanges> SubidSource::read(std::string_view name, Uid uid, const Asker& asker,
                                      std::span<const Extent> wanted) const {
  const auto module = TRY(asker.subid_source());
  if (module != "files") return ranges_in_module(kind_, module, name, uid, asker);
  auto found = ranges_in_file(kind_, file_, SubidScanner(name, uid));
  const auto is_covered = [&](const Extent& extent) {
    return found->owned.covers(extent.outside());
  };
  if (!found || std::ranges::all_of(wanted, is_covered)) return found;
  const auto is_same_user = [&](std::string_view owner) {
    const bool is_name = owner.find_first_not_of("0123456789") != std::string_view::npos;
    return is_name && asker.user(owner).value_or(std::nullopt) == uid.value();
  };
  return ranges_in_file(kind_, file_, SubidScanner(name, uid, wanted, is_same_user));
}

Result<SubidRanges> find_subids(IdKind kind, std::string_view name, Uid uid) {
  const auto nsswitch = TRY(read_trusted_file("/etc/nsswitch.conf", "SU-READ"));
  const std::string module(nss_subid_source(nsswitch));
  if (module == "files")
    return ranges_in_file(kind, open_trusted_file(path_of(kind)), SubidScanner(name, uid));
  auto asker = TRY(Asker::start(Uid{::getuid()}, Asker::Asks::kUsers));
  auto found = ranges_in_module(kind, module, name, uid, asker);
  (void)asker.end();
  return found;
}

}  // namespace userns
