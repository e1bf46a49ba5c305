// The values of options about what is set up inside: files in memory, names, kernel settings, time.
//
//   tmpfs   = path [ ":" word { "," word } ] ;
//   word    = "size=" size | "mode=" octal | "nr_inodes=" decimal | "noexec" | "exec" | "ro" | "rw"
//             | "nosuid" | "nodev" ;                    (* the last two are always so *)
//   size    = decimal [ "K" | "M" | "G" | "T" ] ;       (* times 1024 *)
//   host    = name ":" address ;
//   sysctl  = name "=" value ;                          (* dots between the parts of the name *)
//   zone    = "host" | "keep" | part { "/" part } ;     (* of /usr/share/zoneinfo *)
//
// Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "frontend/spec/spec.h"
#include "policy/error.h"

namespace userns::frontend {

Result<TmpfsWish> parse_tmpfs(std::string_view text);
// Bytes.
Result<std::uint64_t> parse_bytes(std::string_view text);
Result<HostWish> parse_add_host(std::string_view text);
// Fails where the setting belongs to no namespace that a container can have of its own.
Result<SysctlWish> parse_sysctl(std::string_view text);
Result<std::string> parse_time_zone(std::string_view text);

}  // namespace userns::frontend
