// nft(8): has the kernel take a packet filter, and tells what it has. Needs root.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/policy_tool/check/facts.h"
#include "policy/error.h"
#include "policy/net_conf.h"

namespace userns::frontend {

// What it printed. An error has its own words, in one line. `input`: its standard input.
Result<std::string> run_nft(const std::vector<std::string>& words, std::string_view input);

GuardState guard_state(std::span<const NetLine> lines);

}  // namespace userns::frontend
