#include "frontend/policy_tool/verbs/lxc_config.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "frontend/policy_tool/check/finding.h"
#include "frontend/spec/config_file.h"
#include "frontend/spec/options.h"
#include "policy/net_conf.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr int kDeepest = 10;
constexpr std::size_t kMostFiles = 1000;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r";
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

// In a comment: one line, whatever the bytes.
std::string shown(std::string_view text) {
  std::string out;
  for (const char c : text) out += (c < ' ' && c >= 0 && c != '\t') || c == 127 ? '?' : c;
  return out;
}

std::string_view word(std::string_view& rest) {
  rest = trimmed(rest);
  const auto one = rest.substr(0, rest.find_first_of(" \t"));
  rest = trimmed(rest.substr(one.size()));
  return one;
}

// "a b, c" as "a,b,c"
std::string with_commas(std::string_view text) {
  std::string out;
  while (!(text = trimmed(text)).empty()) {
    const auto end = std::min(text.find_first_of(" \t,"), text.size());
    if (end > 0) out += concat(out.empty() ? "" : ",", text.substr(0, end));
    text.remove_prefix(std::min(std::max<std::size_t>(end, 1), text.size()));
  }
  return out;
}

// mount(8) writes a blank in a path as \040.
std::string unescaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const bool is_octal =
        text.size() > 3 && text[0] == '\\' &&
        text.substr(1, 3).find_first_not_of("01234567") == std::string_view::npos && text[1] < '4';
    out += is_octal
               ? static_cast<char>((text[1] - '0') * 64 + (text[2] - '0') * 8 + (text[3] - '0'))
               : text[0];
    text.remove_prefix(is_octal ? 4 : 1);
  }
  return out;
}

// What is written for a key of LXC's: a setting, or a comment alone.
struct Item {
  std::string lxc_key, lxc_value;
  std::string key, value;  // ours; empty: none
  std::string note;
};

struct Nic {
  std::vector<std::pair<std::string, std::string>> keys;  // in order, without lxc.net.N.
};

class Translator {
 public:
  explicit Translator(const LxcReader& read) : read_(read) {}
  void take_file(const NamedText& file, int depth);
  void take_nics();
  [[nodiscard]] std::string text() const;
  [[nodiscard]] std::vector<std::string> words() const;

 private:
  void take(std::string_view key, std::string_view value, int depth);
  void include(std::string_view value, int depth);
  void clear(std::string_view key);
  void set(std::string_view lxc_key, std::string_view lxc_value, std::string_view key,
           std::string value, std::string note = {});
  void skip(std::string_view lxc_key, std::string_view lxc_value, std::string why) {
    items_.push_back({std::string(lxc_key), std::string(lxc_value), {}, {}, std::move(why)});
  }
  void take_map(std::string_view key, std::string_view value);
  void take_rootfs(std::string_view key, std::string_view value);
  void take_mount(std::string_view key, std::string_view value);
  void take_cpu(std::string_view key, std::string_view value);
  void take_nic(const std::string& index, const Nic& nic);

  const LxcReader& read_;
  std::vector<Item> items_;
  std::map<std::string, Nic, std::less<>> nics_;
  int legacy_nics_ = 0;
  std::size_t files_ = 0;
};

// Keys whose value is ours as it stands, but for its form.
struct Same {
  std::string_view lxc, ours;
  std::string (*value)(std::string_view);
};
std::string as_it_is(std::string_view value) { return std::string(value); }
std::string yes_or_no(std::string_view value) {
  return value == "1" ? "yes" : value == "0" ? "no" : std::string(value);
}
constexpr std::array kSame{
    Same{"lxc.uts.name", "hostname", as_it_is},
    Same{"lxc.utsname", "hostname", as_it_is},
    Same{"lxc.init.uid", "uid", as_it_is},
    Same{"lxc.init_uid", "uid", as_it_is},
    Same{"lxc.init.gid", "gid", as_it_is},
    Same{"lxc.init_gid", "gid", as_it_is},
    Same{"lxc.init.groups", "groups", with_commas},
    Same{"lxc.init.cwd", "cwd", as_it_is},
    Same{"lxc.init.cmd", "command", as_it_is},
    Same{"lxc.init_cmd", "command", as_it_is},
    Same{"lxc.execute.cmd", "command", as_it_is},
    Same{"lxc.environment", "env", as_it_is},
    Same{"lxc.no_new_privs", "no-new-privs", yes_or_no},
    Same{"lxc.start.auto", "autostart", yes_or_no},
    Same{"lxc.group", "group", as_it_is},
    Same{"lxc.cap.drop", "cap-drop", with_commas},
    Same{"lxc.cap.keep", "cap-keep", with_commas},
    Same{"lxc.namespace.keep", "share", with_commas},
    Same{"lxc.namespace.clone", "unshare", with_commas},
    Same{"lxc.cgroup2.memory.max", "memory", as_it_is},
    Same{"lxc.cgroup.memory.limit_in_bytes", "memory", as_it_is},
    Same{"lxc.cgroup2.memory.swap.max", "memory-swap", as_it_is},
    Same{"lxc.cgroup2.pids.max", "pids", as_it_is},
    Same{"lxc.cgroup.pids.max", "pids", as_it_is},
    Same{"lxc.cgroup2.cpu.weight", "cpu-weight", as_it_is},
    Same{"lxc.cgroup2.io.weight", "io-weight", as_it_is},
};

// Why a key, or all that begin with it, is not taken. The first that fits speaks.
struct Without {
  std::string_view beginning, why;
};
constexpr std::array kWithout{
    Without{"lxc.apparmor", "no profile is set: the container has the caller's"},
    Without{"lxc.selinux", "no label is set: the container has the caller's"},
    Without{"lxc.seccomp", "userns-run has a filter of its own, see seccomp ="},
    Without{"lxc.tty", "terminals are made when they are needed, see tty ="},
    Without{"lxc.pty", "terminals are made when they are needed, see tty ="},
    Without{"lxc.console", "userns-run console and logs do that"},
    Without{"lxc.arch", "the programs inside say for what they were built"},
    Without{"lxc.signal", "the signal is chosen by the init that is found inside"},
    Without{"lxc.log", "see userns-run logs"},
    Without{"lxc.mount.auto",
            "/proc, /sys, /dev and cgroups are there as an unprivileged container can have them"},
    Without{"lxc.autodev", "/dev is always made"},
    Without{"lxc.cgroup.devices",
            "no process of an unprivileged container can make a device, so none has to be denied"},
    Without{"lxc.cgroup2.devices",
            "no process of an unprivileged container can make a device, so none has to be denied"},
    Without{"lxc.cgroup.dir",
            "cgroups are made by userns-cgroup or the user's systemd, see cgroup ="},
    Without{"lxc.cgroup",
            "there is no such option; an administrator can limit it in cgroup.conf(5)"},
    Without{"lxc.rootfs.mount", "the root file system is mounted where nobody sees it"},
    Without{"lxc.hook", "hooks are pre-start, start and post-stop"},
    Without{"lxc.start", "see autostart = and restart ="},
};

void Translator::clear(std::string_view key) {
  for (auto& item : items_)
    if (item.lxc_key == key && !item.key.empty()) {
      item.key.clear();
      item.note = "taken back below by an empty value";
    }
  if (key == "lxc.net" || key == "lxc.network") nics_.clear();
  skip(key, "", "takes back what was set before");
}

void Translator::set(std::string_view lxc_key, std::string_view lxc_value, std::string_view key,
                     std::string value, std::string note) {
  if (const auto good = check_setting(key, value); !good)
    return skip(lxc_key, lxc_value, good.error().text);
  // In LXC the last one counts.
  if (!may_repeat(key))
    for (auto& item : items_)
      if (item.key == key) {
        item.key.clear();
        item.note = "set again below";
      }
  items_.push_back({std::string(lxc_key), std::string(lxc_value), std::string(key),
                    std::move(value), std::move(note)});
}

void Translator::take_map(std::string_view key, std::string_view value) {
  auto rest = value;
  const auto kind = word(rest), inside = word(rest), outside = word(rest), count = word(rest);
  set(key, value, "map", concat(kind, ":", inside, ":", outside, ":", count));
}

void Translator::take_rootfs(std::string_view key, std::string_view value) {
  auto path = value;
  const auto kind = value.starts_with('/') ? std::string_view("dir") : take_until(path, ':');
  if (kind == "overlay" || kind == "overlayfs") {
    const auto lower = take_until(path, ':');
    set(key, value, "rootfs", std::string(lower));
    return set(key, value, "overlay", "yes",
               "changes are thrown away: LXC kept them in the upper directory");
  }
  if (kind != "dir" && kind != "btrfs")
    return skip(key, value, "the storage has to be mounted by an administrator; then rootfs = DIR");
  set(key, value, "rootfs", std::string(path));
}

void Translator::take_mount(std::string_view key, std::string_view value) {
  auto rest = value;
  const auto source = unescaped(word(rest)), target = unescaped(word(rest));
  const auto type = word(rest), options = word(rest);
  const auto has = [&](std::string_view wanted) {
    for (auto all = options; !all.empty();)
      if (take_until(all, ',') == wanted) return true;
    return false;
  };
  const auto destination = target.starts_with('/') ? target : concat("/", target);
  if (type == "tmpfs")
    return set(key, value, "tmpfs", destination, "size, mode and owner are the default ones");
  if (!has("bind") && !has("rbind"))
    return skip(key, value,
                "only bind mounts and tmpfs can be asked for; /proc, /sys and /dev are there");
  if (source.contains(':') || destination.contains(':'))
    return skip(key, value, "a path with a colon can not be bound");
  set(key, value, "bind", concat(source, ":", destination, has("ro") ? ":ro" : ""),
      has("optional")           ? "it must exist: there is no optional"
      : target.starts_with('/') ? "a destination is always within the root file system"
                                : "");
}

// "200000 100000" are two CPUs.
void Translator::take_cpu(std::string_view key, std::string_view value) {
  auto rest = value;
  const auto quota = parse_decimal(word(rest)),
             period = rest.empty() ? std::optional<std::uint64_t>(100000) : parse_decimal(rest);
  if (!quota || !period || *period == 0 || *quota > 1ULL << 40U)
    return skip(key, value, "no quota and period of CPU time");
  const auto hundredths = std::max<std::uint64_t>(1, *quota * 100 / *period);
  set(key, value, "cpus", concat(hundredths / 100, ".", hundredths % 100 / 10, hundredths % 10));
}

void Translator::include(std::string_view value, int depth) {
  const auto files = depth < kDeepest && files_ < kMostFiles
                         ? read_(std::string(value))
                         : fail({}, "files include each other without end");
  if (!files) return skip("lxc.include", value, files.error().text);
  skip("lxc.include", value, "its settings follow");
  for (const auto& file : *files) take_file(file, depth + 1);
  skip("", value, "end of its settings");
}

void Translator::take(std::string_view key, std::string_view value, int depth) {
  const auto same = std::ranges::find(kSame, key, &Same::lxc);
  if (key == "lxc.include") return include(value, depth);
  // lxc.net.0.type, or the older lxc.network.type, which begins another one.
  if (key.starts_with("lxc.network.") || key.starts_with("lxc.net.")) {
    auto name = key.substr(key.find('.', 4) + 1);
    std::string index;
    if (key.starts_with("lxc.net."))
      index = take_until(name, '.');
    else
      index = concat("network.", legacy_nics_ += name == "type" || legacy_nics_ == 0 ? 1 : 0);
    nics_[index].keys.emplace_back(name.empty() ? std::string("type") : std::string(name), value);
    return;
  }
  if (value.empty()) return clear(key);
  if (key == "lxc.idmap" || key == "lxc.id_map") return take_map(key, value);
  if (key == "lxc.rootfs" || key == "lxc.rootfs.path") return take_rootfs(key, value);
  if (key == "lxc.rootfs.options" && value == "ro") return set(key, value, "read-only", "yes");
  if (key == "lxc.mount.entry") return take_mount(key, value);
  if (key == "lxc.cgroup2.cpu.max" || key == "lxc.cgroup.cpu.cfs_quota_us")
    return take_cpu(key, value);
  if (key == "lxc.cap.keep" && value == "none") return set(key, value, "cap-keep", "none");
  if (key.starts_with("lxc.prlimit."))
    return set(key, value, "rlimit", concat(key.substr(12), "=", value));
  for (const std::string_view event : {"pre-start", "post-stop"})
    if (key == concat("lxc.hook.", event))
      return set(key, value, "hook", concat(event, "=", value),
                 "its arguments and environment are not those of LXC, see userns-run(1)");
  if (key == "lxc.hook.start-host")
    return set(key, value, "hook", concat("start=", value),
               "its arguments and environment are not those of LXC, see userns-run(1)");
  if (same != kSame.end()) return set(key, value, same->ours, same->value(value));
  const auto without = std::ranges::find_if(
      kWithout, [&](const Without& w) { return key.starts_with(w.beginning); });
  skip(key, value,
       std::string(without != kWithout.end() ? without->why : "userns-run has no such setting"));
}

void Translator::take_file(const NamedText& file, int depth) {
  ++files_;
  for (const auto& line : lines_of(file.text)) {
    auto value = trimmed(line.text);
    if (value.empty() || value.starts_with('#')) continue;
    const bool has_value = value.contains('=');
    const auto key = trimmed(take_until(value, '='));
    value = trimmed(value);
    if (value.size() > 1 && (value[0] == '"' || value[0] == '\'') && value.back() == value[0])
      value = value.substr(1, value.size() - 2);
    if (!has_value)
      skip("", line.text,
           concat(shown(file.path), ":", line.number, " is not of the form KEY = VALUE"));
    else
      take(key, value, depth);
  }
}

// What a key of a NIC's on a bridge is called in bridge=BR,...: empty where it is said by that
// itself.
std::optional<std::string_view> nic_key(std::string_view key, std::string_view value) {
  if (key == "type" || key == "link" || (key == "flags" && value == "up")) return "";
  const bool is_address =
      key == "ipv4.address" || key == "ipv6.address" || key == "ipv4" || key == "ipv6";
  if (is_address && value.substr(0, value.find(' ')).contains('/')) return "address";
  const bool is_gateway = key == "ipv4.gateway" || key == "ipv6.gateway";
  if (is_gateway && value != "auto" && value != "dev") return "gateway";
  if (key == "name") return "name";
  if (key == "mtu") return "mtu";
  if (key == "hwaddr" && value.find_first_of("xX") == std::string_view::npos) return "mac";
  return std::nullopt;
}

void Translator::take_nic(const std::string& index, const Nic& nic) {
  const auto full = [&](std::string_view name) {
    return concat(index.starts_with("network.") ? "lxc.network." : concat("lxc.net.", index, "."),
                  name);
  };
  const auto find = [&](std::string_view name) {
    std::string value;
    for (const auto& [key, given] : nic.keys)
      if (key == name) value = given;
    return value;
  };
  const std::string type = find("type");
  const std::string bridge = find("link");
  if (type == "none" || type == "empty") {
    for (const auto& [key, value] : nic.keys)
      if (key != "type") skip(full(key), value, concat("means nothing with type ", type));
    return set(full("type"), type, "net", type == "none" ? "host" : "none");
  }
  const bool is_bridge = type == "veth" && !bridge.empty();
  std::string rest;
  std::string taken;
  for (const auto& [key, value] : nic.keys) {
    const auto ours = nic_key(key, value);
    if (!is_bridge) {
      skip(full(key), value,
           "only type veth on a bridge, none and empty can be had without privilege");
    } else if (!ours) {
      skip(full(key), value,
           key == "hwaddr" ? "an address that stays is computed for each container"
                           : "there is no such setting of a NIC");
    } else {
      if (!ours->empty()) rest += concat(",", *ours, "=", value.substr(0, value.find(' ')));
      taken += concat(taken.empty() ? "" : ", ", key, " = ", value);
    }
  }
  if (is_bridge)
    set(full("*"), shown(taken), "net", concat("bridge=", bridge, rest),
        rest.contains(",mac=")
            ? concat("mac= is refused unless the line of net.conf(5) for ", bridge,
                     " has mac=any; without mac= the container keeps an address that is computed "
                     "for it. LXC itself sets hwaddr after the port was locked, which needs "
                     "spoof=allow")
            : "");
}

void Translator::take_nics() {
  if (nics_.empty())
    return set("lxc.net", "", "net", "host", "LXC without lxc.net is in the host's network");
  for (const auto& [index, nic] : nics_) take_nic(index, nic);
}

std::string Translator::text() const {
  std::string out;
  for (const auto& item : items_) {
    const std::string from = item.lxc_key.empty()
                                 ? shown(item.lxc_value)
                                 : concat(shown(item.lxc_key), " = ", shown(item.lxc_value));
    ConfigFile one;
    if (!item.key.empty() && one.add(item.key, item.value))
      out += concat(item.note.empty() ? "" : concat("# ", from, ": ", shown(item.note), "\n"),
                    one.text());
    else
      out += concat("# ", from, ": ", shown(item.note), "\n");
  }
  return out;
}

std::vector<std::string> Translator::words() const {
  std::vector<Setting> settings;
  for (const auto& item : items_)
    if (!item.key.empty()) settings.push_back({item.key, item.value, 0});
  const std::vector<std::vector<Setting>> files{std::move(settings)};
  return merge(files).words;
}

}  // namespace

std::string translate_lxc_config(const NamedText& file, const LxcReader& read) {
  Translator translator(read);
  translator.take_file(file, 0);
  translator.take_nics();
  std::string head = concat("# From ", shown(file.path), ", a configuration of LXC.\n");
  const auto words = translator.words();
  const std::vector<std::string_view> views(words.begin(), words.end());
  if (const auto spec = parse_options(views); !spec)
    head += concat("# These settings do not go together: ", shown(spec.error().text), "\n");
  return head + translator.text();
}

std::string translate_lxc_usernet(const NamedText& file) {
  std::string out = concat("# From ", shown(file.path), ".\n");
  for (const auto& line : lines_of(file.text)) {
    const auto parsed = parse_net_conf({}, line.text);
    if (parsed) {
      out += concat(line.text, "\n");
      continue;
    }
    std::string_view why = parsed.error().text;  // ":1:COLUMN: why"
    for (int i = 0; i < 3; ++i) (void)take_until(why, ':');
    out += concat("# ", shown(line.text), "   --", why, "\n");
  }
  return out;
}

}  // namespace userns::frontend
