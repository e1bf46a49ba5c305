#include "frontend/policy_tool/host_facts.h"

#include <grp.h>
#include <linux/magic.h>
#include <net/if.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <set>
#include <system_error>
#include <tuple>

#include "common/fd.h"
#include "common/trusted_file.h"
#include "frontend/policy_tool/check/login_defs.h"
#include "frontend/policy_tool/directory.h"
#include "frontend/policy_tool/guard/nft.h"
#include "frontend/policy_tool/tool.h"
#include "frontend/spec/user_database.h"
#include "policy/cgroup_rules.h"
#include "policy/proc_status.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r";
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

// --- accounts -------------------------------------------------------------------------------

Accounts from_nss() {
  Accounts all;
  ::setpwent();
  while (const passwd* const entry = ::getpwent())
    all.users.push_back({entry->pw_name, entry->pw_uid, entry->pw_gid});
  ::endpwent();
  ::setgrent();
  while (const group* const entry = ::getgrent())
    all.groups.push_back({{entry->gr_name, entry->gr_gid, 0},
                          entry->gr_mem != nullptr && *entry->gr_mem != nullptr});
  ::endgrent();
  return all;
}

Accounts from_files(const std::string& root) {
  Accounts all;
  const auto users = text_of("/etc/passwd", root), groups = text_of("/etc/group", root);
  const auto number = [](std::string_view text) {
    return static_cast<std::uint32_t>(parse_decimal(text).value_or(kLargestId));
  };
  for (std::string_view rest = users; !rest.empty();) {
    auto line = take_until(rest, '\n');
    const auto name = take_until(line, ':');
    (void)take_until(line, ':');
    const auto uid = take_until(line, ':'), gid = take_until(line, ':');
    if (parse_decimal(uid)) all.users.push_back({std::string(name), number(uid), number(gid)});
  }
  for (std::string_view rest = groups; !rest.empty();) {
    auto line = take_until(rest, '\n');
    const auto name = take_until(line, ':');
    (void)take_until(line, ':');
    const auto gid = take_until(line, ':');
    if (parse_decimal(gid))
      all.groups.push_back({{std::string(name), number(gid), 0}, !line.empty()});
  }
  return all;
}

// A directory service may answer for what it does not list.
std::optional<Account> ask_user(std::string_view name) {
  const auto* const entry = ::getpwnam(std::string(name).c_str());
  return entry == nullptr ? std::nullopt
                          : std::optional(Account{entry->pw_name, entry->pw_uid, entry->pw_gid});
}
std::optional<Account> ask_uid(std::uint32_t uid) {
  const auto* const entry = ::getpwuid(uid);
  return entry == nullptr ? std::nullopt
                          : std::optional(Account{entry->pw_name, entry->pw_uid, entry->pw_gid});
}

// Large sites have as many owners as users.
struct Index {
  std::map<std::string, Account, std::less<>> users;
  std::map<std::uint32_t, std::string> names;  // of uids
  std::map<std::string, GroupFacts, std::less<>> groups;
  std::set<std::uint32_t> primary;  // groups that are a user's first
};

std::shared_ptr<const Index> index_of(const Accounts& accounts) {
  const auto index = std::make_shared<Index>();
  for (const auto& user : accounts.users) {
    index->users.try_emplace(user.name, user);
    index->names.try_emplace(user.id, user.name);
    index->primary.insert(user.group);
  }
  for (const auto& group : accounts.groups)
    index->groups.try_emplace(
        group.account.name,
        GroupFacts{group.account.id,
                   group.has_listed || index->primary.contains(group.account.id)});
  return index;
}

std::optional<GroupFacts> ask_group(std::string_view name, const Index& index) {
  const auto* const entry = ::getgrnam(std::string(name).c_str());
  if (entry == nullptr) return std::nullopt;
  return GroupFacts{entry->gr_gid, (entry->gr_mem != nullptr && *entry->gr_mem != nullptr) ||
                                       index.primary.contains(entry->gr_gid)};
}

void add_accounts(HostFacts& facts, const Accounts& accounts, bool ask_nss) {
  facts.uids.taken = accounts.users;
  for (const auto& group : accounts.groups) facts.gids.taken.push_back(group.account);
  for (auto* const ids : {&facts.uids, &facts.gids})
    std::ranges::sort(ids->taken, {}, [](const Account& a) { return std::tie(a.id, a.name); });
  const auto index = index_of(accounts);
  facts.user_by_name = [index, ask_nss](std::string_view name) {
    const auto found = index->users.find(name);
    if (found != index->users.end()) return std::optional(found->second);
    return ask_nss ? ask_user(name) : std::nullopt;
  };
  facts.user_by_uid = [index, ask_nss](std::uint32_t uid) {
    const auto found = index->names.find(uid);
    if (found != index->names.end()) return std::optional(index->users.find(found->second)->second);
    return ask_nss ? ask_uid(uid) : std::nullopt;
  };
  facts.group_by_name = [index, ask_nss](std::string_view name) -> std::optional<GroupFacts> {
    const auto found = index->groups.find(name);
    if (found != index->groups.end()) return found->second;
    return ask_nss ? ask_group(name, *index) : std::nullopt;
  };
}

// --- reserved ids ---------------------------------------------------------------------------

void reserve(std::vector<Reserved>& list, std::uint64_t first, std::uint64_t last,
             Severity severity, std::string_view id, std::string whose) {
  const auto range = last < first ? std::nullopt : IdRange::make(first, last - first + 1);
  if (range) list.push_back({*range, severity, id, std::move(whose)});
}

void add_login_defs(IdFacts& ids, const LoginDefs& defs, std::string_view letter) {
  if (defs.least > 0)
    reserve(ids.reserved, 0, defs.least - 1, Severity::kError, "system-ids",
            concat("ids of system accounts (below ", letter, "ID_MIN of login.defs)"));
  reserve(
      ids.reserved, defs.least, defs.most, Severity::kWarning, "account-range",
      concat("ids for coming accounts (", letter, "ID_MIN to ", letter, "ID_MAX of login.defs)"));
  ids.block = defs.count;
  ids.delegable = *IdRange::make(defs.sub_least, defs.sub_most - defs.sub_least + 1);
  ids.delegable_name = letter == "U" ? "SUB_UID_MIN to SUB_UID_MAX" : "SUB_GID_MIN to SUB_GID_MAX";
}

// Source: systemd's docs/UIDS-GIDS.md.
void add_systemds(IdFacts& ids, bool has_nspawn) {
  reserve(ids.reserved, 60001, 60577, Severity::kWarning, "dynamic-range", "ids of systemd-homed");
  reserve(ids.reserved, 61184, 65519, Severity::kWarning, "dynamic-range",
          "ids that systemd gives to services (DynamicUser=)");
  reserve(ids.reserved, 65534, 65535, Severity::kError, "system-ids",
          "nobody, and what 16-bit programs take for no id");
  if (has_nspawn)
    reserve(ids.reserved, 524288, 1879048191, Severity::kWarning, "dynamic-range",
            "ids that systemd-nspawn chooses from");
  reserve(ids.reserved, 2147352576, 2147418111, Severity::kWarning, "dynamic-range",
          "ids of foreign disk images (systemd)");
  reserve(ids.reserved, 4294967294, 4294967294, Severity::kError, "system-ids",
          "what some programs take for nobody");
}

void add_directory(HostFacts& facts, const std::string& root, const IdsConf& conf) {
  const auto add = [&](const std::vector<IdRange>& ranges, std::string_view whose) {
    facts.quiet_ranges_known = facts.quiet_ranges_known || !ranges.empty();
    for (const auto range : ranges)
      for (auto* const list : {&facts.uids.reserved, &facts.gids.reserved})
        list->push_back({range, Severity::kError, "directory-range", std::string(whose)});
  };
  add(sssd_ranges(text_of("/etc/sssd/sssd.conf", root)),
      "ids of a directory's accounts (sssd.conf)");
  add(winbind_ranges(text_of("/etc/samba/smb.conf", root)),
      "ids of a domain's accounts (idmap config in smb.conf)");
  add(conf.ranges, "ids of a directory's accounts (ids.conf)");
}

// --- the machine ----------------------------------------------------------------------------

std::uint64_t number_in(const std::string& path) {
  const auto text = text_of(path);
  return parse_decimal(trimmed(std::string_view(text).substr(0, text.find('\n')))).value_or(0);
}

std::vector<std::string> names_in(const char* directory) {
  std::vector<std::string> names;
  std::error_code gone;
  for (const auto& entry : std::filesystem::directory_iterator(directory, gone))
    names.push_back(entry.path().filename());
  std::ranges::sort(names);
  return names;
}

// "hugepages-2048kB" is "2MB" to the cgroup.
std::string page_size(std::string_view name) {
  name.remove_prefix(std::min<std::size_t>(10, name.size()));
  const auto kilobytes = parse_decimal(name.substr(0, name.find('k'))).value_or(0);
  if (kilobytes >= 1U << 20U) return concat(kilobytes >> 20U, "GB");
  return kilobytes >= 1024 ? concat(kilobytes >> 10U, "MB") : concat(kilobytes, "KB");
}

MachineFacts machine_facts() {
  MachineFacts machine;
  for (const auto& name : names_in("/sys/class/net"))
    machine.interfaces[name] = interface_facts(name);
  struct sysinfo info{};
  if (::sysinfo(&info) == 0) {
    machine.memory = std::uint64_t{info.totalram} * info.mem_unit;
    machine.swap = std::uint64_t{info.totalswap} * info.mem_unit;
  }
  machine.cpus = static_cast<std::uint64_t>(std::max(1L, ::sysconf(_SC_NPROCESSORS_CONF)));
  machine.pids = number_in("/proc/sys/kernel/pid_max");
  if (const auto threads = number_in("/proc/sys/kernel/threads-max"); threads > 0)
    machine.pids = std::min(machine.pids, threads);
  for (const auto& name : names_in("/sys/kernel/mm/hugepages"))
    machine.hugepages.push_back(page_size(name));
  machine.has_block_device = [](std::string_view device) {
    return ::access(concat("/sys/dev/block/", device).c_str(), F_OK) == 0;
  };
  machine.guard_state = guard_state;
  machine.cgroup_base = [](const CgroupConf& conf) { return cgroup_base(conf, Uid{0}); };
  machine.has_cgroup = [](const CgroupBase& base, std::string_view path) {
    return ::access(concat(base.mount, path, "/cgroup.procs").c_str(), F_OK) == 0;
  };
  machine.v1_hierarchy = [](std::string_view controller, const CgroupConf& conf) -> Result<void> {
    const auto base = v1_base(controller, conf, Uid{0});
    return base ? Result<void>{} : std::unexpected(base.error());
  };
  return machine;
}

// As helpers/cgroup has them.
constexpr std::string_view kV1Controllers[] = {"pids",   "memory", "cpu",
                                               "cpuset", "blkio",  "hugetlb"};
constexpr std::string_view kMount = "/sys/fs/cgroup", kUnit = "/userns-cgroup.service";

Result<void> check_base(const std::string& path, long magic) {
  const auto trusted = TRY(open_trusted_directory(path));
  struct statfs fs{};
  if (trusted && ::fstatfs(trusted->get(), &fs) == 0 && fs.f_type == magic) return {};
  return fail("CG-BASE", concat(path, " is not a directory of a cgroup ",
                                magic == CGROUP2_SUPER_MAGIC ? "v2" : "v1", " file system"));
}

bool is_systemds_own(const std::string& path, const CgroupConf& conf) {
  if (::access("/run/systemd/system", F_OK) != 0) return false;
  for (auto end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    char value = '0';
    const bool told = part.ends_with(kUnit) ||
                      (conf.delegated && (part.ends_with(".service") || part.ends_with(".scope")));
    if (told || (::getxattr(part.c_str(), "user.delegate", &value, 1) == 1 && value == '1'))
      return false;
    if (end == std::string::npos) return true;
  }
}

}  // namespace

std::string text_of(const std::string& path, const std::string& root) {
  const auto file = open_below(root, path);
  return file ? read_all(*file, kLargestPolicy).value_or("") : std::string{};
}

std::vector<IdRange> sssd_ranges(std::string_view text) {
  std::vector<IdRange> ranges;
  // A section's numbers; by default sssd maps a domain's accounts into these when it maps at all.
  std::uint64_t map_min = 200000, map_max = 2000200000, min_id = 1, max_id = 0;
  bool maps = false, is_domain = false;
  const auto finish = [&] {
    if (const auto range = IdRange::make(map_min, map_max - std::min(map_max, map_min) + 1);
        is_domain && maps && range)
      ranges.push_back(*range);
    if (const auto range =
            max_id >= min_id ? IdRange::make(min_id, max_id - min_id + 1) : std::nullopt;
        is_domain && range)
      ranges.push_back(*range);
    map_min = 200000, map_max = 2000200000, min_id = 1, max_id = 0, maps = false;
  };
  while (!text.empty()) {
    auto value = trimmed(take_until(text, '\n'));
    if (value.starts_with('[')) {
      finish();
      is_domain = value.starts_with("[domain/");
    }
    const auto key = trimmed(take_until(value, '='));
    value = trimmed(value);
    const auto number = parse_decimal(value);
    if (key == "ldap_idmap_range_min" && number) map_min = *number, maps = true;
    if (key == "ldap_idmap_range_max" && number) map_max = *number, maps = true;
    if (key == "min_id" && number) min_id = *number;
    if (key == "max_id" && number) max_id = *number;
    if (key == "id_provider" && value == "ad") maps = true;
    if (key == "ldap_id_mapping") maps = value == "True" || value == "true";
  }
  finish();
  return ranges;
}

std::vector<IdRange> winbind_ranges(std::string_view text) {
  std::vector<IdRange> ranges;
  while (!text.empty()) {
    auto value = trimmed(take_until(text, '\n'));
    const auto key = trimmed(take_until(value, '='));
    if (!key.starts_with("idmap config") || !key.ends_with("range")) continue;
    const auto first = parse_decimal(trimmed(take_until(value, '-'))),
               last = parse_decimal(trimmed(value));
    if (const auto range = first && last && *last >= *first
                               ? IdRange::make(*first, *last - *first + 1)
                               : std::nullopt)
      ranges.push_back(*range);
  }
  return ranges;
}

InterfaceFacts interface_facts(const std::string& name) {
  const auto base = concat("/sys/class/net/", name);
  InterfaceFacts facts;
  facts.index = static_cast<std::uint32_t>(number_in(concat(base, "/ifindex")));
  facts.is_bridge = ::access(concat(base, "/bridge").c_str(), F_OK) == 0;
  facts.filters_vlans = number_in(concat(base, "/bridge/vlan_filtering")) == 1;
  facts.mtu = static_cast<std::uint32_t>(number_in(concat(base, "/mtu")));
  const auto flags = text_of(concat(base, "/flags"));  // "0x1003\n"
  facts.up = flags.size() > 3 && (std::strtoul(flags.c_str(), nullptr, 16) & IFF_UP) != 0;
  return facts;
}

Result<std::string> v1_base(std::string_view controller, const CgroupConf& conf, Uid uid) {
  const auto text = text_of("/proc/self/cgroup");
  const auto own = cgroup_path(text, controller);
  if (own.empty() || own.contains("/.."))
    return fail("CG-CONTROLLER",
                concat("this host has no ", controller, " controller that can be used here"));
  const auto mount = concat(kMount, "/", controller), home = concat(mount, own);
  auto path = conf.v1_base.empty() ? std::string(above_user_cgroup(home, v1_user_cgroup(uid)))
                                   : concat(mount, conf.v1_base);
  for (const auto& directory : {home, path}) TRY(check_base(directory, CGROUP_SUPER_MAGIC));
  return path;
}

Result<CgroupBase> cgroup_base(const CgroupConf& conf, Uid uid) {
  const std::string mount = check_base(std::string(kMount), CGROUP2_SUPER_MAGIC)
                                ? std::string(kMount)
                                : concat(kMount, "/unified");
  const std::string unit = concat(mount, "/system.slice", kUnit);
  CgroupBase base{.path = !conf.base.empty()                  ? conf.base
                          : ::access(unit.c_str(), F_OK) == 0 ? unit
                                                              : mount,
                  .hierarchy = {},
                  .controllers = {},
                  .mount = mount};
  if (const auto trusted = check_base(base.path, CGROUP2_SUPER_MAGIC); !trusted) {
    if (conf.base.empty() && trusted.error().rule == "CG-BASE")
      for (const std::string_view controller : kV1Controllers) {
        const auto v1 = v1_base(controller, conf, uid);
        if (v1)
          return CgroupBase{.path = *v1,
                            .hierarchy = std::string(controller),
                            .controllers = {},
                            .mount = concat(kMount, "/", controller)};
        if (v1.error().rule != "CG-CONTROLLER") return std::unexpected(v1.error());
      }
    return std::unexpected(trusted.error());
  }
  base.controllers = text_of(concat(base.path, "/cgroup.controllers"));
  base.controllers.resize(std::min(base.controllers.find('\n'), base.controllers.size()));
  base.is_systemds = is_systemds_own(base.path, conf);
  return base;
}

CgroupPlace place_of(const CgroupBase& base, Uid uid) {
  CgroupPlace place{
      .own = {},
      .base = path_below(base.mount, base.path),
      .user_cgroup = base.hierarchy.empty() ? concat(uid.value()) : v1_user_cgroup(uid)};
  place.own = ::getuid() == uid.value()
                  ? std::string(cgroup_path(text_of("/proc/self/cgroup"), base.hierarchy))
                  : place.base;
  return place;
}

HostFacts host_facts(const std::string& root) {
  HostFacts facts;
  const auto ids_conf = read_ids_conf(concat(root, ids_conf_path()), text_of(ids_conf_path(), root),
                                      facts.login_defs);
  facts.quiet = quiet_sources(text_of("/etc/nsswitch.conf", root));
  facts.ask_id = ask_id;
  facts.may_ask_more = [end = std::optional<std::chrono::steady_clock::time_point>{}]() mutable {
    constexpr auto kPatience = std::chrono::seconds(2);  // of all questions of one run
    const auto now = std::chrono::steady_clock::now();
    if (!end) end = now + kPatience;
    return now < *end;
  };
  if (!root.empty() || is_other_root())
    facts.quiet.clear();  // this system's name service does not speak for another
  auto accounts = root.empty() ? from_nss() : from_files(root);
  add_unlisted(accounts, root, ids_conf, !facts.quiet.empty());
  add_accounts(facts, accounts, root.empty());
  const auto login_defs = text_of("/etc/login.defs", root);
  const auto path = concat(root, "/etc/login.defs");
  const auto of_uids = read_login_defs(path, login_defs, "U", facts.login_defs);
  const auto of_gids = read_login_defs(path, login_defs, "G", facts.login_defs);
  add_login_defs(facts.uids, of_uids, "U");
  add_login_defs(facts.gids, of_gids, "G");
  if (of_uids.deterministic)
    facts.uids.deterministic = {of_uids, of_uids.least, "SUB_UID_DETERMINISTIC"};
  if (of_gids.deterministic)
    facts.gids.deterministic = {of_gids, of_uids.least, "SUB_GID_DETERMINISTIC"};
  const bool has_nspawn = ::access(concat(root, "/usr/bin/systemd-nspawn").c_str(), F_OK) == 0;
  for (auto* const ids : {&facts.uids, &facts.gids}) add_systemds(*ids, has_nspawn);
  add_directory(facts, root, ids_conf);
  if (root.empty() && !is_other_root()) facts.machine = machine_facts();
  return facts;
}

}  // namespace userns::frontend
