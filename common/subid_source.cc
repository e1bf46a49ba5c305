#include "common/subid_source.h"

#include <dlfcn.h>
#include <shadow/subid.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <utility>
#include <vector>

#include "common/capability.h"
#include "common/config.h"
#include "common/fd.h"
#include "common/trusted_file.h"
#include "policy/text.h"

namespace userns {
namespace {

constexpr std::string_view kNsswitchPath = "/etc/nsswitch.conf";
constexpr std::size_t kLargestNsswitch = 1UL << 20U;
constexpr std::size_t kChunk = 256UL << 10U;
constexpr std::size_t kMostNssRanges = 1UL << 16U;

Result<SubidRanges> from_file(const char* path, std::string_view name, Uid uid) {
  SubidScanner scanner(name, uid);
  const auto file = open_trusted_file(path);
  if (!file) return std::unexpected(file.error());
  if (*file) {
    std::vector<char> chunk(kChunk);
    while (true) {
      const auto got = read_some(**file, chunk);
      if (!got) return fail("SU-READ", cat("cannot read ", path), got.error().code);
      scanner.feed({chunk.data(), *got});
      if (*got < chunk.size()) break;
    }
    if (auto finished = scanner.finish(); !finished) return std::unexpected(finished.error());
  }
  return SubidRanges{scanner.ranges(), path, scanner.skipped()};
}

// What the child sends: a header, then `count` ranges. Only a whole answer counts.
struct Answer {
  std::uint32_t magic;
  std::int32_t count;
};
constexpr std::uint32_t kMagic = 0x53554249;
struct AnsweredRange {
  std::uint64_t start;
  std::uint64_t count;
};

// In the child: everything below runs without privilege, and only its answer leaves it.
int answer_with_libsubid(IdKind kind, const std::string& owner, const Fd& out) {
  if (!drop_all_but({.required = {}, .wanted = {}}, Uid{::getuid()})) return 1;
  void* const library = ::dlopen(kLibsubidSoname, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return 1;
  const auto find = reinterpret_cast<decltype(&subid_get_uid_ranges)>(
      ::dlsym(library, kind == IdKind::kUid ? "subid_get_uid_ranges" : "subid_get_gid_ranges"));
  if (find == nullptr) return 1;
  subid_range* ranges = nullptr;
  const int count = find(owner.c_str(), &ranges);
  if (count < 0 || (count > 0 && ranges == nullptr)) return 1;
  const Answer answer{kMagic, count};
  if (!write_all(out, {reinterpret_cast<const char*>(&answer), sizeof answer})) return 1;
  for (int i = 0; i < count; ++i) {
    const AnsweredRange range{ranges[i].start, ranges[i].count};
    if (!write_all(out, {reinterpret_cast<const char*>(&range), sizeof range})) return 1;
  }
  return 0;
}

Result<void> take_answer(const Fd& in, OwnedRanges& owned, std::string_view source) {
  const auto broken = [&] {
    return fail("SU-NSS", cat("the ", source, " gave no usable answer: check its module and service"));
  };
  Answer answer{};
  const auto got = read_some(in, {reinterpret_cast<char*>(&answer), sizeof answer});
  if (!got || *got != sizeof answer || answer.magic != kMagic || answer.count < 0) return broken();
  if (static_cast<std::size_t>(answer.count) > kMostNssRanges)
    return fail("SU-MANY", cat("the ", source, " gave more than ", kMostNssRanges, " ranges"));
  for (std::int32_t i = 0; i < answer.count; ++i) {
    AnsweredRange given{};
    const auto more = read_some(in, {reinterpret_cast<char*>(&given), sizeof given});
    if (!more || *more != sizeof given) return broken();
    const auto range = IdRange::make(given.start, given.count);
    if (range && !owned.add(*range, 0)) return fail("SU-MANY", cat("the ", source, " gave too many separate ranges"));
  }
  return {};
}

Result<SubidRanges> from_nss(IdKind kind, std::string_view name, Uid uid, std::string_view source_name) {
  SubidRanges found{.owned = {}, .source = cat("NSS source ", source_name), .skipped = {}};
  auto pipe = make_pipe();
  if (!pipe) return std::unexpected(pipe.error());
  const pid_t child = ::fork();
  if (child < 0) return fail("SU-NSS", cat("cannot ask the ", found.source, ": fork failed"), errno);
  if (child == 0) {
    pipe->read.reset();
    const std::string owner = name.empty() ? cat(uid.value()) : std::string(name);
    ::_exit(answer_with_libsubid(kind, owner, pipe->write));
  }
  pipe->write.reset();
  auto taken = take_answer(pipe->read, found.owned, found.source);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return fail("SU-NSS", cat("lost the process that asks the ", found.source), errno);
  if (!taken) return std::unexpected(taken.error());
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return fail("SU-NSS", cat("asking the ", found.source, " failed: check its module and service"));
  return found;
}

}  // namespace

Result<SubidRanges> find_subids(IdKind kind, std::string_view name, Uid uid) {
  const auto nsswitch = open_trusted_file(kNsswitchPath);
  if (!nsswitch) return std::unexpected(nsswitch.error());
  std::string text;
  if (*nsswitch) {
    auto read = read_all(**nsswitch, kLargestNsswitch);
    if (!read) return fail("SU-READ", cat("cannot read ", kNsswitchPath), read.error().code);
    text = std::move(*read);
  }
  const auto source = nss_subid_source(text);
  if (source == "files") return from_file(kind == IdKind::kUid ? "/etc/subuid" : "/etc/subgid", name, uid);
  return from_nss(kind, name, uid, source);
}

}  // namespace userns
