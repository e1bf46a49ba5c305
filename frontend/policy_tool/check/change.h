// Changes to the text of net.conf and cgroup.conf that keep every other byte: comments, order,
// blanks. Pure.
//
// Each takes a text that the helpers accept and returns one that they accept; the same text where
// nothing is to change.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "policy/error.h"

namespace userns::frontend {

// Who a line is about: the first is how a new line has it; a user's lines may have any of them
// (name, uid).
using Who = std::span<const std::string>;

// `wish`: BRIDGE:COUNT[,key=value...]. Settings of a line that is there stay unless they are named.
// A count of 0 bans.
Result<std::string> grant_net(std::string_view text, Who who, std::string_view wish);
Result<std::string> revoke_net(std::string_view text, Who who, std::string_view bridge);

// The lines of an lxc-usernet(5) file `from` that speak of a user and a bridge that no line of the
// text speaks of, put at its end: counts of lines add up, so none is taken twice. `notes`: which
// lines are not taken, and why. `is_same`: whether two words name one user (as "alice" and "1000"
// may).
struct MergedNet {
  std::string text;
  std::vector<std::string> notes;
};
using IsSame = std::function<bool(std::string_view, std::string_view)>;
Result<MergedNet> merge_net(std::string_view text, std::string_view from_path,
                            std::string_view from, const IsSame& is_same);

// As grant_net(), but settings that are not named go, and so do further lines for the bridge.
Result<std::string> set_net(std::string_view text, Who who, std::string_view wish);
// The keys (for io.max: with its device) of settings of a line that `wanted` has none of.
std::vector<std::string> settings_not_in(std::string_view line,
                                         std::span<const std::string> wanted);

// `settings`: KEY=VALUE words. They are put into the line that is there, or into a new one. The
// line goes before those of groups and of everybody, because the first line that is for a user
// decides.
Result<std::string> grant_cgroup(std::string_view text, Who who,
                                 std::span<const std::string> settings);
// `keys`: what to take from the line, or "all".
Result<std::string> revoke_cgroup(std::string_view text, Who who,
                                  std::span<const std::string> keys);

}  // namespace userns::frontend
