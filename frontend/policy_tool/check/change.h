// Changes to the text of net.conf and cgroup.conf that keep every other byte: comments, order,
// blanks. Pure.
//
// Each takes the files of a policy that the helpers accept, the file itself first and those of its
// directory behind it, and makes of them what they accept. A line that is there is changed where it
// stands. Where one fails, all texts are as they were.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/policy_tool/check/checks.h"
#include "policy/error.h"

namespace userns::frontend {

// Who a line is about: the first is how a new line has it; a user's lines may have any of them
// (name, uid).
using Who = std::span<const std::string>;
using ChangedTexts = std::span<PolicyText>;  // see PolicyTexts

// `wish`: BRIDGE:COUNT[,key=value...]. Settings of a line that is there stay unless they are named.
// A count of 0 bans. Lines add up whatever their order: a new one goes to the end of the first
// file.
Result<void> grant_net(ChangedTexts files, Who who, std::string_view wish);
Result<void> revoke_net(ChangedTexts files, Who who, std::string_view bridge);

// The lines of an lxc-usernet(5) file `from` that speak of a user and a bridge that no line of the
// policy speaks of, put at the end of its first file: counts of lines add up, so none is taken
// twice. Returns which lines are not taken, and why. `is_same`: whether two words name one user (as
// "alice" and "1000" may).
using IsSame = std::function<bool(std::string_view, std::string_view)>;
Result<std::vector<std::string>> merge_net(ChangedTexts files, std::string_view from_path,
                                           std::string_view from, const IsSame& is_same);

// As grant_net(), but settings that are not named go, and so do further lines for the bridge.
Result<void> set_net(ChangedTexts files, Who who, std::string_view wish);
// The keys (for io.max: with its device) of settings of a line that `wanted` has none of.
std::vector<std::string> settings_not_in(std::string_view line,
                                         std::span<const std::string> wanted);

// `settings`: KEY=VALUE words. They are put into the line that is there, or into a new one. The
// line goes before those of groups and of everybody, because the first line that is for a user
// decides: into the file that has the first of these. Without one, a user's goes to the end of the
// first file, and a group's or everybody's to the end of the last one, where it takes nothing from
// others.
Result<void> grant_cgroup(ChangedTexts files, Who who, std::span<const std::string> settings);
// `keys`: what to take from the line, or "all".
Result<void> revoke_cgroup(ChangedTexts files, Who who, std::span<const std::string> keys);

}  // namespace userns::frontend
