#include "frontend/policy_tool/check/login_defs.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "policy/id_range.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::string_view kBlanks = " \t\r";

std::string_view skip(std::string_view text, std::string_view what) {
  return text.substr(std::min(text.find_first_not_of(what), text.size()));
}

struct Entry {
  TextLine line;
  std::string_view value;  // a view into the line; may be empty
};

struct Reader {
  std::string_view path;
  std::vector<TextLine> lines;
  std::vector<Finding>& found;

  [[nodiscard]] std::optional<Entry> last(std::string_view key) const {
    for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
      auto rest = skip(line->text, kBlanks);
      if (!rest.starts_with(key)) continue;
      rest.remove_prefix(key.size());
      if (!rest.empty() && !kBlanks.contains(rest.front())) continue;
      rest = skip(rest, kBlanks);
      return Entry{*line, rest.substr(0, rest.find_first_of(" \t\r#"))};
    }
    return std::nullopt;
  }

  // Ids to delegate that begin among those of accounts: useradd looks at subuid alone.
  void must_leave_accounts(const std::string& least, const std::string& most,
                           const LoginDefs& defs) {
    const auto entry = last(least);
    if (!entry || defs.sub_least > defs.most) return;
    say(Severity::kWarning, *entry,
        concat(least, " ", defs.sub_least, " is not above ", most, " ", defs.most),
        "useradd then delegates ids of accounts, and root in a container becomes these users",
        concat("write ", least, " ", std::max<std::uint64_t>(100000, defs.most + 1)));
  }

  [[nodiscard]] bool says_yes(std::string_view key) const {
    const auto entry = last(key);
    const auto same = [](char a, char b) { return (a | 0x20) == b; };
    return entry && std::ranges::equal(entry->value, std::string_view("yes"), same);
  }

  void say(Severity severity, const Entry& entry, std::string what, std::string why,
           std::string fix) {
    auto& f = found.emplace_back(finding_at(severity, "login-defs", entry.line, entry.value));
    f.what = std::move(what);
    f.why = std::move(why);
    f.fix = std::move(fix);
  }

  // The number of a key where it is one that an id can be.
  void take(const std::string& key, std::uint64_t& where, Severity severity,
            std::string_view user) {
    const auto entry = last(key);
    const auto number = entry ? parse_decimal(entry->value) : std::nullopt;
    if (!entry) return;
    if (number && *number <= kLargestId) {
      where = *number;
      return;
    }
    say(severity, *entry,
        concat(key, " ", entry->value.empty() ? "" : concat(quoted(entry->value), " "),
               number ? concat("is beyond the largest id, ", kLargestId)
                      : why_not_decimal(entry->value)),
        concat("the standard, ", where, ", stands in for it, ", user),
        concat("write ", key, " ", where, ", or what is meant"));
  }

  void must_be_a_range(const std::string& least, std::uint64_t& first, const std::string& most,
                       std::uint64_t& last_one, const LoginDefs& standard, bool sub) {
    if (first <= last_one) return;
    const auto low = last(least), high = last(most);
    say(Severity::kError, high ? *high : *low,
        concat(least, " ", first, " is above ", most, " ", last_one),
        concat("no id is in that range; the standard, ", sub ? standard.sub_least : standard.least,
               " to ", sub ? standard.sub_most : standard.most,
               ", stands in for it, and grant refuses to guess"),
        concat("make ", least, " the smaller one"));
    first = sub ? standard.sub_least : standard.least;
    last_one = sub ? standard.sub_most : standard.most;
  }
};

constexpr std::string_view kGrant = "and grant refuses to guess";
constexpr std::string_view kUseradd =
    "so useradd may give new users another number of ids than was meant";

}  // namespace

LoginDefs read_login_defs(std::string_view path, std::string_view text, std::string_view letter,
                          std::vector<Finding>& found) {
  LoginDefs standard;
  LoginDefs defs;
  Reader reader{path, lines_of(text, path), found};
  const auto key = [&](std::string_view prefix, std::string_view suffix) {
    return concat(prefix, letter, suffix);
  };
  defs.deterministic = reader.says_yes(key("SUB_", "ID_DETERMINISTIC"));
  defs.wraps = reader.says_yes(key("UNSAFE_SUB_", "ID_DETERMINISTIC_WRAP"));
  if (defs.deterministic) standard.sub_least = 65536, standard.sub_most = kLargestId;
  defs.sub_least = standard.sub_least, defs.sub_most = standard.sub_most;
  reader.take(key("", "ID_MIN"), defs.least, Severity::kError, kGrant);
  reader.take(key("", "ID_MAX"), defs.most, Severity::kError, kGrant);
  reader.take(key("SUB_", "ID_MIN"), defs.sub_least, Severity::kError, kGrant);
  reader.take(key("SUB_", "ID_MAX"), defs.sub_most, Severity::kError, kGrant);
  reader.take(key("SUB_", "ID_COUNT"), defs.count, Severity::kWarning, kUseradd);
  reader.must_be_a_range(key("", "ID_MIN"), defs.least, key("", "ID_MAX"), defs.most, standard,
                         false);
  reader.must_be_a_range(key("SUB_", "ID_MIN"), defs.sub_least, key("SUB_", "ID_MAX"),
                         defs.sub_most, standard, true);
  reader.must_leave_accounts(key("SUB_", "ID_MIN"), key("", "ID_MAX"), defs);
  if (const auto entry = reader.last(key("SUB_", "ID_COUNT")); entry && defs.count == 0)
    reader.say(Severity::kWarning, *entry, concat(key("SUB_", "ID_COUNT"), " is 0"),
               "useradd gives new users no ids",
               "write 65536, if new users are to have containers");
  if (const auto entry = reader.last(key("SUB_", "ID_COUNT"));
      entry && defs.count > defs.sub_most - defs.sub_least + 1)
    reader.say(Severity::kWarning, *entry,
               concat(key("SUB_", "ID_COUNT"), " ", defs.count, " is more than there are from ",
                      defs.sub_least, " to ", defs.sub_most),
               "useradd gives new users none", "make it smaller, or the range larger");
  return defs;
}

std::optional<IdRange> deterministic_block(const LoginDefs& defs, std::uint64_t uid_least,
                                           std::uint64_t uid) {
  if (uid < uid_least || defs.count == 0) return std::nullopt;
  const auto blocks = (defs.sub_most - defs.sub_least + 1) / defs.count;
  if (uid - uid_least >= blocks) return std::nullopt;
  return IdRange::make(defs.sub_least + (uid - uid_least) * defs.count, defs.count);
}

}  // namespace userns::frontend
