#include "policy/cgroup_rules.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "policy/rules.h"
#include "policy/text.h"
#include "policy/try.h"
#include "policy/who.h"

namespace userns {
namespace {

bool has_word(std::string_view words, std::string_view word, char separator) {
  while (!words.empty())
    if (take_until(words, separator) == word) return true;
  return false;
}

// "memory.swap.max" is of memory; the v1 hierarchy of io is blkio. cgroup.max.* are v2's own.
std::string_view controller_of(std::string_view file) { return file.substr(0, file.find('.')); }
std::string_view v1_name(std::string_view controller) {
  return controller == "io" ? "blkio" : controller;
}

// What a v2 setting is called in v1; nothing where v1 has no such limit.
std::vector<CgroupWrite> v1_writes(const Setting& setting, bool required) {
  const auto& key = *setting.key;
  std::string_view text = setting.text;
  std::vector<CgroupWrite> writes;
  const auto add = [&](std::string file, std::string value) {
    writes.push_back({std::move(file), std::move(value), required});
  };
  const auto unlimited = [](std::string_view value) {
    return std::string(value == "max" ? "-1" : value);
  };
  if (text.empty() || text == "\n") return writes;
  if (key.form == SettingForm::kDevice) {
    const auto device = take_until(text, ' ');
    while (!text.empty()) {
      auto value = take_until(text, ' ');
      const auto name = take_until(value, '=');
      add(concat(key.v1_file, name.starts_with('r') ? "read_" : "write_", name.substr(1),
                 "_device"),
          concat(device, " ", value == "max" ? "0" : value));
    }
  } else if (key.form == SettingForm::kPercent) {
    add("cpu.cfs_period_us", "100000");
    add(std::string(key.v1_file), unlimited(take_until(text, ' ')));
  } else if (key.name == "cpu.weight") {
    add(std::string(key.v1_file), concat(*parse_decimal(text) * 1024 / 100));
  } else if (key.name == "hugetlb.") {
    add(concat(text.empty() ? "" : setting.file.substr(0, setting.file.size() - 4), key.v1_file),
        unlimited(text));
  } else {
    add(std::string(key.v1_file),
        key.form == SettingForm::kSize ? unlimited(text) : std::string(text));
  }
  return writes;
}

CgroupPart& part_of(std::vector<CgroupPart>& parts, std::string_view controller) {
  const auto found = std::ranges::find(parts, controller, &CgroupPart::controller);
  return found != parts.end() ? *found : parts.emplace_back(CgroupPart{controller, {}});
}

bool is_within(std::string_view path, std::string_view top) {
  return top == "/" || path == top ||
         (path.starts_with(top) && path.substr(top.size()).starts_with('/'));
}

// Where a setting is written.
enum class Place : std::uint8_t { kBase, kV1, kNowhere };
Place place_of(const SettingKey& key, const CgroupFacts& facts) {
  const auto controller = controller_of(key.file.empty() ? key.name : key.file);
  const bool is_v2s_own = controller == "cgroup" && facts.hierarchy.empty();
  if (is_v2s_own || has_word(facts.controllers, controller, ' ')) return Place::kBase;
  return key.v1_file.empty() ? Place::kNowhere : Place::kV1;
}

Objection no_line(const CgroupFacts& f, const ContainerName& /*name*/) {
  if (f.line != nullptr) return {};
  return concat("uid ", f.caller.value(), " may have no cgroups: no line of ", f.conf_path,
                " is for this user; an administrator can add one, see cgroup.conf(5)");
}
Objection no_containers(const CgroupFacts& f, const ContainerName& /*name*/) {
  if (f.line->text_of("containers") != "0") return {};
  return concat(f.line->path, ":", f.line->number, " denies uid ", f.caller.value(),
                " any container: ask the administrator");
}
Objection systemds_own(const CgroupFacts& f, const ContainerName& /*name*/) {
  if (!f.base_is_systemds) return {};
  return concat(f.base,
                " is systemd's own, which wants no other writer there: an administrator can run "
                "'systemctl enable --now userns-cgroup.service', or set base = in ",
                f.conf_path, " to the cgroup of a unit with Delegate=yes");
}
Objection leaves_limits(const CgroupFacts& f, const CgroupPlace& place) {
  const auto session = concat("/user.slice/user-", f.caller.value(), ".slice");
  std::string_view from = f.line->text_of("from");
  if (from == "any") return {};
  if (place.own.empty())
    return concat(
        "the cgroup of this process cannot be seen from here, so nobody knows whose limits "
        "it would leave; an administrator can set from=any in ",
        f.conf_path);
  const auto user = concat(place.base == "/" ? "" : place.base, "/", place.user_cgroup);
  if (is_within(place.base, place.own) || is_within(place.own, user) ||
      is_within(place.own, session))
    return {};
  while (!from.empty())
    if (is_within(place.own, take_until(from, ','))) return {};
  return concat("this process would leave the limits of the cgroup ", quoted(place.own),
                ": start from a session of your own (", session,
                "), or ask the administrator for from= in ", f.conf_path);
}
Objection leaves_limits_of_base(const CgroupFacts& f, const ContainerName& /*name*/) {
  return leaves_limits(f, f.place);
}
Objection not_settable(const CgroupFacts& f, const ContainerName& /*name*/) {
  for (const auto& setting : f.line->settings)
    if (setting.key->is_a_file() && place_of(*setting.key, f) == Place::kNowhere)
      return concat(setting.file, " can't be set on this host: the base has no ",
                    controller_of(setting.file), " controller and cgroup v1 no such limit");
  return {};
}

constexpr Rule<CgroupFacts, ContainerName> kRules[] = {{"CG-POLICY", no_line},
                                                       {"CG-COUNT", no_containers},
                                                       {"CG-WRITER", systemds_own},
                                                       {"CG-FROM", leaves_limits_of_base},
                                                       {"CG-CONTROLLER", not_settable}};
constexpr Rule<CgroupFacts, CgroupPlace> kPlaceRules[] = {{"CG-FROM", leaves_limits}};

}  // namespace

Result<ContainerName> ContainerName::parse(std::string_view text) {
  constexpr std::string_view kFirst = "abcdefghijklmnopqrstuvwxyz0123456789_-";
  const bool good = !text.empty() && text.size() <= 32 &&
                    text.find_first_not_of(kFirst) == std::string_view::npos &&
                    text.front() != '_' && text.front() != '-';
  if (good) return ContainerName(text);
  return fail(
      "CG-NAME",
      concat(quoted(text),
             " is not a container name: at most 32 of a-z 0-9 _ -, a letter or digit first"));
}

Result<CgroupRequest> parse_cgroup_request(std::span<const std::string_view> words) {
  using enum CgroupRequest::Verb;
  const auto count = words.size();
  const auto verb = words.empty() ? std::string_view{} : words[0];
  if (verb == "list" && (count == 1 || (count == 2 && words[1] == "--json")))
    return CgroupRequest{.verb = kList, .name = {}, .json = count == 2};
  const bool runs = (verb == "enter" || verb == "spawn") && count >= 4 && words[2] == "--";
  if (!runs && !(verb == "release" && count == 2))
    return fail("CG-ARGS",
                "usage: userns-cgroup enter|spawn NAME -- COMMAND [ARG...] | release NAME | list "
                "[--json]");
  auto name = TRY(ContainerName::parse(words[1]));
  return CgroupRequest{.verb = verb == "enter"   ? kEnter
                               : verb == "spawn" ? kSpawn
                                                 : kRelease,
                       .name = std::move(name),
                       .json = false};
}

const CgroupLine* matching_line(const CgroupConf& conf, Uid caller, std::string_view login,
                                const std::function<bool(std::string_view group)>& in_group) {
  const auto found = std::ranges::find_if(conf.lines, [&](const CgroupLine& line) {
    return is_for(line.who, caller, login, in_group);
  });
  return found == conf.lines.end() ? nullptr : &*found;
}

std::string_view cgroup_path(std::string_view text, std::string_view controller) {
  while (!text.empty()) {
    auto path = take_until(text, '\n');
    take_until(path, ':');
    const auto controllers = take_until(path, ':');
    if (controllers == controller || has_word(controllers, controller, ',')) return path;
  }
  return {};
}

std::string path_below(std::string_view mount, std::string_view path) {
  while (path.ends_with('/')) path.remove_suffix(1);
  if (path == mount) return "/";
  return path.starts_with(concat(mount, "/")) ? std::string(path.substr(mount.size())) : "";
}

std::string v1_user_cgroup(Uid uid) { return concat("userns-", uid.value()); }

std::string_view above_user_cgroup(std::string_view path, std::string_view user) {
  for (auto at = path.find(user); at != std::string_view::npos; at = path.find(user, at + 1))
    if (at > 0 && path[at - 1] == '/' &&
        (at + user.size() == path.size() || path[at + user.size()] == '/'))
      return path.substr(0, at);
  return path;
}

Result<void> may_leave(const CgroupFacts& facts, const CgroupPlace& place) {
  return judge(kPlaceRules, facts, place);
}

Result<CgroupGrant> decide(const CgroupFacts& facts, const ContainerName& name) {
  const auto judged = judge(kRules, facts, name);
  return judged ? Result<CgroupGrant>(CgroupGrant(facts, name)) : std::unexpected(judged.error());
}

CgroupGrant::CgroupGrant(const CgroupFacts& facts, const ContainerName& name)
    : name_(name.text()), parts_{{facts.hierarchy, {}}} {
  // What users set themselves on their own leaves, and what policy needs.
  std::string useful = "cpu io memory pids";
  for (const auto& key : setting_keys()) {
    bool given = false;
    for (const auto& setting : facts.line->settings) {
      if (setting.key != &key) continue;
      add(facts, setting, true);
      given = true;
    }
    if (given)
      useful += concat(" ", controller_of(key.name));
    else
      add(facts,
          {&key, std::string(key.file.empty() ? key.name : key.file), std::string(key.standard)},
          false);
  }
  const auto limits = [](const CgroupPart& part) {
    return std::ranges::any_of(part.writes, &CgroupWrite::required);
  };
  const auto idle = std::stable_partition(parts_.begin() + 1, parts_.end(), limits);
  idle_.assign(idle, parts_.end());
  parts_.erase(idle, parts_.end());
  for (auto rest = facts.controllers; !rest.empty();)
    if (const auto controller = take_until(rest, ' '); has_word(useful, controller, ' '))
      enable_ += concat("+", controller, " ");
}

void CgroupGrant::add(const CgroupFacts& facts, const Setting& setting, bool given) {
  const auto& key = *setting.key;
  if (key.name == "containers") containers_ = *parse_decimal(setting.text);
  if (!key.is_a_file()) return;
  const auto place = place_of(key, facts);
  if (place == Place::kBase && !setting.text.empty())
    parts_[0].writes.push_back(
        {setting.file, setting.text, given || key.file.starts_with("cgroup.")});
  if (place == Place::kV1)
    std::ranges::move(v1_writes(setting, given),
                      std::back_inserter(part_of(parts_, v1_name(controller_of(key.name))).writes));
}

std::vector<CgroupWrite> taken_back(const CgroupPart& part, std::string_view file,
                                    std::string_view text) {
  std::vector<CgroupWrite> writes;
  const auto unless_set = [&](std::string_view device, std::string value) {
    const auto sets = [&](const CgroupWrite& w) {
      return w.file == file && w.text.starts_with(device);
    };
    if (std::ranges::none_of(part.writes, sets))
      writes.push_back({std::string(file), std::move(value), false});
  };
  const bool v2 = file == "io.max";
  if (v2 || file.starts_with("blkio.throttle.")) {
    while (!text.empty()) {
      auto line = take_until(text, '\n');
      const auto device = concat(take_until(line, ' '), " ");
      if (device.contains(':'))
        unless_set(device, concat(device, v2 ? "rbps=max wbps=max riops=max wiops=max" : "0"));
    }
  } else if (file.starts_with("hugetlb.") && !file.contains(".rsvd.")) {
    if (file.ends_with(".max")) unless_set("", "max");
    if (file.ends_with(".limit_in_bytes")) unless_set("", "-1");
  }
  return writes;
}

}  // namespace userns
