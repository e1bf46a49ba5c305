// The values of options: one total function per grammar, text in, a typed value or an error out.
//
//   map     = "auto" | "keep-id" [ "=" id ] | [ "b:" | "u:" | "g:" ] inside ":" outside ":" count |
//   first ":" count ;
//             (the prefix may be missing only in the last form: inside 0 on, uids and gids)
//   names   = name { "," name } ;                       (* namespaces, capabilities *)
//   bind    = source ":" path [ ":" how { "," how } ] ; (* neither part holds a colon *)
//   how     = "ro" | "rw" | "idmap" [ "=" id ] ;        (* id: of the caller's files, inside; 0 *)
//   path    = "/" ... ;                                 (* absolute, no ".." *)
//   env     = name [ "=" value ] ;
//   rlimit  = name "=" limit [ ":" limit ] ;  limit = decimal | "unlimited" ;
//   timeout = decimal [ "s" | "ms" ] ;                  (* seconds *)
//
// Numbers are parse_decimal()'s. Errors say what is wrong with the value and what one looks like;
// which option it belongs to is added by the caller. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "frontend/spec/spec.h"
#include "policy/error.h"

namespace userns::frontend {

Result<std::variant<MapAuto, MapWish>> parse_map(std::string_view text);
Result<std::uint32_t> parse_id(std::string_view text);
Result<std::vector<std::uint32_t>> parse_ids(std::string_view text);

// CLONE_NEW* flags of "mount,pid" (or "all").
Result<std::uint64_t> parse_namespaces(std::string_view text);
// CAP_* of "net_admin,CAP_CHOWN" (or "all", "none"), any case.
Result<std::vector<int>> parse_capabilities(std::string_view text);

// "CAP_CHOWN" and so on, all that this program knows.
std::vector<std::string> capability_names();

Result<std::string> parse_path(std::string_view text);
Result<BindWish> parse_bind(std::string_view text);
Result<EnvWish> parse_env(std::string_view text);
Result<std::string> parse_hostname(std::string_view text);
Result<RlimitWish> parse_rlimit(std::string_view text);
Result<std::chrono::milliseconds> parse_timeout(std::string_view text);
// `key` is one of cgroup.conf(5). For "cpu.max" the text is a number of CPUs, as "1.5".
Result<LimitWish> parse_limit(std::string_view option, std::string_view key, std::string_view text);
Result<int> parse_fd(std::string_view text);
// "TERM", "SIGTERM", "15", "RTMIN+3".
Result<int> parse_signal(std::string_view text);
Result<bool> parse_yes_no(std::string_view text);

// The index of `text` in `words`; an error that lists them where it is none.
Result<std::size_t> parse_choice(std::string_view text, std::span<const std::string_view> words);

}  // namespace userns::frontend
