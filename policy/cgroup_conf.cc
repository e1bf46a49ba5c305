#include "policy/cgroup_conf.h"

#include <algorithm>
#include <utility>

#include "policy/conf_line.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns {
namespace {

using enum SettingForm;
constexpr std::uint64_t kAny = (1ULL << 63U) - 1;
constexpr SettingKey kKeys[] = {
    {"memory.max", "", "memory.limit_in_bytes", "max", kSize, 0, kAny},
    {"memory.high", "", "", "max", kSize, 0, kAny},
    {"memory.swap.max", "", "", "max", kSize, 0, kAny},
    {"pids.max", "", "pids.max", "max", kCount, 1, 1ULL << 22U},
    {"cpu.max", "", "cpu.cfs_quota_us", "max 100000", kPercent, 1, 1'000'000},
    {"cpu.weight", "", "cpu.shares", "100", kPlain, 1, 10'000},
    {"io.weight", "", "blkio.bfq.weight", "100", kPlain, 1, 10'000},
    {"io.max", "", "blkio.throttle.", "", kDevice, 1, kAny},
    {"cpuset.cpus", "", "cpuset.cpus", "\n", kList, 0, 0},
    {"cpuset.mems", "", "cpuset.mems", "\n", kList, 0, 0},
    {"hugetlb.", "", ".limit_in_bytes", "", kSize, 0, kAny},
    {"descendants", "cgroup.max.descendants", "", "4096", kPlain, 1, 1'000'000},
    {"depth", "cgroup.max.depth", "", "16", kPlain, 1, kDeepest},
    {"containers", "", "", "32", kPlain, 0, 1'000'000},
    {"from", "", "", "", kPaths, 0, 0},
};

// The number in decimal, a unit spelled out; empty where it is none or out of the key's bounds.
std::string number_text(const SettingKey& key, std::string_view text, bool units) {
  constexpr std::string_view kUnits = "KMGT";
  const auto unit = units && !text.empty() ? kUnits.find(text.back()) : std::string_view::npos;
  const auto shift = unit == std::string_view::npos ? 0 : 10 * (static_cast<unsigned>(unit) + 1);
  if (shift > 0) text.remove_suffix(1);
  const auto number = parse_decimal(text);
  if (!number || *number > key.most >> shift || *number << shift < key.least) return {};
  return concat(*number << shift);
}

// "8:0,rbps=10M,wiops=100" as "8:0 rbps=10485760 wbps=max riops=max wiops=100": what is not said is
// not limited.
std::string device_text(const SettingKey& key, std::string_view text) {
  constexpr std::string_view kRates[] = {"rbps", "wbps", "riops", "wiops"};
  std::string rates[] = {"max", "max", "max", "max"};
  std::string out(take_until(text, ','));
  const bool is_device = std::ranges::count(out, ':') == 1 &&
                         out.find_first_not_of("0123456789:") == std::string::npos;
  if (!is_device || out.starts_with(':') || out.ends_with(':') || text.empty()) return {};
  while (!text.empty()) {
    auto value = take_until(text, ',');
    const auto rate =
        static_cast<std::size_t>(std::ranges::find(kRates, take_until(value, '=')) - kRates);
    const auto number = value == "max" ? "max" : number_text(key, value, true);
    if (rate == std::size(kRates) || number.empty()) return {};
    rates[rate] = number;
  }
  for (std::size_t i = 0; i < std::size(kRates); ++i) out += concat(" ", kRates[i], "=", rates[i]);
  return out;
}

// "any", or absolute paths within the hierarchy.
std::string paths_text(std::string_view text) {
  const auto is_path = [](std::string_view path) {
    return path.starts_with('/') && (path == "/" || !path.ends_with('/')) &&
           !concat(path, "/").contains("/../");
  };
  std::string_view rest = text;
  while (text != "any" && !rest.empty())
    if (!is_path(take_until(rest, ','))) return {};
  return text.ends_with(',') ? "" : std::string(text);
}

// What the v2 file takes; empty where `text` is not of the key's form.
std::string file_text(const SettingKey& key, std::string_view text) {
  switch (key.form) {
    case kSize:
    case kCount:
      return text == "max" ? "max" : number_text(key, text, key.form == kSize);
    case kPlain:
      return number_text(key, text, false);
    case kPercent: {
      if (text == "max") return std::string(key.standard);
      const auto percent =
          text.ends_with('%') ? number_text(key, text.substr(0, text.size() - 1), false) : "";
      return percent.empty() ? percent : concat(percent, "000 100000");
    }
    case kList:
      return text.find_first_not_of("0123456789,-") == std::string_view::npos ? std::string(text)
                                                                              : "";
    case kDevice:
      return device_text(key, text);
    case kPaths:
      return paths_text(text);
  }
  std::unreachable();
}

constexpr std::string_view kForms[] = {"a size (512M, 4G) or max",
                                       "a count or max",
                                       "a number",
                                       "a percentage of one CPU (200%) or max",
                                       "a list (0-3,5)",
                                       "MAJOR:MINOR,rbps=SIZE,wbps=SIZE,riops=COUNT,wiops=COUNT",
                                       "any, or absolute cgroup paths (/a.slice,/b.slice)"};

bool is_key(const SettingKey& key, std::string_view name) {
  constexpr std::string_view kPrefix = "hugetlb.", kSuffix = ".max";
  if (key.name != kPrefix) return key.name == name;
  return name.size() > kPrefix.size() + kSuffix.size() && name.starts_with(kPrefix) &&
         name.ends_with(kSuffix) &&
         name.find_first_of("./", kPrefix.size()) == name.size() - kSuffix.size();
}

}  // namespace

Result<Setting> parse_setting(std::string_view name, std::string_view value) {
  const auto key =
      std::ranges::find_if(kKeys, [&](const SettingKey& k) { return is_key(k, name); });
  if (key == std::end(kKeys))
    return fail("CC-KEY", concat(quoted(name), " is not KEY=VALUE with a key of cgroup.conf(5)"));
  Setting setting{key, std::string(key->file.empty() ? name : key->file), file_text(*key, value)};
  if (!setting.text.empty()) return setting;
  const auto bounds =
      key->most < kAny && key->most > 0 ? concat(", ", key->least, " to ", key->most) : "";
  return fail("CC-VALUE", concat(quoted(value), " is not a valid ", name, ": ",
                                 kForms[static_cast<int>(key->form)], bounds));
}

namespace {

Result<void> take_setting(CgroupLine& taken, const ConfLine& line, std::string_view word) {
  auto value = word;
  const auto name = take_until(value, '=');
  auto setting = parse_setting(word.contains('=') ? name : std::string_view{}, value);
  if (!setting)
    return line.refuse(setting.error().rule, setting.error().rule == "CC-KEY" ? word : value,
                       setting.error().text);
  const auto same = [&](const Setting& s) {
    return s.file == setting->file && setting->key->form != kDevice;
  };
  if (std::ranges::any_of(taken.settings, same))
    return line.refuse("CC-KEY", word, concat(name, " is set twice"));
  taken.settings.push_back(std::move(*setting));
  return {};
}

// `base = PATH [delegated]`, `base.v1 = PATH`, or nothing taken. Blanks may be left out.
Result<bool> take_base(CgroupConf& conf, std::string_view first, ConfLine line) {
  const auto key = first.substr(0, first.find('='));
  auto path = first.substr(key.size());
  if (path.empty()) path = line.next();
  if ((key != "base" && key != "base.v1") || !path.starts_with('=')) return false;
  path.remove_prefix(1);
  if (path.empty()) path = line.next();
  const bool v1 = key != "base";
  std::string& base = v1 ? conf.v1_base : conf.base;
  const auto word = line.next();
  const bool is_path = path.starts_with('/') && !concat(path, "/").contains("/../");
  if (!is_path || (!word.empty() && (v1 || word != "delegated")) || !line.next().empty())
    return line.refuse("CC-BASE", path,
                       concat(key, " is one absolute path without .., ",
                              v1 ? "within each v1 hierarchy"
                                 : "of a cgroup2 directory; only 'delegated' may follow"));
  if (!base.empty()) return line.refuse("CC-BASE", path, concat(key, " is given twice"));
  base = path;
  conf.delegated = conf.delegated || !word.empty();
  return true;
}

Result<void> take_line(CgroupConf& conf, std::string_view who, ConfLine& line) {
  const auto is_base = TRY(take_base(conf, who, line));
  if (is_base) return {};
  if (who.contains('=') || who == "@")
    return line.refuse("CC-LINE", who,
                       "a line is WHO KEY=VALUE...; WHO is a login name, a uid, @GROUP or *");
  CgroupLine taken{.who = std::string(who), .settings = {}, .path = {}, .number = line.number()};
  for (auto word = line.next(); !word.empty(); word = line.next())
    TRY(take_setting(taken, line, word));
  if (taken.settings.empty())
    return line.refuse("CC-LINE", who,
                       concat(quoted(who), " is given nothing: add KEY=VALUE, as containers=1"));
  conf.lines.push_back(std::move(taken));
  return {};
}

}  // namespace

std::span<const SettingKey> setting_keys() { return kKeys; }

std::string_view CgroupLine::text_of(std::string_view key) const {
  const auto found =
      std::ranges::find_if(settings, [&](const Setting& s) { return s.key->name == key; });
  return found == settings.end() ? std::string_view{} : std::string_view(found->text);
}

Result<void> add_cgroup_conf(CgroupConf& conf, std::string_view text, std::string_view path) {
  const auto take = [&](std::string_view first, ConfLine& line) {
    return take_line(conf, first, line);
  };
  const auto had = conf.lines.size();
  auto read = each_conf_line(path, text, "CC-LINE", take);
  for (auto& line : std::span(conf.lines).subspan(had)) line.path = path;
  return read;
}

Result<CgroupConf> parse_cgroup_conf(std::string_view text, std::string_view path) {
  CgroupConf conf;
  const auto read = add_cgroup_conf(conf, text, path);
  return read ? Result<CgroupConf>(std::move(conf)) : std::unexpected(read.error());
}

}  // namespace userns
