#include "policy/idmap.h"

#include <utility>

#include "policy/text.h"
#include "policy/try.h"

namespace userns {
namespace {

constexpr std::size_t kWordsPerExtent = 3;

Result<Extent> parse_extent(std::span<const std::string_view> words) {
  std::uint64_t numbers[kWordsPerExtent] = {};
  for (std::size_t i = 0; i < kWordsPerExtent; ++i) {
    const auto number = parse_decimal(words[i]);
    if (!number)
      return fail("IM-NUMBER",
                  concat("id or count ", quoted(words[i]), " ", why_not_decimal(words[i])));
    numbers[i] = *number;
  }
  const auto [inside, outside, count] = numbers;
  if (count == 0)
    return fail("IM-BOUNDS", concat("the range ", words[0], " ", words[1],
                                    " 0 has count 0: a range maps at least one id"));
  const auto extent = Extent::make(inside, outside, count);
  if (!extent)
    return fail("IM-BOUNDS", concat("the range ", words[0], " ", words[1], " ", words[2],
                                    " leaves the id space: the largest id is ", kLargestId));
  return *extent;
}

Result<void> check_overlap(std::span<const Extent> extents) {
  for (std::size_t i = 0; i < extents.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) {
      const bool inside = extents[i].inside().overlaps(extents[j].inside());
      if (inside || extents[i].outside().overlaps(extents[j].outside()))
        return fail("IM-OVERLAP", concat("triples ", j + 1, " and ", i + 1, " overlap ",
                                         inside ? "inside" : "outside", " the namespace: ",
                                         to_text(extents[j]), " and ", to_text(extents[i])));
    }
  return {};
}

}  // namespace

Result<IdMap> IdMap::parse(std::span<const std::string_view> words) {
  if (words.empty() || words.size() % kWordsPerExtent != 0)
    return fail("IM-ARGS",
                concat("a map is made of triples INSIDE OUTSIDE COUNT, at least one; got ",
                       words.size(), " numbers"));
  std::vector<Extent> extents;
  for (; !words.empty(); words = words.subspan(kWordsPerExtent)) {
    extents.push_back(TRY(parse_extent(words)));
  }
  return from_extents(std::move(extents));
}

Result<IdMap> IdMap::from_extents(std::vector<Extent> extents) {
  if (extents.empty()) return fail("IM-ARGS", "an empty map maps no id");
  if (extents.size() > kMaxExtents)
    return fail("IM-EXTENTS",
                concat(extents.size(), " triples; the kernel takes at most ", kMaxExtents));
  TRY(check_overlap(extents));
  IdMap map(std::move(extents));
  if (const auto bytes = map.kernel_text().size(); bytes > kMaxMapBytes)
    return fail("IM-EXTENTS", concat("the map is ", bytes,
                                     " bytes of text; the kernel takes at most ", kMaxMapBytes));
  return map;
}

std::string IdMap::kernel_text() const {
  std::string text;
  for (const auto& extent : extents_)
    text +=
        concat(extent.inside().first(), " ", extent.outside().first(), " ", extent.count(), "\n");
  return text;
}

const Extent* IdMap::outside_root() const {
  for (const auto& extent : extents_)
    if (extent.outside().first() == 0) return &extent;
  return nullptr;
}

std::string to_text(IdRange range) { return concat("[", range.first(), "-", range.end(), ")"); }

std::string to_text(Extent extent) {
  return concat(to_text(extent.inside()), " -> ", to_text(extent.outside()));
}

}  // namespace userns
