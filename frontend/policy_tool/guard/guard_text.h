// The packet filter that goes with net.conf(5): one table of nftables' family bridge. Pure.
//
// It is about the ports that userns-net(8) makes, whatever their number: they are veths whose names
// begin with "u". A port that a line's group= does not tell apart gets the whole guard, and one of
// a group that lines share what the strictest of them wants. That a port sends from its own MAC
// address is the bridge's to see to.
#pragma once

#include <span>
#include <string>

#include "policy/net_conf.h"

namespace userns::frontend {

// For `nft -f -`: takes the place of the table of before, all at once.
std::string guard_text(std::span<const NetLine> lines);
// The name of a chain without rules that says which lines the table was made from.
std::string guard_mark(std::span<const NetLine> lines);

}  // namespace userns::frontend
