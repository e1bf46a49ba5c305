#include "frontend/oci/cgroup/entry.h"

#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "frontend/oci/cgroup/place.h"
#include "frontend/oci/config/cgroups_path.h"
#include "frontend/run/helper.h"
#include "frontend/start/cgroup_entry.h"
#include "frontend/store/files.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

// Set to our pid on the way to the second life, so that a first one is never tried twice.
constexpr const char* kMark = "USERNS_OCI_IN_CGROUP_OF";

bool is_second_life() {
  const char* const mark = std::getenv(kMark);
  return mark != nullptr && mark == concat(::getpid());
}

// The cgroup of this name that this process is in, in the leaf for it or above; empty: it is not.
Result<std::string> made_by_name(const std::string& name) {
  auto own = own_cgroup();
  if (!own) return own;
  const auto leaf = concat("/", std::string_view(kRuntimeLeaf));
  if (own->ends_with(leaf)) own->resize(own->size() - leaf.size());
  return own->ends_with(concat("/", name)) ? own : std::string{};
}

Result<CgroupChoice> in_made(const std::string& own, CgroupMaker maker, const std::string& name) {
  ::unsetenv(kMark);
  return CgroupChoice{.path = concat(own, "/", std::string_view(kOciLeaf)),
                      .own = own,
                      .maker = maker,
                      .name = name};
}

Error live_again(std::vector<std::string> program) {
  if (is_second_life())
    return {.rule = {},
            .code = 0,
            .text = concat(program.front(), " did not move this process (see /proc/self/cgroup)")};
  if (::setenv(kMark, concat(::getpid()).c_str(), 1) != 0)
    return {.rule = {}, .code = errno, .text = "cannot set a variable"};
  return begin_again_by(std::move(program));
}

// --- systemd --------------------------------------------------------------------------------

// Root of the host has the system's manager; root of a user namespace, as podman's is, does not.
bool is_hosts_root() {
  const auto map = read_file_at(AT_FDCWD, "/proc/self/uid_map", 4096);
  if (!map || ::geteuid() != 0) return false;
  std::vector<std::string_view> words;
  for (std::string_view rest(*map); !rest.empty();)
    if (const auto word = take_until(rest, ' '); !word.empty()) words.push_back(word);
  return words.size() == 3 && words[0] == "0" && words[1] == "0";
}

Result<CgroupChoice> by_systemd(const Arguments& told, const OciConfig& config) {
  const auto scope = TRY(parse_scope_name(config.cgroups_path, told.id));
  const auto own = TRY(made_by_name(scope.unit));
  if (!own.empty()) return in_made(own, CgroupMaker::kSystemd, scope.unit);
  const bool is_root = is_hosts_root();
  if (!is_root && !has_user_manager())
    return fail({},
                "--systemd-cgroup: there is no systemd user manager here: log in through PAM, or "
                "loginctl enable-linger");
  if (is_root && ::access("/run/systemd/system", F_OK) != 0)
    return fail({}, "--systemd-cgroup: systemd does not run here");
  std::vector<std::string> words{"systemd-run",
                                 "--scope",
                                 "--quiet",
                                 "--collect",
                                 "--property=Delegate=yes",
                                 concat("--unit=", scope.unit)};
  if (!is_root) words.insert(words.begin() + 1, "--user");
  if (!scope.slice.empty()) words.push_back(concat("--slice=", scope.slice));
  words.emplace_back("--");
  return std::unexpected(live_again(std::move(words)));
}

// --- cgroupfs -------------------------------------------------------------------------------

Result<void> try_helper(const std::string& name) {
  auto tried = Helper::start(cgroup_helper().c_str(), {"enter", name, "--", "/bin/true"});
  return tried ? tried->finish() : std::unexpected(tried.error());
}

// A limit that nobody holds is worse than none.
std::unexpected<Error> no_way(const OciConfig& config, const Error& direct, const Error& helper) {
  return fail({},
              concat("config.json: ", config.resources.wishes.front().place,
                     " needs a cgroup, and none could be made: ", direct.text, "; ", helper.text,
                     "; use --systemd-cgroup in a session of systemd, leave the limit out "
                     "(podman: --cgroups=disabled), or say --cgroup-manager disabled"));
}

Result<CgroupChoice> by_helper(const OciConfig& config, const std::string& name,
                               const Error& direct) {
  if (::geteuid() == 0)
    return no_way(config, direct, {.rule = {}, .code = 0, .text = "root has no other way"});
  if (!is_second_life())
    if (const auto tried = try_helper(name); !tried) return no_way(config, direct, tried.error());
  return std::unexpected(live_again({cgroup_helper(), "enter", name, "--"}));
}

Result<CgroupChoice> by_hand(const Arguments& told, const OciConfig& config,
                             const std::string& root) {
  auto path = TRY(parse_cgroups_path(config.cgroups_path));
  const bool must = !config.resources.wishes.empty();
  if (path.below.empty() && !must) return CgroupChoice{};
  if (path.below.empty()) path.below = concat("userns-oci-", told.id);
  const auto name = helper_name(root, told.id);
  const auto own = TRY(made_by_name(name));
  if (!own.empty()) return in_made(own, CgroupMaker::kHelper, name);
  const auto place = find_place(path, config.resources);
  if (place) return CgroupChoice{.path = *place, .own = {}, .name = {}};
  if (!must) return CgroupChoice{};
  return by_helper(config, name, place.error());
}

}  // namespace

Result<CgroupChoice> choose_cgroup(const Arguments& told, const OciConfig& config,
                                   const std::string& root) {
  const auto& manager = told.cgroup_manager;
  if (manager == "disabled") return CgroupChoice{};
  if (manager == "systemd") return by_systemd(told, config);
  if (manager.empty() || manager == "cgroupfs") return by_hand(told, config, root);
  return fail(
      {}, concat("--cgroup-manager ", quoted(manager), " is not cgroupfs, systemd or disabled"));
}

// FNV-1a: names of containers of one user have to differ, and nothing hangs on more.
std::string helper_name(const std::string& root, const std::string& id) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : concat(root, "/", id))
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return concat("oci-", hash);
}

}  // namespace userns::frontend
