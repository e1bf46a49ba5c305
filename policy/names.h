// The user database: what nsswitch.conf(5) says of its sources, and the texts of passwd(5) and
// group(5).
//
//   passwd = { name ":" word ":" uid ":" gid ":" word ":" word ":" word "\n" } ;
//   group  = { name ":" word ":" gid ":" word "\n" } ;
//
// Pure. A line that is not of this form, or whose name begins with "+", "-", "#" or a blank, names
// nobody.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

namespace userns {

// Whether the files are all that is asked for `database` ("passwd"), or what is asked first, with
// an answer of theirs being the end; kOthers too if the text has no such line, or two.
enum class NameSource : std::uint8_t { kFilesAlone, kFilesFirst, kOthers };
NameSource name_source(std::string_view nsswitch_conf, std::string_view database);

// The words of the first line of nsswitch.conf that has some behind `key`; may be empty.
std::string_view nss_words(std::string_view nsswitch_conf, std::string_view key);

struct NameEntry {
  std::string_view name;
  std::uint32_t id = 0;     // uid, or gid of a group
  std::uint32_t group = 0;  // primary gid of a user
};
inline constexpr std::size_t kPasswdFields = 7, kGroupFields = 4;
// The first entry that is `wanted`; views into the text.
std::optional<NameEntry> find_entry(std::string_view text, std::size_t fields,
                                    const std::function<bool(const NameEntry&)>& wanted);

}  // namespace userns
