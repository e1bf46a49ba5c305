#include "frontend/doctor/gather.h"

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "common/config.h"
#include "common/fd.h"
#include "common/policy_files.h"
#include "common/report.h"
#include "common/subid_source.h"
#include "frontend/container/make/instant.h"
#include "frontend/doctor/directory.h"
#include "frontend/doctor/probe.h"
#include "frontend/run/apparmor.h"
#include "frontend/run/helper.h"
#include "frontend/spec/user_database.h"
#include "frontend/start/ids/callers_ids.h"
#include "frontend/start/ids/process_ids.h"
#include "frontend/start/mounts/remote_files.h"
#include "frontend/start/net/net_choice.h"
#include "frontend/store/store.h"
#include "policy/cgroup_conf.h"
#include "policy/cgroup_rules.h"
#include "policy/net_conf.h"
#include "policy/proc_status.h"
#include "policy/text.h"
#include "policy/who.h"

namespace userns::frontend::doctor {
namespace {

constexpr std::size_t kLargestFile = 1UL << 20U;

Result<std::string> read_file(const std::string& path) {
  const auto file = open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_NOCTTY);
  return file ? read_all(*file, kLargestFile) : std::unexpected(file.error());
}

// Without the newline; empty where it cannot be read.
std::string line_of(const std::string& path) {
  auto text = read_file(path).value_or("");
  text.resize(std::min(text.find_first_of(std::string_view("\n\0", 2)), text.size()));
  return text;
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

std::string env(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// What the owner of a file is said to be who has no uid in this user namespace.
std::uint64_t overflow_uid() {
  return parse_decimal(line_of("/proc/sys/kernel/overflowuid")).value_or(65534);
}

// --- the kernel and the caller --------------------------------------------------------------

void look_at_kernel(Facts& facts) {
  utsname system{};
  if (::uname(&system) == 0) facts.kernel = system.release;
  for (const std::string_view name :
       {"kernel.unprivileged_userns_clone", "kernel.apparmor_restrict_unprivileged_userns",
        "user.max_user_namespaces", "fs.inotify.max_user_instances",
        "fs.inotify.max_user_watches"}) {
    std::string path = concat("/proc/sys/", name);
    std::ranges::replace(path, '.', '/');
    facts.sysctls.push_back({.name = name, .value = parse_decimal(line_of(path))});
  }
}

std::string_view option_of(std::string_view options, std::string_view key) {
  while (!options.empty()) {
    const auto option = take_until(options, ',');
    if (option.starts_with(key)) return option.substr(key.size());
  }
  return {};
}

// ID PARENT DEV ROOT MOUNTPOINT OPTIONS ... - TYPE SOURCE SUPER_OPTIONS
void look_at_mounts(Facts& facts) {
  const auto text = read_file("/proc/self/mountinfo").value_or("");
  for (std::string_view rest = text; !rest.empty();) {
    const auto line = take_until(rest, '\n');
    std::string_view words = line;
    for (int i = 0; i < 4; ++i) (void)take_until(words, ' ');
    const auto where = take_until(words, ' ');
    const auto dash = line.find(" - ");
    if (where == "/proc" && dash != std::string_view::npos)
      facts.hidepid = option_of(line.substr(line.rfind(' ') + 1), "hidepid=");
    // Directories that are always empty may be mounted on; what is hidden there is nothing.
    if (where.starts_with("/proc/") && !where.starts_with("/proc/sys/fs/binfmt_misc"))
      facts.over_proc.emplace_back(where);
  }
}

// The next word; blanks before it are passed over.
std::string_view word_of(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  return take_until(text, ' ');
}

// "UID: USAGE KEYS/INSTANTIATED KEYS/MOST BYTES/MOST"
void look_at_keys(Facts& facts) {
  facts.keys_most = parse_decimal(line_of("/proc/sys/kernel/keys/maxkeys")).value_or(0);
  const auto text = read_file("/proc/key-users").value_or("");
  for (std::string_view rest = text; !rest.empty();) {
    auto line = take_until(rest, '\n');
    if (word_of(line) != concat(facts.uid, ":")) continue;
    (void)word_of(line);
    (void)word_of(line);
    auto keys = word_of(line);
    facts.keys_used = parse_decimal(take_until(keys, '/')).value_or(0);
    facts.keys_most = parse_decimal(keys).value_or(0);
  }
}

// systemd in a container writes there what its own environment says.
constexpr const char* kInitsContainer = "/run/systemd/container";

void look_at_own_ids(Facts& facts) {
  std::uint64_t count = 0;
  for (const auto& line : parse_map_file(read_file("/proc/self/uid_map").value_or("")))
    count += line.inside().count();
  if (count != 0) facts.own_ids = count;
}

void look_at_caller(Facts& facts, Directory& directory) {
  look_at_own_ids(facts);
  facts.uid = ::getuid();
  struct stat root{};
  if (const auto root_dir = open_at(AT_FDCWD, "/", O_PATH); !root_dir)
    facts.openat2_code = root_dir.error().code;
  facts.has_proc = exists("/proc/self/status");
  facts.is_in_ours = env("container") == "userns" || line_of(kInitsContainer) == "userns";
  facts.is_nested = facts.has_proc && ::stat("/", &root) == 0 && root.st_uid != 0 &&
                    root.st_uid == overflow_uid();
  const auto login = [&] { return login_name(Uid{facts.uid}).value_or(""); };
  facts.login = directory.ask(concat("the login name of uid ", facts.uid), login).value_or("");
  const auto status = read_file("/proc/self/status").value_or("");
  facts.no_new_privs = proc_number(status, "NoNewPrivs") == 1;
  facts.filtered = proc_number(status, "Seccomp").value_or(0) != 0;
  facts.bounding =
      std::strtoull(std::string(proc_field(status, "CapBnd").value_or("")).c_str(), nullptr, 16);
  facts.apparmor = apparmor_label();
  facts.profile = concat("/etc/apparmor.d/", std::string_view(kRunProfile));
  facts.profile_is_there = exists(facts.profile);
  if (auto source = concat(std::string_view(kProfileDir), "/", std::string_view(kRunProfile));
      exists(source))
    facts.profile_source = std::move(source);
  facts.runtime_dir = env("XDG_RUNTIME_DIR");
  struct stat found{};
  facts.runtime_dir_is_own =
      ::stat(facts.runtime_dir.c_str(), &found) == 0 && found.st_uid == facts.uid;
  facts.has_user_manager =
      !facts.runtime_dir.empty() && exists(concat(facts.runtime_dir, "/systemd/private"));
  facts.lingers = !facts.login.empty() && exists(concat("/var/lib/systemd/linger/", facts.login));
  facts.has_user_bus = !facts.runtime_dir.empty() && exists(concat(facts.runtime_dir, "/bus"));
}

// --- helpers --------------------------------------------------------------------------------

// Into memory, not a pipe: a program that has much to say must not wait for us meanwhile.
std::string version_of(const std::string& path) {
  const Fd output(::memfd_create("version", MFD_CLOEXEC));
  if (!output.valid()) return {};
  auto started = Helper::start(path.c_str(), {"--version"}, &output);
  const bool well = started && started->finish().has_value();
  if (!well || ::lseek(output.get(), 0, SEEK_SET) != 0) return {};
  auto said = read_all(output, kLargestFile).value_or("");
  said.resize(std::min(said.find('\n'), said.size()));
  return said;
}

constexpr std::chrono::seconds kProgramPatience{3};

Program look_at_program(std::string_view name, const std::string& installed) {
  Program program{
      .name = name, .path = exists(installed) ? installed : find_program(name), .version = {}};
  struct stat found{};
  struct statvfs system{};
  if (program.path.empty() || ::stat(program.path.c_str(), &found) != 0) return program;
  program.is_roots = found.st_uid == 0;
  program.is_setuid = (found.st_mode & S_ISUID) != 0;
  program.has_file_caps = ::getxattr(program.path.c_str(), "security.capability", nullptr, 0) > 0;
  program.on_nosuid =
      ::statvfs(program.path.c_str(), &system) == 0 && (system.f_flag & ST_NOSUID) != 0;
  program.others_write = (found.st_mode & (S_IWGRP | S_IWOTH)) != 0;
  program.owner_is_unknown = found.st_uid != 0 && found.st_uid == overflow_uid();
  Directory child(kProgramPatience);
  const auto said = child.ask("its version", [&] { return version_of(program.path); });
  program.version = said.value_or("");
  program.hangs = !said && said.error().code == ETIMEDOUT;
  return program;
}

// As common/asker.cc looks at it.
std::string fault_of_names() {
  struct stat found{};
  if (::stat(kNamesPath, &found) != 0) return concat(kNamesPath, " is not installed");
  if (found.st_uid != 0) return concat(kNamesPath, " is not root's");
  if ((found.st_mode & 066U) == 0) return {};
  return concat(kNamesPath, " can be read or written by users, who could trace it then");
}

void look_at_programs(Facts& facts) {
  facts.names_fault = fault_of_names();
  const std::string_view helpers(kHelperDir);
  facts.programs = {look_at_program("newuidmap", kNewuidmapPath),
                    look_at_program("newgidmap", kNewgidmapPath),
                    look_at_program("userns-net", concat(helpers, "/userns-net")),
                    look_at_program("userns-cgroup", concat(helpers, "/userns-cgroup"))};
  facts.busybox = find_program("busybox");
  if (facts.busybox.empty()) return;
  // A program that needs a loader says so in a header of type PT_INTERP.
  const auto file = open_at(AT_FDCWD, facts.busybox.c_str(), O_RDONLY);
  char begin[4096] = {};
  const auto got = file ? read_some(*file, begin).value_or(0) : 0;
  Elf64_Ehdr header{};
  if (got < sizeof header) return;
  std::memcpy(&header, begin, sizeof header);
  facts.busybox_is_static = std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0;
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr part{};
    const auto at = header.e_phoff + i * sizeof part;
    if (at + sizeof part > got) break;
    std::memcpy(&part, begin + at, sizeof part);
    if (part.p_type == PT_INTERP) facts.busybox_is_static = false;
  }
}

void look_at_user_net(Facts& facts) {
  for (const std::string_view name : {"pasta", "slirp4netns"})
    if (auto path = find_program(name); !path.empty())
      facts.user_net.push_back(
          {.program = std::string(name), .path = std::move(path), .refusal = {}});
  facts.can_open_tun = ::access("/dev/net/tun", R_OK | W_OK) == 0;
  facts.has_default_route = has_default_route();
  probe_user_net(facts);
}

// --- ids and policy -------------------------------------------------------------------------

// The ids that this user namespace has, as they are here.
std::vector<Extent> own_map(IdKind kind) {
  return parse_map_file(
      read_file(kind == IdKind::kUid ? "/proc/self/uid_map" : "/proc/self/gid_map").value_or(""));
}

std::uint64_t count_in(const IdRange& range, const IdRange& other) {
  const auto first = std::max<std::uint64_t>(range.first(), other.first());
  const auto end = std::min<std::uint64_t>(range.end(), other.end());
  return end > first ? end - first : 0;
}

// In the child: error, or source, counts, and the malformed line; with NUL between.
std::string subids_text(const Facts& facts, IdKind kind) {
  const auto found = find_subids(kind, facts.login, Uid{facts.uid});
  if (!found) return to_text(found.error());
  const auto map = own_map(kind);
  std::uint64_t all = 0, count = 0;
  for (const auto& range : found->owned.ranges()) {
    all += range.count();
    for (const auto& extent : map) count += count_in(range, extent.inside());
    if (map.empty()) count += range.count();  // no /proc to see them in
  }
  const auto unmapped = all - count;
  // IM-ROOT: that one is given to nobody but root.
  if (facts.uid != 0 && found->owned.covers(*IdRange::make(0, 1))) --count;
  return concat('\0', found->source, '\0', count, '\0', unmapped, '\0', found->skipped.line, '\0',
                found->skipped.why);
}

Subids look_at_subids(const Facts& facts, IdKind kind, Directory& directory) {
  Subids subids{.id = kind == IdKind::kUid ? "subuid" : "subgid",
                .source = {},
                .error = {},
                .malformed_why = {}};
  const auto said = directory.ask(concat("the ", subids.id, " ranges of uid ", facts.uid),
                                  [&] { return subids_text(facts, kind); });
  if (!said) {
    subids.error = to_text(said.error());
    return subids;
  }
  std::string_view rest = *said;
  subids.error = take_until(rest, '\0');
  subids.source = take_until(rest, '\0');
  subids.count = parse_decimal(take_until(rest, '\0')).value_or(0);
  subids.unmapped = parse_decimal(take_until(rest, '\0')).value_or(0);
  subids.malformed_line = parse_decimal(take_until(rest, '\0')).value_or(0);
  subids.malformed_why = rest;
  return subids;
}

// By the helpers' own look at the files, which waits for nothing that is not a file.
PolicyFile look_at_policy(std::string_view name, std::string_view rule,
                          std::vector<ConfText>& texts) {
  PolicyFile file{.path = concat(std::string_view(kPolicyDir), "/", name), .error = {}};
  auto read = PolicyFiles::read(file.path, rule);
  file.is_there = !read || !read->empty();
  if (read) {
    texts = std::move(*read);
    return file;
  }
  file.is_unseen = read.error().code == EACCES;
  file.is_safe = file.is_unseen || !read.error().rule.starts_with("TF-");
  file.error = to_text(read.error());
  return file;
}

Bridge look_at_bridge(std::string_view name) {
  Bridge bridge{.name = std::string(name)};
  const auto directory = concat("/sys/class/net/", name);
  bridge.is_there = exists(directory);
  bridge.is_bridge = exists(concat(directory, "/bridge"));
  bridge.filters_vlans = line_of(concat(directory, "/bridge/vlan_filtering")) == "1";
  bridge.mtu =
      static_cast<std::uint32_t>(parse_decimal(line_of(concat(directory, "/mtu"))).value_or(0));
  bridge.is_up =
      (std::strtoul(line_of(concat(directory, "/flags")).c_str(), nullptr, 16) & 1U) != 0;
  const std::unique_ptr<DIR, int (*)(DIR*)> ports(::opendir(concat(directory, "/brif").c_str()),
                                                  ::closedir);
  while (const dirent* const entry = ports ? ::readdir(ports.get()) : nullptr)
    if (entry->d_name[0] != '.') ++bridge.ports;
  return bridge;
}

void look_at_net_conf(Facts& facts, Directory& directory) {
  std::vector<ConfText> texts;
  facts.net_conf = look_at_policy("net.conf", "NC-READ", texts);
  std::vector<NetLine> lines;
  for (const auto& [path, text, is_secret] : texts)
    if (const auto added = add_net_conf(lines, path, text); !added && facts.net_conf.error.empty())
      facts.net_conf.error = to_text(added.error());
  if (!facts.net_conf.error.empty()) return;
  const auto in_group = [&](std::string_view group) { return directory.is_in(group); };
  std::vector<std::string_view> banned;
  for (const auto& line : lines) {
    if (!is_for(line.who, Uid{facts.uid}, facts.login, in_group)) continue;
    if (line.bans()) banned.push_back(line.bridge);
    if (line.count == 0) continue;
    auto known = std::ranges::find(facts.bridges, line.bridge, &Bridge::name);
    if (known == facts.bridges.end())
      known = facts.bridges.insert(known, look_at_bridge(line.bridge));
    known->count += line.count;
    known->sets_vlan = known->sets_vlan || line.terms.vlan != 0;
    known->most_mtu = std::max<std::uint32_t>(known->most_mtu, line.terms.mtu);
    known->locks = known->locks || !line.terms.spoof;
  }
  std::erase_if(facts.bridges, [&](const Bridge& bridge) {
    return std::ranges::find(banned, bridge.name) != banned.end();
  });
}

void look_at_cgroup_conf(Facts& facts, Directory& directory) {
  std::vector<ConfText> texts;
  facts.cgroup_conf = look_at_policy("cgroup.conf", "CC-READ", texts);
  CgroupConf conf;
  for (const auto& [path, text, is_secret] : texts)
    if (const auto added = add_cgroup_conf(conf, text, path);
        !added && facts.cgroup_conf.error.empty())
      facts.cgroup_conf.error = to_text(added.error());
  if (!facts.cgroup_conf.error.empty()) return;
  facts.has_own_base = !conf.base.empty();
  if (facts.has_own_base && !exists(concat(conf.base, "/cgroup.procs")))
    facts.lost_base = conf.base;
  const auto* const line =
      matching_line(conf, Uid{facts.uid}, facts.login,
                    [&](std::string_view group) { return directory.is_in(group); });
  if (line == nullptr) return;
  for (const auto& setting : line->settings)
    facts.cgroup_limits +=
        concat(facts.cgroup_limits.empty() ? "" : " ", setting.key->name, "=", setting.text);
  if (facts.cgroup_limits.empty()) facts.cgroup_limits = "the kernel's own limits alone";
}

void look_at_cgroups(Facts& facts) {
  const auto is_v2 = [](const char* path) {
    struct statfs system{};
    return ::statfs(path, &system) == 0 && system.f_type == CGROUP2_SUPER_MAGIC;
  };
  const std::string top = is_v2("/sys/fs/cgroup") ? "/sys/fs/cgroup" : "/sys/fs/cgroup/unified";
  if (is_v2("/sys/fs/cgroup"))
    facts.cgroups = CgroupLayout::kV2;
  else if (is_v2("/sys/fs/cgroup/unified"))
    facts.cgroups = CgroupLayout::kHybrid;
  else if (exists("/sys/fs/cgroup/memory") || exists("/sys/fs/cgroup/cpu"))
    facts.cgroups = CgroupLayout::kV1;
  facts.has_systemd = exists("/run/systemd/system");
  facts.has_cgroup_unit = exists(concat(top, "/system.slice/userns-cgroup.service/cgroup.procs"));
  facts.delegated = line_of(concat(top, "/user.slice/user-", facts.uid, ".slice/user@", facts.uid,
                                   ".service/cgroup.controllers"));
}

// --- files ----------------------------------------------------------------------------------

void look_at_containers(Facts& facts, Directory& directory) {
  // Without HOME it is looked up.
  facts.containers =
      directory.ask("the home directory", [] { return default_store_path().value_or(""); })
          .value_or("");
  if (facts.containers.empty()) return;
  auto there = facts.containers;
  while (there.size() > 1 && !exists(there))
    there.resize(std::max<std::size_t>(there.rfind('/'), 1));
  facts.containers_there = there;
  facts.can_write = ::access(there.c_str(), W_OK | X_OK) == 0;
  struct statvfs system{};
  if (::statvfs(there.c_str(), &system) != 0) return;
  facts.noexec = (system.f_flag & ST_NOEXEC) != 0;
  facts.nosuid = (system.f_flag & ST_NOSUID) != 0;
  facts.free_mib = system.f_bavail * (system.f_frsize / 1024) / 1024;
  facts.no_inodes = system.f_files > 0 && system.f_favail == 0;
  if (there == facts.containers)
    if (const auto store = Store::open({}); !store) facts.store_error = to_text(store.error());
  struct statfs kind{};
  if (::statfs(there.c_str(), &kind) == 0)
    facts.remote = remote_file_system(static_cast<std::uint64_t>(kind.f_type));
}

// --- acts for trial -------------------------------------------------------------------------

// What a program has against it, in its words; empty: it ended well.
std::string refusal_of(const char* path, const std::vector<std::string>& words) {
  const auto nowhere = open_at(AT_FDCWD, "/dev/null", O_WRONLY);
  if (!nowhere) return {};
  auto started = Helper::start(path, words, &*nowhere);
  const auto done = started ? started->finish() : std::unexpected(started.error());
  if (done) return {};
  auto error = to_text(done.error());
  for (const std::string_view name : {"userns-run: ", "userns-cgroup: ", "userns-net: "})
    if (error.starts_with(name)) error.erase(0, name.size());
  error.resize(std::min(error.rfind(" (see "), error.size()));
  return error;
}

std::string start_with(std::string_view net) {
  return refusal_of("/proc/self/exe",
                    {concat("--net=", net), "--cgroup=none", "--tty=no", "--", "/bin/true"});
}

// A container on each bridge: its NIC goes with it.
void try_bridges(Facts& facts) {
  for (auto& bridge : facts.bridges)
    if (bridge.is_there && bridge.is_bridge && bridge.is_up)
      bridge.error = start_with(concat("bridge=", bridge.name));
}

// An empty container below the user's own cgroup, which stays.
void try_cgroup(Facts& facts) {
  const auto helper = concat(std::string_view(kHelperDir), "/userns-cgroup");
  const auto name = concat("doctor-", ::getpid());
  const bool may_have = !facts.cgroup_limits.empty() || facts.cgroup_conf.is_unseen;
  if (!may_have || !exists(helper)) return;
  facts.cgroup_error = refusal_of(helper.c_str(), {"enter", name, "--", "/bin/true"});
  if (facts.cgroup_error.empty())
    facts.cgroup_error = refusal_of(helper.c_str(), {"release", name});
}

// By the act itself, which changes nothing: what a file system can is not written down anywhere.
void try_other_ids(Facts& facts) {
  const auto there =
      open_at(AT_FDCWD, facts.containers_there.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  struct stat seen{};
  if (!there || ::fstat(there->get(), &seen) != 0 || seen.st_uid != ::geteuid()) return;
  const auto ids = find_ids(Spec{});
  if (!ids) return;
  const auto can = try_idmap(*there, *ids);
  facts.idmap_error = can ? std::string{} : to_text(can.error());
}

}  // namespace

Facts gather() {
  Facts facts;
  facts.version = kVersion;
  Directory directory;
  look_at_caller(facts, directory);
  look_at_kernel(facts);
  look_at_mounts(facts);
  look_at_keys(facts);
  probe_namespaces(facts);
  look_at_user_net(facts);
  facts.nics = nic_problems(std::nullopt);
  look_at_programs(facts);
  facts.subids = {look_at_subids(facts, IdKind::kUid, directory),
                  look_at_subids(facts, IdKind::kGid, directory)};
  look_at_net_conf(facts, directory);
  look_at_cgroup_conf(facts, directory);
  look_at_cgroups(facts);
  look_at_containers(facts, directory);
  facts.unanswered = directory.unanswered();
  // Acts ask the same, and wait as long as it takes.
  if (!facts.unanswered.empty() || std::ranges::any_of(facts.programs, &Program::hangs) ||
      !facts.has_proc || facts.openat2_code != 0)
    return facts;
  facts.start_error = start_with("none");
  if (facts.start_error.empty()) try_bridges(facts);
  if (facts.start_error.empty()) try_other_ids(facts);
  try_cgroup(facts);
  return facts;
}

}  // namespace userns::frontend::doctor
