// getsubids(1): which subordinate ids a user has. Same words and output as shadow's, whose package
// ours can replace.
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/caller.h"
#include "common/fd.h"
#include "common/report.h"
#include "common/subid_source.h"
#include "policy/text.h"

namespace {

using namespace userns;

struct Asked {
  std::string_view who;
  IdKind kind = IdKind::kUid;
};

Result<Asked> parse(std::span<const std::string_view> words) {
  const bool groups = !words.empty() && words.front() == "-g";
  if (groups) words = words.subspan(1);
  if (words.size() != 1 || words.front().starts_with('-'))
    return fail({}, "usage: getsubids [-g] USER");
  return Asked{words.front(), groups ? IdKind::kGid : IdKind::kUid};
}

std::optional<Uid> uid_of(std::string_view who) {
  if (const passwd* const entry = ::getpwnam(std::string(who).c_str())) return Uid{entry->pw_uid};
  const auto number = parse_decimal(who);
  return number && *number <= kLargestId ? std::optional(Uid{static_cast<std::uint32_t>(*number)})
                                         : std::nullopt;
}

Result<std::string> ranges_of(const Asked& asked) {
  const auto uid = uid_of(asked.who);
  if (!uid) return fail({}, concat("there is no user ", quoted(asked.who)));
  const auto name = login_name(*uid);
  const auto found = name ? find_subids(asked.kind, *name, *uid) : std::unexpected(name.error());
  if (!found) return std::unexpected(found.error());
  std::string text;
  for (std::size_t number = 0; const auto& range : found->owned.ranges())
    text += concat(number++, ": ", asked.who, " ", range.first(), " ", range.count(), "\n");
  if (text.empty())
    return fail({}, concat(asked.who, " has no subordinate ids in ", found->source));
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string_view> words(argv + std::min(argc, 1), argv + argc);
  const auto asked = parse(words);
  const auto text = asked ? ranges_of(*asked) : std::unexpected(asked.error());
  const auto done =
      text ? write_all(Fd(::dup(STDOUT_FILENO)), *text) : std::unexpected(text.error());
  if (done) return 0;
  report("getsubids", done.error());
  return 1;
}
