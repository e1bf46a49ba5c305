#include "frontend/spec/inside_values.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

#include "frontend/spec/nearest.h"
#include "frontend/spec/net.h"
#include "frontend/spec/values.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::array<std::string_view, 9> kTmpfsWords{"size", "mode", "nr_inodes", "noexec", "exec",
                                                      "ro",   "rw",   "nosuid",    "nodev"};

void add_option(TmpfsWish& wish, std::string_view text) {
  wish.options += concat(wish.options.empty() ? "" : ",", text);
}

bool is_octal_mode(std::string_view text) {
  return !text.empty() && text.size() <= 4 &&
         text.find_first_not_of("01234567") == std::string_view::npos;
}

Result<void> take_valued(TmpfsWish& wish, std::string_view key, std::string_view value) {
  if (key == "size") {
    const auto size = TRY(parse_bytes(value));
    add_option(wish, concat("size=", size));
    return {};
  }
  if (key == "mode" && !is_octal_mode(value))
    return fail({}, concat("mode=", value, " is not an octal mode, such as 1777"));
  if (key == "nr_inodes" && !parse_decimal(value))
    return fail({}, concat("nr_inodes=", value, " is not a number"));
  wish.has_mode = wish.has_mode || key == "mode";
  add_option(wish, concat(key, "=", value));
  return {};
}

Result<void> take_word(TmpfsWish& wish, std::string_view word) {
  const bool has_value = word.contains('=');
  const auto key = take_until(word, '=');
  const bool is_valued = key == "size" || key == "mode" || key == "nr_inodes";
  if (std::ranges::find(kTmpfsWords, key) == kTmpfsWords.end() || is_valued != has_value) {
    std::string known;
    for (const auto one : kTmpfsWords) known += concat(known.empty() ? "" : ", ", one);
    return fail({}, concat("there is no setting ", quoted(key), " of a tmpfs",
                           did_you_mean(key, kTmpfsWords), " (", known,
                           "; size=, mode= and nr_inodes= take a value)"));
  }
  if (is_valued) return take_valued(wish, key, word);
  if (key == "noexec" || key == "exec") wish.no_exec = key == "noexec";
  if (key == "ro" || key == "rw") wish.read_only = key == "ro";
  return {};
}

// --- kernel settings ----------------------------------------------------------------------------

// Of an ipc namespace. Source: namespaces(7), ipc_namespaces(7).
constexpr std::array<std::string_view, 8> kIpcSettings{
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
    "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"};

std::optional<std::uint64_t> namespace_of(std::string_view name) {
  if (name.starts_with("net.")) return CLONE_NEWNET;
  const bool is_ipc = std::ranges::find(kIpcSettings, name) != kIpcSettings.end();
  if (is_ipc || name.starts_with("fs.mqueue.")) return CLONE_NEWIPC;
  return std::nullopt;
}

// "net.ipv4.conf.eth0.forwarding"; a slash stands for a dot within a part, as with sysctl(8).
bool is_sysctl_name(std::string_view name) {
  constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./@:";
  return !name.empty() && name.find_first_not_of(kAllowed) == std::string_view::npos &&
         !name.contains("..") && !name.contains("//") && !name.starts_with('/') &&
         name.find('.') != std::string_view::npos && !name.ends_with('.');
}

}  // namespace

Result<std::uint64_t> parse_bytes(std::string_view text) {
  constexpr std::string_view kUnits = "KMGT";
  constexpr unsigned kShift = 10;
  auto digits = text;
  unsigned shift = 0;
  const auto unit = digits.empty() ? std::string_view::npos : kUnits.find(digits.back());
  if (unit != std::string_view::npos) {
    shift = kShift * (static_cast<unsigned>(unit) + 1);
    digits.remove_suffix(1);
  }
  const auto number = parse_decimal(digits);
  constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
  if (!number || *number == 0 || *number > kMost >> shift)
    return fail({}, concat(quoted(text), " is not a size, such as 64M or 2G"));
  return *number << shift;
}

Result<TmpfsWish> parse_tmpfs(std::string_view text) {
  const bool has_words = text.contains(':');
  auto path = TRY(parse_path(take_until(text, ':')));
  TmpfsWish wish{.destination = std::move(path)};
  if (has_words && text.empty())
    return fail({}, "nothing follows the colon: write DST or DST:size=64M,noexec");
  while (!text.empty()) TRY(take_word(wish, take_until(text, ',')));
  return wish;
}

Result<HostWish> parse_add_host(std::string_view text) {
  auto address = text;
  auto name = TRY(parse_hostname(take_until(address, ':')));
  if (address.empty()) return fail({}, "write NAME:ADDRESS, such as db:10.0.0.7");
  if (address.starts_with('[') && address.ends_with(']'))
    address = address.substr(1, address.size() - 2);
  const auto parsed = TRY(parse_address(address));
  return HostWish{.name = std::move(name), .address = to_text(parsed)};
}

Result<SysctlWish> parse_sysctl(std::string_view text) {
  if (!text.contains('='))
    return fail({}, "write NAME=VALUE, such as net.ipv4.ip_unprivileged_port_start=80");
  const auto name = take_until(text, '=');
  if (!is_sysctl_name(name))
    return fail({}, concat(quoted(name),
                           " is not the name of a kernel setting, such as "
                           "net.ipv4.ip_forward"));
  if (name == "kernel.hostname") return fail({}, "the host name is set by --hostname");
  const auto space = namespace_of(name);
  if (!space)
    return fail({}, concat(name,
                           " is a setting of the whole machine, which no container has of "
                           "its own: net.*, fs.mqueue.* and those of System V IPC "
                           "(kernel.shmmax, kernel.sem ...) can be set"));
  return SysctlWish{.name = std::string(name), .value = std::string(text), .space = *space};
}

Result<std::string> parse_time_zone(std::string_view text) {
  constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_+/";
  constexpr std::size_t kLongest = 100;
  const bool is_name = !text.empty() && text.size() <= kLongest && !text.starts_with('/') &&
                       text.find_first_not_of(kAllowed) == std::string_view::npos;
  if (!is_name || text.ends_with('/'))
    return fail({}, concat(quoted(text),
                           " is not the name of a time zone, such as Europe/Berlin, "
                           "nor host or keep"));
  return std::string(text);
}

}  // namespace userns::frontend
