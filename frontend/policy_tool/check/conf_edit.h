// Lines of the files of a policy, changed one by one; for change.h. Pure.
#pragma once

#include <compare>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/policy_tool/check/change.h"
#include "frontend/policy_tool/check/checks.h"
#include "policy/error.h"

namespace userns::frontend {

// What stands before a comment, without the blanks at its end; and the rest.
struct Parts {
  std::string_view entry, rest;
};
Parts parts_of(std::string_view line, bool comment_begins_a_word);
std::vector<std::string_view> words_of(std::string_view entry);
std::string_view key_of(std::string_view setting);

// A line of one of the files.
struct Place {
  std::size_t file = 0, line = 0;  // line 0: the end of the file
  auto operator<=>(const Place&) const = default;
};

Place place_of(PolicyTexts files, const TextLine& line);

// A policy that the helpers refuse is not changed.
Result<void> check_well_formed(PolicyTexts files);
std::vector<PolicyText> copies(PolicyTexts files);
// Makes the line there `line`, or takes it away where that is empty.
void change_line(std::vector<PolicyText>& files, Place at, std::string_view line);
void insert_line(std::vector<PolicyText>& files, Place before, std::string_view line);
// The texts become these where the helpers accept them.
Result<void> put(ChangedTexts files, std::vector<PolicyText> changed);

}  // namespace userns::frontend
