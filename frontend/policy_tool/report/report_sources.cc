#include "frontend/policy_tool/report/report_sources.h"

#include <grp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "common/fd.h"
#include "common/trusted_file.h"
#include "frontend/policy_tool/host_facts.h"
#include "policy/net_rules.h"
#include "policy/subid.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr unsigned kNobody = 65534;

// Helpers read these files with their caller's rights: what only root can read gives users nothing.
class AsNobody {
 public:
  AsNobody() {
    if (::geteuid() != 0) return;
    groups_.resize(static_cast<std::size_t>(std::max(0, ::getgroups(0, nullptr))));
    is_so_ = ::getgroups(static_cast<int>(groups_.size()), groups_.data()) >= 0 &&
             ::setgroups(0, nullptr) == 0;
    // A user namespace need not have these ids: then root's view is the one there is.
    if (is_so_) (void)(::setegid(kNobody) == 0 && ::seteuid(kNobody) == 0);
  }
  ~AsNobody() {
    if (!is_so_) return;
    if (::seteuid(0) != 0 || ::setegid(0) != 0 || ::setgroups(groups_.size(), groups_.data()) != 0)
      std::abort();  // never on as somebody else
  }
  AsNobody(const AsNobody&) = delete;
  AsNobody& operator=(const AsNobody&) = delete;

 private:
  std::vector<gid_t> groups_;
  bool is_so_ = false;
};

Result<std::string> read_as_users_do(const std::string& path, std::string_view rule) {
  const AsNobody nobody;
  const auto file = TRY(open_trusted_file(path));
  auto text = file ? read_all(*file, kLargestPolicy) : Result<std::string>{};
  if (!text) return fail(rule, concat("cannot read ", path), text.error().code);
  return text;
}

Result<std::vector<PolicyText>> net_texts_as_users_do() {
  const AsNobody nobody;
  return read_as_helpers_do(PolicyFile::kNet);
}

}  // namespace

void ReportSources::read_subids(SubidLines& file, PolicyFile kind) {
  file.path = installed_path(kind);
  file.is_elsewhere = nss_subid_source(text_of("/etc/nsswitch.conf")) != "files";
  if (file.is_elsewhere) return;
  auto text = read_as_users_do(file.path, "SU-READ");
  if (!text) return problems.push_back({file.path, text.error()});
  file.text = std::move(*text);
  const auto ids = kind == PolicyFile::kSubuid ? IdKind::kUid : IdKind::kGid;
  for (const auto& entry : subid_entries(file.path, file.text, ids, nullptr))
    file.by_owner[std::string(entry.parsed.owner)].push_back(entry);
}

void ReportSources::read_nets() {
  const auto path = installed_path(PolicyFile::kNet);
  auto texts = net_texts_as_users_do();
  if (!texts) return problems.push_back({path, texts.error()});
  net_texts = std::move(*texts);
  if (const auto parsed = parse(net_texts); !parsed)
    return problems.push_back({path, parsed.error()});
  nets = net_entries(net_texts, nullptr);
  for (const auto& entry : nets) nets_by_who[std::string(entry.parsed.who)].push_back(&entry);
}

void ReportSources::read_cgroups() {
  cgroups = read_cgroup_sources(Uid{0});
  if (!cgroups.conf) {
    const auto& error = cgroups.conf.error();
    const bool is_roots = error.code == EACCES && ::geteuid() != 0;
    problems.push_back(
        {cgroups.path, is_roots ? Error{.rule = {},
                                        .code = EACCES,
                                        .text = "only root can read it: sudo userns-policy report"}
                                : error});
    return;
  }
  for (const auto& line : cgroups.conf->lines) cgroups_by_who[line.who].push_back(&line);
  if (!cgroups.base) return;
  const bool is_v1 = !cgroups.base->hierarchy.empty();
  std::error_code gone;
  for (const auto& entry : std::filesystem::directory_iterator(cgroups.base->path, gone)) {
    auto name = entry.path().filename().string();
    if (is_v1 && !name.starts_with("userns-")) continue;
    const auto uid = parse_decimal(std::string_view(name).substr(is_v1 ? 7 : 0));
    // A user's own directory stays when they have no container any more.
    if (!uid || *uid > kLargestId || containers_in(entry.path()).value_or(0) == 0) continue;
    cgroup_owners.push_back(static_cast<std::uint32_t>(*uid));
  }
}

void ReportSources::see_nics() {
  std::error_code gone;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/class/net", gone)) {
    const auto name = entry.path().filename().string();
    if (const auto slot = Slot::from_name(name)) ++nics[{slot->owner.value(), slot->bridge}];
    if (const auto facts = interface_facts(name); facts.is_bridge)
      bridges[bridge_number(name)] = name;
  }
}

ReportSources::ReportSources() : cgroups(CgroupSources{{}, {}, {}, {}, {}}) {
  read_subids(uids, PolicyFile::kSubuid);
  read_subids(gids, PolicyFile::kSubgid);
  read_nets();
  read_cgroups();
  see_nics();
  sees_processes = ::geteuid() == 0;
  if (!sees_processes) return;
  living_uids = living_ids(IdKind::kUid);
  living_gids = living_ids(IdKind::kGid);
}

std::string user_cgroup(const CgroupBase& base, Uid uid) {
  return concat(base.path, "/", base.hierarchy.empty() ? concat(uid.value()) : v1_user_cgroup(uid));
}

std::string user_cgroup_v1(std::string_view controller, const CgroupConf& conf, Uid uid) {
  const auto base = v1_base(controller, conf, uid);
  return base ? concat(*base, "/", v1_user_cgroup(uid)) : std::string{};
}

namespace {

// cgroup v1 does not tell of those below, and there are none.
bool has_processes(const std::string& cgroup) {
  const auto events = text_of(concat(cgroup, "/cgroup.events"));
  return events.contains("populated 1") ||
         (events.empty() && !text_of(concat(cgroup, "/cgroup.procs")).empty());
}

}  // namespace

std::optional<std::uint64_t> containers_in(const std::string& directory) {
  std::error_code failed;
  std::uint64_t count = 0;
  for (auto at = std::filesystem::directory_iterator(directory, failed);
       !failed && at != std::filesystem::directory_iterator(); at.increment(failed)) {
    std::error_code gone;
    if (at->is_directory(gone) && has_processes(at->path().string())) ++count;
  }
  if (failed == std::errc::no_such_file_or_directory) return 0;
  return failed ? std::nullopt : std::optional(count);
}

}  // namespace userns::frontend
