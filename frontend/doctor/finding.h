// What userns-run doctor says about one thing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace userns::frontend::doctor {

//   pass: as it should be    note: not there, and not needed    warn: something will not work or
//   not as well fail: containers do not start, or one that asks for this does not
enum class Level : std::uint8_t { kPass, kNote, kWarn, kFail };

struct Finding {
  std::string_view group;  // heading; static
  std::string_view id;     // stable, of [a-z-]: what errors point to; static
  std::string subject;     // which one, where there may be several: "br0"; may be empty
  Level level = Level::kPass;
  std::string text;  // one line
  std::string fix;   // what to do about it, a command where there is one; empty with kPass
};
using Findings = std::vector<Finding>;

}  // namespace userns::frontend::doctor
