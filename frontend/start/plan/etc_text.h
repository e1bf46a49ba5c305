// What a start writes into text files in /etc of a root file system. Pure.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/spec/spec.h"

namespace userns::frontend {

// What /etc/hosts is to say besides what is in it.
struct HostNames {
  std::string own;                     // the host name; empty: none
  std::vector<std::string> addresses;  // the container's, as far as they are known
  std::span<const HostWish> added;     // --add-host
};

// The new text; none where all is there. Lines that a start has written end with a mark, and are
// written anew; all others stay as they are. Those of `added` come first, because the first line
// counts; localhost and the own name come last, and only where no other line has them.
std::optional<std::string> hosts_with(std::string_view present, const HostNames& names);

// passwd(5) and group(5) with a line for the user of --home; none where the id or the name has one,
// or the name or the paths cannot stand in such a line.
std::optional<std::string> passwd_with(std::string_view present, const UserWish& user);
std::optional<std::string> group_with(std::string_view present, const UserWish& user);

// Whether a symbolic link or the data of a zone says UTC.
bool is_utc_link(std::string_view target);
bool is_utc_data(std::string_view data);

// "Europe/Berlin" of a link into some zoneinfo; empty: it is none.
std::string zone_of_link(std::string_view target);

// Whether all name servers in a resolv.conf are on the loopback; false where there is none.
bool only_loopback_resolvers(std::string_view text);

}  // namespace userns::frontend
