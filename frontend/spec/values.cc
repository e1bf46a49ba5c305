#include "frontend/spec/values.h"

#include <linux/capability.h>
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "frontend/spec/nearest.h"
#include "policy/cgroup_conf.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

template <class Value>
struct Named {
  std::string_view name;
  Value value;
};

template <class Value, std::size_t N>
constexpr std::array<std::string_view, N> names_of(const std::array<Named<Value>, N>& table) {
  std::array<std::string_view, N> names;
  for (std::size_t i = 0; i < N; ++i) names[i] = table[i].name;
  return names;
}

template <class Value, std::size_t N>
const Value* find(const std::array<Named<Value>, N>& table, std::string_view name) {
  const auto found = std::ranges::find(table, name, &Named<Value>::name);
  return found == table.end() ? nullptr : &found->value;
}

constexpr std::array<Named<std::uint64_t>, 9> kNamespaces{{
    {"user", CLONE_NEWUSER},
    {"mount", CLONE_NEWNS},
    {"pid", CLONE_NEWPID},
    {"ipc", CLONE_NEWIPC},
    {"uts", CLONE_NEWUTS},
    {"net", CLONE_NEWNET},
    {"cgroup", CLONE_NEWCGROUP},
    {"time", CLONE_NEWTIME},
    {"all", CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
                CLONE_NEWNET | CLONE_NEWCGROUP | CLONE_NEWTIME},
}};

// In the order of their numbers, from 0 on: linux/capability.h.
constexpr std::array<std::string_view, CAP_LAST_CAP + 1> kCapabilities{"chown",
                                                                       "dac_override",
                                                                       "dac_read_search",
                                                                       "fowner",
                                                                       "fsetid",
                                                                       "kill",
                                                                       "setgid",
                                                                       "setuid",
                                                                       "setpcap",
                                                                       "linux_immutable",
                                                                       "net_bind_service",
                                                                       "net_broadcast",
                                                                       "net_admin",
                                                                       "net_raw",
                                                                       "ipc_lock",
                                                                       "ipc_owner",
                                                                       "sys_module",
                                                                       "sys_rawio",
                                                                       "sys_chroot",
                                                                       "sys_ptrace",
                                                                       "sys_pacct",
                                                                       "sys_admin",
                                                                       "sys_boot",
                                                                       "sys_nice",
                                                                       "sys_resource",
                                                                       "sys_time",
                                                                       "sys_tty_config",
                                                                       "mknod",
                                                                       "lease",
                                                                       "audit_write",
                                                                       "audit_control",
                                                                       "setfcap",
                                                                       "mac_override",
                                                                       "mac_admin",
                                                                       "syslog",
                                                                       "wake_alarm",
                                                                       "block_suspend",
                                                                       "audit_read",
                                                                       "perfmon",
                                                                       "bpf",
                                                                       "checkpoint_restore"};
static_assert(kCapabilities[CAP_SYS_ADMIN] == "sys_admin" &&
              kCapabilities[CAP_LAST_CAP] == "checkpoint_restore");

constexpr std::array<Named<int>, 16> kRlimits{{
    {"as", RLIMIT_AS},
    {"core", RLIMIT_CORE},
    {"cpu", RLIMIT_CPU},
    {"data", RLIMIT_DATA},
    {"fsize", RLIMIT_FSIZE},
    {"locks", RLIMIT_LOCKS},
    {"memlock", RLIMIT_MEMLOCK},
    {"msgqueue", RLIMIT_MSGQUEUE},
    {"nice", RLIMIT_NICE},
    {"nofile", RLIMIT_NOFILE},
    {"nproc", RLIMIT_NPROC},
    {"rss", RLIMIT_RSS},
    {"rtprio", RLIMIT_RTPRIO},
    {"rttime", RLIMIT_RTTIME},
    {"sigpending", RLIMIT_SIGPENDING},
    {"stack", RLIMIT_STACK},
}};

std::string joined(std::span<const std::string_view> words) {
  std::string text;
  for (const auto word : words) text += concat(text.empty() ? "" : ", ", word);
  return text;
}

std::unexpected<Error> unknown(std::string_view what, std::string_view word,
                               std::span<const std::string_view> known) {
  return fail({}, concat("there is no ", what, " ", quoted(word), did_you_mean(word, known), " (",
                         joined(known), ")"));
}

Result<std::uint64_t> parse_number(std::string_view what, std::string_view text) {
  const auto number = parse_decimal(text);
  if (!number) return fail({}, concat("the ", what, " ", quoted(text), " ", why_not_decimal(text)));
  return *number;
}

// Fails where a list item is empty: "mount,,pid".
Result<std::vector<std::string_view>> split_list(std::string_view text) {
  std::vector<std::string_view> items;
  if (text.empty()) return fail({}, "the list is empty");
  for (bool more = true; more;) {
    more = text.contains(',');
    items.push_back(take_until(text, ','));
    if (items.back().empty())
      return fail({}, "the list has an empty item: write names with a single comma between");
  }
  return items;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

Result<Extent> parse_extent(std::string_view inside_text, std::string_view outside_text,
                            std::string_view count_text) {
  const auto inside = TRY(parse_number("first id inside", inside_text));
  const auto outside = TRY(parse_number("first id outside", outside_text));
  const auto count = TRY(parse_number("count", count_text));
  if (count == 0) return fail({}, "count 0 maps nothing: give at least 1");
  const auto extent = Extent::make(inside, outside, count);
  if (!extent)
    return fail({}, concat("the range leaves the id space: the largest id is ", kLargestId));
  return *extent;
}

Result<std::uint64_t> parse_limit(std::string_view text) {
  if (text == "unlimited") return RLIM_INFINITY;
  return parse_number("limit", text);
}

}  // namespace

Result<std::variant<MapAuto, MapWish>> parse_map(std::string_view text) {
  if (text == "auto") return MapAuto{};
  constexpr std::string_view kKeepId = "keep-id";
  if (text == kKeepId) return MapAuto{.keep_id = true};
  if (text.starts_with(kKeepId) && text.substr(kKeepId.size()).starts_with('=')) {
    const auto inside = TRY(parse_id(text.substr(kKeepId.size() + 1)));
    return MapAuto{.keep_id = true, .inside = inside};
  }
  std::array<std::string_view, 4> parts;
  std::size_t count = 0;
  for (bool more = true; more; ++count) {
    if (count == parts.size())
      return fail({}, "it has too many parts: write auto, b:INSIDE:OUTSIDE:COUNT or FIRST:COUNT");
    more = text.contains(':');
    parts[count] = take_until(text, ':');
  }
  const bool has_kind = count == 4 && (parts[0] == "u" || parts[0] == "g" || parts[0] == "b");
  if (count != 2 && !has_kind)
    return fail({},
                "it is none of auto, keep-id, keep-id=N, FIRST:COUNT (inside from 0 on), "
                "b:INSIDE:OUTSIDE:COUNT (uids "
                "and gids), u:... and "
                "g:...");
  const auto extent = TRY(count == 2 ? parse_extent("0", parts[0], parts[1])
                                     : parse_extent(parts[1], parts[2], parts[3]));
  using enum MapWish::Which;
  return MapWish{parts[0] == "u" ? kUid : parts[0] == "g" ? kGid : kBoth, extent};
}

Result<std::uint32_t> parse_id(std::string_view text) {
  const auto number = TRY(parse_number("id", text));
  if (number > kLargestId) return fail({}, concat("the largest id is ", kLargestId));
  return static_cast<std::uint32_t>(number);
}

Result<std::vector<std::uint32_t>> parse_ids(std::string_view text) {
  const auto items = TRY(split_list(text));
  std::vector<std::uint32_t> ids;
  for (const auto item : items) {
    const auto id = TRY(parse_id(item));
    ids.push_back(id);
  }
  return ids;
}

Result<std::uint64_t> parse_namespaces(std::string_view text) {
  const auto items = TRY(split_list(text));
  std::uint64_t flags = 0;
  for (const auto item : items) {
    const auto* flag = find(kNamespaces, item);
    if (flag == nullptr) return unknown("namespace", item, names_of(kNamespaces));
    flags |= *flag;
  }
  return flags;
}

Result<std::vector<int>> parse_capabilities(std::string_view text) {
  std::vector<int> caps;
  if (text == "none") return caps;
  if (text == "all") {
    for (int cap = 0; cap <= CAP_LAST_CAP; ++cap) caps.push_back(cap);
    return caps;
  }
  const auto items = TRY(split_list(text));
  for (const auto item : items) {
    const std::string name = lower(item);
    const auto bare = std::string_view(name).substr(name.starts_with("cap_") ? 4 : 0);
    const auto found = std::ranges::find(kCapabilities, bare);
    if (found == kCapabilities.end())
      return fail({},
                  concat("there is no capability ", quoted(item), did_you_mean(bare, kCapabilities),
                         " (they are listed in capabilities(7); also all, none)"));
    caps.push_back(static_cast<int>(found - kCapabilities.begin()));
  }
  return caps;
}

std::vector<std::string> capability_names() {
  std::vector<std::string> names;
  for (const auto bare : kCapabilities) {
    std::string name = concat("CAP_", bare);
    for (auto& c : name)
      if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    names.push_back(std::move(name));
  }
  return names;
}

Result<std::string> parse_path(std::string_view text) {
  if (!text.starts_with('/'))
    return fail({}, concat("the path ", quoted(text), " inside is not absolute: start it with /"));
  for (auto rest = text; !rest.empty();)
    if (take_until(rest, '/') == "..")
      return fail({}, concat("the path ", quoted(text), " inside holds a '..': write it without"));
  return std::string(text);
}

namespace {

std::unexpected<Error> no_bind() {
  return fail({},
              "write SOURCE:DESTINATION, with :ro at the end for read-only, :idmap to have the "
              "caller's files be root's inside, or :ro,idmap=1000; a path with a colon cannot be "
              "given");
}

Result<void> take_how(BindWish& wish, std::string_view how) {
  if (how == "ro" || how == "rw") {
    wish.read_only = how == "ro";
    return {};
  }
  const bool has_id = how.starts_with("idmap=");
  if (!has_id && how != "idmap") return no_bind();
  const auto id = TRY(has_id ? parse_id(how.substr(6)) : Result<std::uint32_t>(0));
  wish.own_as = id;
  return {};
}

}  // namespace

Result<BindWish> parse_bind(std::string_view text) {
  auto rest = text;
  const auto source = take_until(rest, ':');
  const auto destination = take_until(rest, ':');
  if (source.empty() || destination.empty() || text.ends_with(':') || text.ends_with(','))
    return no_bind();
  const auto path = TRY(parse_path(destination));
  if (path.find_first_not_of('/') == std::string::npos)
    return fail({}, "the destination is the root directory itself: use --rootfs for that");
  BindWish wish{.source = std::string(source), .destination = path};
  while (!rest.empty()) TRY(take_how(wish, take_until(rest, ',')));
  return wish;
}

Result<EnvWish> parse_env(std::string_view text) {
  const bool has_value = text.contains('=');
  const auto name = take_until(text, '=');
  if (name.empty())
    return fail({}, "the name is empty: write NAME=VALUE, or NAME to pass on the caller's value");
  return EnvWish{std::string(name), has_value ? std::optional(std::string(text)) : std::nullopt};
}

Result<std::string> parse_hostname(std::string_view text) {
  constexpr std::size_t kLongest = 64;  // __NEW_UTS_LEN
  constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
  if (text.empty() || text.size() > kLongest ||
      text.find_first_not_of(kAllowed) != std::string_view::npos)
    return fail(
        {}, concat("the name ", quoted(text), " is not 1 to 64 letters, digits, '-', '.' and '_'"));
  return std::string(text);
}

Result<RlimitWish> parse_rlimit(std::string_view text) {
  if (!text.contains('='))
    return fail({}, concat("write NAME=SOFT or NAME=SOFT:HARD (", joined(names_of(kRlimits)), ")"));
  const auto name = take_until(text, '=');
  const auto* const resource = find(kRlimits, name);
  if (resource == nullptr) return unknown("resource", name, names_of(kRlimits));
  const bool both = text.contains(':');
  const auto soft = parse_limit(take_until(text, ':'));
  if (!soft) return std::unexpected(soft.error());
  const auto hard = TRY(both ? parse_limit(text) : soft);
  if (*soft > hard) return fail({}, "the soft limit is above the hard one");
  return RlimitWish{*resource, *soft, hard};
}

Result<std::chrono::milliseconds> parse_timeout(std::string_view text) {
  constexpr std::uint64_t kLongest = 365UL * 24 * 3600 * 1000;
  const bool is_ms = text.ends_with("ms");
  auto digits = text;
  if (is_ms) digits.remove_suffix(2);
  if (!is_ms && text.ends_with('s')) digits.remove_suffix(1);
  const auto number = parse_number("time", digits);
  if (!number)
    return fail({},
                concat(number.error().text, "; write seconds (10 or 10s) or milliseconds (500ms)"));
  if (*number > (is_ms ? kLongest : kLongest / 1000)) return fail({}, "a year is the longest");
  return std::chrono::milliseconds(is_ms ? *number : *number * 1000);
}

Result<LimitWish> parse_limit(std::string_view option, std::string_view key,
                              std::string_view text) {
  std::string value(text);
  if (key == "cpu.max") {
    auto fraction = text;
    const auto whole = parse_decimal(take_until(fraction, '.'));
    const bool is_fraction =
        fraction.size() <= 2 && fraction.find_first_not_of("0123456789") == std::string_view::npos;
    if (!whole || *whole > 10'000 || !is_fraction || text.ends_with('.'))
      return fail({}, concat(quoted(text), " is not a number of CPUs, such as 2 or 0.5"));
    std::uint64_t percent = *whole * 100;
    for (std::uint64_t place = 10; !fraction.empty(); fraction.remove_prefix(1), place /= 10)
      percent += static_cast<std::uint64_t>(fraction.front() - '0') * place;
    value = concat(percent, "%");
  }
  auto setting = parse_setting(key, value);
  if (!setting) return fail({}, setting.error().text);
  return LimitWish{concat("--", option, " ", text), std::move(setting->file),
                   std::move(setting->text)};
}

Result<int> parse_fd(std::string_view text) {
  const auto number = TRY(parse_number("file descriptor", text));
  if (number > static_cast<std::uint64_t>(std::numeric_limits<int>::max()))
    return fail({}, "there is no such file descriptor");
  return static_cast<int>(number);
}

Result<int> parse_signal(std::string_view text) {
  const auto name = text.starts_with("SIG") ? text.substr(3) : text;
  if (const auto number = parse_decimal(name)) {
    if (*number >= 1 && *number <= static_cast<std::uint64_t>(SIGRTMAX))
      return static_cast<int>(*number);
    return fail({}, concat(quoted(text), " is not a signal"));
  }
  if (name.starts_with("RTMIN+")) {
    const auto more = parse_decimal(name.substr(6));
    if (more && *more <= static_cast<std::uint64_t>(SIGRTMAX - SIGRTMIN))
      return SIGRTMIN + static_cast<int>(*more);
  }
  for (int number = 1; number < SIGRTMIN; ++number) {
    const char* const known = ::sigabbrev_np(number);
    if (known != nullptr && name == known) return number;
  }
  return fail(
      {}, concat(quoted(text), " is not a signal: give a name, as TERM or RTMIN+3, or a number"));
}

Result<bool> parse_yes_no(std::string_view text) {
  if (text == "yes" || text == "true") return true;
  if (text == "no" || text == "false") return false;
  return fail({}, concat("the value ", quoted(text), " is neither yes nor no"));
}

Result<std::size_t> parse_choice(std::string_view text, std::span<const std::string_view> words) {
  const auto found = std::ranges::find(words, text);
  if (found == words.end())
    return fail({}, concat("the value ", quoted(text), " is none of ", joined(words),
                           did_you_mean(text, words)));
  return static_cast<std::size_t>(found - words.begin());
}

}  // namespace userns::frontend
