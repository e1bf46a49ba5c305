#include "frontend/shift/plain_names.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "common/fd.h"

namespace userns::shift {
namespace {

constexpr std::size_t kMostText = std::size_t{256} << 20U;  // of one thread: ten million names
constexpr std::size_t kMostOwners = 255;                    // of one thread: a byte says which
constexpr std::size_t kLongestPath = 4000;                  // PATH_MAX is 4096
constexpr std::size_t kNumber = sizeof(std::uint64_t);

// The place of an owner among those of a part; kMostOwners: there is no room for one more.
std::size_t place_of(std::vector<std::pair<Owner, std::size_t>>& owners, const Owner& owner) {
  const auto found = std::ranges::find(owners, owner, &std::pair<Owner, std::size_t>::first);
  if (found != owners.end() || owners.size() == kMostOwners)
    return found == owners.end() ? kMostOwners : static_cast<std::size_t>(found - owners.begin());
  owners.emplace_back(owner, 0);
  return owners.size() - 1;
}

}  // namespace

void PlainNames::Unmap::operator()(std::byte* memory) const { ::munmap(memory, size); }

PlainNames::Part& PlainNames::part_of_this_thread() {
  const auto self = std::this_thread::get_id();
  for (const auto& part : parts_)
    if (part->thread == self) return *part;
  parts_.push_back(std::make_unique<Part>());
  parts_.back()->thread = self;
  return *parts_.back();
}

void PlainNames::add(const Seen& directory, const std::function<std::string()>& path,
                     const Plain& plain) {
  const std::scoped_lock lock(mutex_);
  auto& part = part_of_this_thread();
  // A directory itself begins its own run.
  const bool begins =
      part.runs.empty() || part.runs.back().directory != directory || plain.name.empty();
  auto where = begins ? path() : std::string{};
  if (where.size() > kLongestPath || part.text.size() > kMostText) return;
  const auto owner = place_of(part.owners, plain.owner);
  if (owner == kMostOwners) return;
  if (begins)
    part.runs.push_back(
        {.path = std::move(where), .directory = directory, .begin = part.text.size()});
  ++part.runs.back().count;
  ++part.owners[owner].second;
  part.text.push_back(static_cast<char>(owner));
  part.text.append(reinterpret_cast<const char*>(&plain.inode), kNumber);
  part.text.append(plain.name);
  part.text.push_back('\0');
}

std::size_t PlainNames::count() const {
  std::size_t all = 0;
  for (const auto& [owner, count] : owners()) all += count;
  return all;
}

std::map<Owner, std::size_t> PlainNames::owners() const {
  std::map<Owner, std::size_t> all;
  for (const auto& part : parts_)
    for (const auto& [owner, count] : part->owners) all[owner] += count;
  return all;
}

Result<void> PlainNames::share() {
  std::size_t next = 0;
  for (const auto& part : parts_)
    for (auto& run : part->runs) {
      run.first_mark = next;
      next += run.count;
    }
  void* const memory =
      ::mmap(nullptr, kHead + next, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return fail_errno("cannot get memory for the inodes of a tree");
  shared_ = {static_cast<std::byte*>(memory), Unmap{kHead + next}};
  return {};
}

std::size_t PlainNames::runs() const {
  std::size_t all = 0;
  for (const auto& part : parts_) all += part->runs.size();
  return all;
}

std::pair<const PlainNames::Part*, const PlainNames::Run*> PlainNames::find(std::size_t run) const {
  for (const auto& part : parts_) {
    if (run < part->runs.size()) return {part.get(), &part->runs[run]};
    run -= part->runs.size();
  }
  return {nullptr, nullptr};
}

const PlainNames::Run& PlainNames::run(std::size_t number) const { return *find(number).second; }

bool PlainNames::each(std::size_t run,
                      const std::function<bool(const Plain&, std::size_t)>& one) const {
  const auto [part, names] = find(run);
  const char* at = part->text.data() + names->begin;
  for (std::size_t i = 0; i < names->count; ++i) {
    Plain plain{.owner = part->owners[static_cast<unsigned char>(*at)].first};
    std::memcpy(&plain.inode, at + 1, kNumber);
    plain.name = at + 1 + kNumber;
    at = plain.name.data() + plain.name.size() + 1;
    if (!one(plain, names->first_mark + i)) return false;
  }
  return true;
}

std::vector<std::uint64_t> PlainNames::changed() const {
  std::vector<std::uint64_t> numbers;
  for (std::size_t i = 0; i < runs(); ++i)
    each(i, [&](const Plain& plain, std::size_t mark) {
      if (marks()[mark].load(std::memory_order_relaxed)) numbers.push_back(plain.inode);
      return true;
    });
  std::ranges::sort(numbers);
  return numbers;
}

}  // namespace userns::shift
