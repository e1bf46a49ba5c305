#include "frontend/rootfs/archive/blobs.h"

#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "frontend/rootfs/archive/image_json.h"
#include "frontend/rootfs/archive/path_names.h"
#include "frontend/rootfs/archive/tar_reader.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kMostMembers = 100'000;
constexpr int kMostLinks = 8;
constexpr std::size_t kPiece = 1UL << 20U;

// A file from an offset on that is its own: others may read it, too.
class RangeSource : public Source {
 public:
  RangeSource(const Fd& file, std::uint64_t offset)
      : file_(file), offset_(offset), buffer_(kPiece) {}
  Result<std::string_view> read() override {
    ssize_t got = -1;
    while ((got = ::pread(file_.get(), buffer_.data(), buffer_.size(),
                          static_cast<off_t>(offset_))) < 0)
      if (errno != EINTR) return fail_errno("cannot read the archive");
    offset_ += static_cast<std::uint64_t>(got);
    return std::string_view(buffer_.data(), static_cast<std::size_t>(got));
  }
  std::uint64_t skip(std::uint64_t count) override {
    offset_ += count;
    return count;
  }

 private:
  const Fd& file_;
  std::uint64_t offset_;
  std::vector<char> buffer_;
};

// The data of the first entry of a tar.
class MemberSource : public Source {
 public:
  static Result<std::unique_ptr<Source>> open(const Fd& file, std::uint64_t offset) {
    auto member = std::unique_ptr<MemberSource>(new MemberSource(file, offset));
    auto reader = TRY(TarReader::open(member->range_));
    member->reader_.emplace(std::move(reader));
    (void)TRY(member->reader_->next());
    return member;
  }
  Result<std::string_view> read() override {
    while (true) {
      auto piece = TRY(reader_->data());
      if (!piece) return std::string_view{};
      if (piece->offset != offset_) return fail({}, "the image is damaged: a part of it has holes");
      offset_ += piece->data.size();
      if (!piece->data.empty()) return piece->data;
    }
  }

 private:
  MemberSource(const Fd& file, std::uint64_t offset) : range_(file, offset) {}
  RangeSource range_;
  std::optional<TarReader> reader_;
  std::uint64_t offset_ = 0;
};

class OwnedFileSource : public Source {
 public:
  explicit OwnedFileSource(Fd file) : file_(std::move(file)), source_(file_) {}
  Result<std::string_view> read() override { return source_.read(); }
  std::uint64_t skip(std::uint64_t count) override { return source_.skip(count); }

 private:
  Fd file_;
  FileSource source_;
};

}  // namespace

std::string link_target(std::string_view from, std::string_view target) {
  std::vector<std::string_view> names;
  const auto take = [&](std::string_view path) {
    while (!path.empty()) {
      const auto name = take_until(path, '/');
      if (name.empty() || name == ".") continue;
      if (name != "..")
        names.push_back(name);
      else if (names.empty())
        return false;
      else
        names.pop_back();
    }
    return true;
  };
  const auto slash = from.rfind('/');
  if (!target.starts_with('/') && slash != std::string_view::npos && !take(from.substr(0, slash)))
    return {};
  return take(target) ? joined(names) : std::string{};
}

Result<std::string> Blobs::text(const std::string& name) {
  auto source = TRY(open(name));
  std::string text;
  while (true) {
    const auto piece = TRY(source->read());
    if (piece.empty()) return text;
    text += piece;
    if (text.size() > kLargestJson)
      return fail({},
                  concat(quoted(name), " in the image is larger than ", kLargestJson, " bytes"));
  }
}

Result<std::unique_ptr<TarBlobs>> TarBlobs::open(const Fd& file, std::uint64_t start) {
  auto blobs = std::unique_ptr<TarBlobs>(new TarBlobs(file));
  RangeSource source(file, start);
  auto reader = TRY(TarReader::open(source));
  while (true) {
    const auto entry = TRY(reader.next());
    if (entry == nullptr) return blobs;
    const auto names = TRY(path_names(path_of(entry)));
    Member member{.offset = start + reader.entry_offset()};
    const auto name = joined(names);
    if (const char* const hard = ::archive_entry_hardlink(entry))
      member.link = link_target("", hard);
    else if (const char* const soft = ::archive_entry_symlink(entry))
      member.link = link_target(name, soft);
    else if (::archive_entry_filetype(entry) != AE_IFREG)
      continue;
    blobs->members_[name] = std::move(member);
    if (blobs->members_.size() > kMostMembers)
      return fail({}, concat("the image has more than ", kMostMembers, " parts"));
  }
}

const TarBlobs::Member* TarBlobs::find(const std::string& name) const {
  auto found = members_.find(name);
  for (int hops = 0; hops < kMostLinks && found != members_.end(); ++hops) {
    if (found->second.link.empty()) return &found->second;
    found = members_.find(found->second.link);
  }
  return nullptr;
}

Result<std::unique_ptr<Source>> TarBlobs::open(const std::string& name) {
  const auto* const member = find(name);
  if (member == nullptr)
    return fail({}, concat("the image is incomplete: it has no ", quoted(name)));
  return MemberSource::open(file_, member->offset);
}

Result<std::unique_ptr<Source>> DirectoryBlobs::open(const std::string& name) {
  auto file = opener_(name);
  if (!file)
    return fail({}, concat("the image is incomplete: cannot open ", quoted(name), " in it"),
                file.error().code);
  return std::make_unique<OwnedFileSource>(std::move(*file));
}

}  // namespace userns::frontend
