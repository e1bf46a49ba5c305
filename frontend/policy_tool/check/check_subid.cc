#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "frontend/policy_tool/check/checks.h"
#include "frontend/spec/shell_words.h"
#include "policy/idmap.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::uint64_t kDistro = 65536;  // ids that a distribution's own root file system needs
constexpr std::uint64_t kSignedEnd = 1ULL << 31U;  // from here on an id is negative to some
constexpr std::size_t kLongestLine = 1023;         // of shadow's reader and ours
constexpr std::size_t kMostAsked = 2000;           // lines that a directory is asked about

// Where in a line the parser's error is, and of which kind.
struct Fault {
  std::string_view part, id = "malformed";
};

std::string_view id_of_number(std::string_view number) {
  if (number.starts_with("0x") || number.starts_with("0X")) return "hex";
  const bool is_octal = number.size() > 1 && number[0] == '0' &&
                        number.find_first_not_of("01234567") == std::string_view::npos;
  return is_octal ? "octal" : "malformed";
}

Fault fault_of(std::string_view line, std::string_view error) {
  if (line.ends_with('\r')) return {line.substr(line.size() - 1), "crlf"};
  auto rest = line;
  const auto owner = take_until(rest, ':'), start = take_until(rest, ':');
  if (error == "has count 0") return {rest, "count-zero"};
  if (error.starts_with("has start ")) return {start, id_of_number(start)};
  if (error.starts_with("has count ")) return {rest, id_of_number(rest)};
  return {error.starts_with("leaves") ? start : owner};
}

Finding malformed(std::string_view path, const TextLine& line, const Error& error,
                  std::string_view program) {
  const auto fault = fault_of(line.text, error.text);
  auto finding = finding_at(Severity::kError, fault.id, line, fault.part);
  finding.what = concat("the line ", error.text);
  finding.why = concat("the line gives nothing: ", program, " passes it over");
  finding.fix = "write it as OWNER:START:COUNT, or remove it";
  if (fault.id == "crlf") {
    finding.what = "the line ends as in DOS, with a carriage return";
    finding.fix = concat("take the carriage returns away: sed -i 's/\\r$//' ", path);
  } else if (fault.id == "hex" || fault.id == "octal") {
    finding.why = concat(program, " passes the line over; shadow's own takes the number as ",
                         fault.id == "hex" ? "hexadecimal" : "octal",
                         ", so that two programs disagree on whose ids these are");
    finding.fix = "write the number in decimal";
  }
  return finding;
}

std::string grant_command(std::string_view owner, std::uint64_t count) {
  const std::vector<std::string> words{"userns-policy", "grant", std::string(owner), "--ids",
                                       concat(count)};
  return join_words(words);
}

struct Checker : Reporter {
  const PolicyText& file;
  const HostFacts& facts;
  IdKind kind = file.kind == PolicyFile::kSubuid ? IdKind::kUid : IdKind::kGid;
  const IdFacts& ids = kind == IdKind::kUid ? facts.uids : facts.gids;
  std::string_view id_word = kind == IdKind::kUid ? "uid" : "gid";
  mutable std::map<std::string, std::string, std::less<>> keys = {};  // owner: who that is
  mutable std::size_t asked = 0;
  std::string_view account_word = kind == IdKind::kUid ? "user" : "group";

  static std::string_view numbers(const SubidEntry& entry) {
    return entry.line.text.substr(entry.parsed.owner.size() + 1);
  }

  // By a directory that does not list it: its name where it is asked for the ends of a range. Not
  // of more than kMostAsked lines, since each question may go over a network.
  [[nodiscard]] std::optional<Account> unlisted_in(IdRange range) const {
    if (facts.quiet.empty() || asked > kMostAsked) return std::nullopt;
    ++asked;
    for (const auto id : {range.first(), range.end() - 1})
      if (auto account = facts.ask_id(kind, static_cast<std::uint32_t>(id))) return account;
    return std::nullopt;
  }

  // One finding for the first account that is in the range.
  void check_real(const SubidEntry& entry) const {
    const auto range = entry.parsed.range;
    const auto first = std::ranges::lower_bound(
        ids.taken, range.first(), {}, [](const Account& a) { return std::uint64_t{a.id}; });
    const auto end = std::ranges::lower_bound(ids.taken, range.end(), {},
                                              [](const Account& a) { return std::uint64_t{a.id}; });
    if (first != end)
      say_real(entry, *first, static_cast<std::size_t>(end - first));
    else if (const auto account = unlisted_in(range))
      say_real(entry, *account, 1);
  }

  // Who has the id: an account, or who owns a home, if nobody has a name for them.
  [[nodiscard]] std::string account_text(const Account& account) const {
    return account.name.starts_with('/') ? concat("whose home is ", quoted(account.name))
                                         : concat("the ", account_word, " ", quoted(account.name));
  }

  void say_real(const SubidEntry& entry, const Account& first, std::size_t many) const {
    const auto range = entry.parsed.range;
    say(Severity::kError, kind == IdKind::kUid ? "real-user" : "real-group", entry, numbers(entry),
        concat(to_text(range), " holds ", id_word, " ", first.id, ", ", account_text(first),
               many > 1 ? concat(" and ", many - 1, " more") : ""),
        concat("root in a container of ", quoted(entry.parsed.owner), " can become that ",
               account_word, ", and read and write its files"),
        "move the range to where no account is: userns-policy grant finds one");
  }

  void check_reserved(const SubidEntry& entry) const {
    const auto range = entry.parsed.range;
    if (range.first() == 0)
      say(Severity::kError, "id-zero", entry, numbers(entry),
          concat("the range starts with id 0, the host's root"),
          concat("our helpers refuse that id; one that does not makes ", quoted(entry.parsed.owner),
                 " root on the host"),
          "start it above all real ids");
    for (const auto& reserved : ids.reserved)
      if (reserved.range.overlaps(range) && !(range.first() == 0 && range.count() == 1))
        say(reserved.severity, reserved.id, entry, numbers(entry),
            concat(to_text(range), " reaches into ", to_text(reserved.range), ", ", reserved.whose),
            "the same ids would be two parties'", concat("take ids from ", ids.delegable_name));
    if (range.end() > kSignedEnd)
      say(Severity::kWarning, "signed", entry, numbers(entry),
          concat(to_text(range), " goes beyond 2^31"),
          "some file systems and programs take such ids as negative numbers",
          concat("take ids from ", ids.delegable_name));
    else if (!ids.delegable.contains(range) && !ids.reserved.empty() &&
             std::ranges::none_of(ids.reserved,
                                  [&](const Reserved& r) { return r.range.overlaps(range); }))
      say(Severity::kWarning, "outside-login-defs", entry, numbers(entry),
          concat(to_text(range), " is not within ", to_text(ids.delegable), ", ",
                 ids.delegable_name, " of login.defs"),
          "useradd and others do not look there when they choose ids",
          "take ids from that range, or widen it");
  }

  // The ids are in the blocks that login.defs has for other uids.
  void check_deterministic(const SubidEntry& entry) const {
    const auto& rule = ids.deterministic;
    const auto uid = rule ? parse_decimal(owner_key(entry.parsed.owner)) : std::nullopt;
    const auto range = entry.parsed.range;
    if (!uid || range.end() <= rule->defs.sub_least || range.first() > rule->defs.sub_most) return;
    const auto own = rule->block_of(*uid);
    if (own && own->contains(range)) return;
    const auto from = std::max(range.first(), rule->defs.sub_least) - rule->defs.sub_least;
    auto whose = rule->uid_least + from / std::max<std::uint64_t>(rule->defs.count, 1);
    if (whose == *uid) ++whose;
    say(Severity::kWarning, "deterministic", entry, numbers(entry),
        concat(to_text(range), " has ids that ", rule->key, " of login.defs gives uid ", whose,
               ", when useradd makes it"),
        "two users will have the same ids",
        own ? concat("give uid ", *uid, " its own: ", to_text(*own)) : "move the range");
  }

  void say_overlap(const SubidEntry& a, const SubidEntry& b) const {
    // The later line is the one that was added to what was there.
    const auto& late = a.line.number > b.line.number ? a : b;
    const auto& early = &late == &a ? b : a;
    if (late.line.text == early.line.text) return;
    const bool same = owner_key(late.parsed.owner) == owner_key(early.parsed.owner);
    const auto what = concat(to_text(late.parsed.range), " overlaps ", to_text(early.parsed.range),
                             " of ", same ? "the same owner" : quoted(early.parsed.owner),
                             " (line ", early.line.number, ")");
    if (same)
      say(Severity::kWarning, "overlap-own", late, numbers(late), what,
          "the owner has fewer ids than the lines add up to", "unite the lines");
    else
      say(Severity::kError, "overlap", late, numbers(late), what,
          "each can become the other's users, and read and write their files",
          "move one of the ranges: userns-policy grant finds a free one");
  }

  // Every pair that overlaps would be too many: each line names one that reaches into it.
  void check_overlaps(std::vector<const SubidEntry*> sorted) const {
    std::ranges::sort(sorted, {}, [](const SubidEntry* e) {
      return std::tuple(e->parsed.range.first(), e->line.number);
    });
    const SubidEntry* widest = nullptr;
    for (const auto* const entry : sorted) {
      if (widest != nullptr && widest->parsed.range.overlaps(entry->parsed.range))
        say_overlap(*entry, *widest);
      if (widest == nullptr || entry->parsed.range.end() > widest->parsed.range.end())
        widest = entry;
    }
  }

  // By name or by uid, as the helpers read it. Asked once for each: it may be a directory that
  // answers.
  [[nodiscard]] const std::string& owner_key(std::string_view owner) const {
    const auto [known, is_new] = keys.try_emplace(std::string(owner));
    if (!is_new) return known->second;
    const auto uid = parse_decimal(owner);
    if (uid && *uid <= kLargestId)
      known->second = concat(*uid);
    else if (const auto user = facts.user_by_name(owner))
      known->second = concat(user->id);
    else
      known->second = concat("name ", owner);
    return known->second;
  }

  // Who is no more gets no proposal that only fits a user.
  [[nodiscard]] bool is_user(std::string_view owner) const {
    const auto uid = parse_decimal(owner);
    if (uid)
      return *uid <= kLargestId && facts.user_by_uid(static_cast<std::uint32_t>(*uid)).has_value();
    return !owner_key(owner).starts_with("name ");
  }

  void check_owners(const std::vector<SubidEntry>& entries, const PolicyText* other) const {
    struct Owned {
      const SubidEntry* first = nullptr;
      OwnedRanges ranges;
      bool too_many = false;
    };
    std::map<std::string, Owned> owners;
    std::set<std::string_view> seen;
    for (const auto& entry : entries) {
      if (seen.insert(entry.parsed.owner).second)
        check_who(file.kind, entry.line, entry.parsed.owner, facts, found);
      auto& owned = owners[owner_key(entry.parsed.owner)];
      if (owned.first == nullptr) owned.first = &entry;
      if (!owned.ranges.add(entry.parsed.range, entry.line.number)) owned.too_many = true;
    }
    std::set<std::string> elsewhere;
    if (other != nullptr)
      for (const auto& entry : subid_entries(other->path, other->text, kind, nullptr))
        elsewhere.insert(owner_key(entry.parsed.owner));
    for (const auto& [key, owned] : owners) {
      const auto widest =
          std::ranges::max(owned.ranges.ranges(), {}, [](IdRange r) { return r.count(); }).count();
      const auto& owner = owned.first->parsed.owner;
      if (owned.too_many)
        say(Severity::kError, "too-many", *owned.first, owner,
            concat(quoted(owner), " has more than ", OwnedRanges::kMaxSeparate, " separate ranges"),
            "the helpers refuse such a user altogether (SU-MANY)", "unite some of them");
      if (!is_user(owner)) continue;
      if (widest < kDistro)
        say(Severity::kWarning, "small", *owned.first, owner,
            concat(quoted(owner), " has at most ", widest, " ", id_word, "s in a row"),
            "a distribution uses ids up to 65534 and needs 65536 of them",
            grant_command(owner, kDistro));
      if (other != nullptr && !elsewhere.contains(key))
        say(Severity::kWarning, "one-sided", *owned.first, owner,
            concat(quoted(owner), " has no ids in ", other->path),
            "a container needs uids and gids", grant_command(owner, widest));
    }
  }
};

}  // namespace

std::vector<SubidEntry> subid_entries(std::string_view path, std::string_view text, IdKind kind,
                                      std::vector<Finding>* findings) {
  const std::string_view program = kind == IdKind::kUid ? "newuidmap" : "newgidmap";
  std::vector<SubidEntry> entries;
  for (const auto& line : lines_of(text, path)) {
    if (line.text.empty() || line.text.starts_with('#')) continue;
    const auto parsed = line.text.size() > kLongestLine
                            ? Result<SubidLine>(fail("SU-LINE", "is longer than 1023 bytes"))
                            : parse_subid_line(line.text);
    if (parsed)
      entries.push_back({line, *parsed});
    else if (findings != nullptr)
      findings->push_back(malformed(path, line, parsed.error(), program));
  }
  return entries;
}

void check_subid(const PolicyText& file, const HostFacts& facts, const PolicyText* other,
                 std::vector<Finding>& found) {
  const Checker checker{{found}, file, facts};
  const auto entries = subid_entries(file.path, file.text, checker.kind, &found);
  std::vector<TextLine> lines;
  std::vector<const SubidEntry*> all;
  for (const auto& entry : entries) {
    checker.check_real(entry);
    checker.check_reserved(entry);
    checker.check_deterministic(entry);
    lines.push_back(entry.line);
    all.push_back(&entry);
  }
  checker.check_overlaps(std::move(all));
  checker.check_owners(entries, other);
  check_duplicates(file.kind, lines, found);
}

}  // namespace userns::frontend
