#include "frontend/cli/files/copy.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "frontend/cli/terminal.h"
#include "frontend/cli/verbs/select.h"
#include "frontend/copy/copy_files.h"
#include "frontend/spec/tell.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

using Owner = std::pair<std::uint32_t, std::uint32_t>;

// "33:33", "33".
Result<Owner> parse_owner(std::string_view text) {
  std::string_view rest = text;
  const auto user = take_until(rest, ':');
  const auto uid = parse_decimal(user);
  const auto gid = text.find(':') == std::string_view::npos ? uid : parse_decimal(rest);
  if (!uid || !gid || *uid > kLargestId || *gid > kLargestId)
    return fail({},
                concat("--owner is UID or UID:GID, numbers of the container, not ", quoted(text)));
  return Owner{static_cast<std::uint32_t>(*uid), static_cast<std::uint32_t>(*gid)};
}

Result<CopyWish> wish_of(const Words& words) {
  if (words.names.size() != 2)
    return fail({}, "cp takes two places: userns-run cp FILE NAME:PATH, or NAME:PATH FILE");
  auto from = parse_place(words.names.front());
  auto to = TRY(from ? parse_place(words.names.back()) : std::unexpected(from.error()));
  CopyWish wish{.from = std::move(*from), .to = std::move(to), .owner = {}};
  if (!wish.from.container && !wish.from.is_stream) wish.owner.emplace(0, 0);
  const auto text = words.one("owner");
  if (!text) return wish;
  if (!wish.to.container)
    return fail({}, "--owner is for files that go into a container; on the host they are yours");
  const auto owner = TRY(parse_owner(*text));
  wish.owner = owner;
  return wish;
}

int copy_verb(const Words& words) {
  const auto wish = wish_of(words);
  const auto store = wish ? store_of(words) : std::unexpected(wish.error());
  const auto copied = store ? copy_files(*store, *wish) : std::unexpected(store.error());
  if (!copied) return own_failure(copied.error());
  if (copied->devices > 0)
    tell("userns-run", {.rule = {},
                        .code = 0,
                        .text = concat("left out ", copied->devices, " devices and sockets")});
  return 0;
}

constexpr std::array kCopyOptions{
    VerbOption{"owner", "UID[:GID]", "whose they are in the container (root, or as they were)",
               false},
    kPathOption};

}  // namespace

constinit const Verb kCopyVerb{
    .name = "cp",
    .arguments = "[NAME:]PATH|- [NAME:]PATH|-",
    .summary = "Copies files into a container, out of it, or between two",
    .options = kCopyOptions,
    .run = copy_verb,
    .kind = VerbKind::kInside};

}  // namespace userns::frontend
