// Which subordinate ids a user has: the text format of subuid(5), read in one pass.
//
//   file   = { line } ;
//   line   = owner ":" start ":" count "\n" ;      (* the last newline may be missing *)
//   owner  = login-name | decimal-uid ;
//   start  = decimal ;  count = decimal ;           (* no sign, octal, hex or space *)
//
// A line that is not of this form grants nothing and is passed over, as shadow does (other tools
// write these files); the first such line of the owner's is remembered for the message.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "policy/error.h"
#include "policy/id_range.h"

namespace userns {

// The union of an owner's ranges, adjacent and overlapping ones united. Memory is bounded: it does
// not grow with the file.
class OwnedRanges {
 public:
  static constexpr std::size_t kMaxSeparate = 1024;  // ranges that do not touch each other
  static constexpr std::size_t kMaxShown = 8;        // lines kept for messages

  struct Shown {
    IdRange range;
    std::uint64_t line;  // 1-based; 0 where the source has no lines (NSS)
  };

  // False where the owner has more than kMaxSeparate separate ranges: then nothing may be granted
  // from this set (SU-MANY).
  [[nodiscard]] bool add(IdRange range, std::uint64_t line);
  [[nodiscard]] bool covers(IdRange wanted) const;
  // The union, sorted, no two of them touching.
  [[nodiscard]] std::span<const IdRange> ranges() const { return ranges_; }
  // The first lines as written, for messages.
  [[nodiscard]] std::span<const Shown> shown() const { return shown_; }
  [[nodiscard]] std::uint64_t lines() const { return lines_; }

 private:
  std::vector<IdRange> ranges_;  // at most kMaxSeparate
  std::vector<Shown> shown_;     // at most kMaxShown
  std::uint64_t lines_ = 0;
};

// The three fields of a line; nothing where it is not of the form above.
struct SubidLine {
  std::string_view owner;
  IdRange range;
};
Result<SubidLine> parse_subid_line(std::string_view line);

// Whether login.defs(5) text sets KEY to yes.
bool login_defs_says_yes(std::string_view text, std::string_view key);

// Feed it a subid file in chunks of any size, then finish(); `ranges()` is what the owner has.
class SubidScanner {
 public:
  // A line belongs to the owner by login name or by decimal uid. The name may be empty (a uid
  // that no name is known for).
  // Lines of others that touch a `wanted` range count too if `is_same_user` says so of their owner:
  // another name of the same uid.
  using IsSameUser = std::function<bool(std::string_view owner)>;
  SubidScanner(std::string_view owner_name, Uid owner_uid, std::span<const Extent> wanted = {},
               IsSameUser is_same_user = {});

  void feed(std::string_view chunk);
  // The end of the file: takes a last line without newline. Fails with SU-MANY.
  Result<void> finish();

  [[nodiscard]] const OwnedRanges& ranges() const { return ranges_; }
  // What is wrong with the owner's first malformed line and where; line 0 where there is none.
  struct Skipped {
    std::uint64_t line = 0;
    std::string why;
  };
  [[nodiscard]] const Skipped& skipped() const { return skipped_; }

 private:
  // shadow ignores lines of this length and more.
  static constexpr std::size_t kLongestLine = 1023;

  void take_line(std::string_view line);
  [[nodiscard]] bool is_by_other_name(std::string_view line) const;

  std::string by_name_;  // "alice:"; as by_uid_ where the uid has no name
  std::string by_uid_;   // "1000:"
  std::span<const Extent> wanted_;
  IsSameUser is_same_user_;
  std::string
      carry_;  // the beginning of a line that a chunk cut; at most kLongestLine + 1 bytes of it
  bool too_many_ = false;
  std::uint64_t line_ = 0;
  OwnedRanges ranges_;
  Skipped skipped_;
};

// The source that nsswitch.conf(5) text names for `subid:`: its first word, "files" where the file
// has no such line. Later sources are never asked (as in shadow).
std::string_view nss_subid_source(std::string_view nsswitch_conf);

}  // namespace userns
