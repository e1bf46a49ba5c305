#include "frontend/start/cgroup_entry.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <utility>
#include <vector>

#include "frontend/run/cgroup/files.h"
#include "frontend/run/exit_status.h"
#include "frontend/run/helper.h"
#include "frontend/run/own_words.h"
#include "frontend/run/process.h"
#include "frontend/spec/tell.h"
#include "frontend/spec/user_database.h"
#include "frontend/start/ids/in_map.h"
#include "frontend/start/net/user_network.h"
#include "policy/cgroup_rules.h"
#include "policy/proc_status.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

// Set to the pid of the first life on the way to the second, so that a first one is never tried
// twice.
constexpr const char* kMark = "USERNS_RUN_IN_CGROUP_OF";
constexpr const char* kEnable = "cgroup.subtree_control";
constexpr std::string_view kScope = "userns-run-";

// --- the first life: becoming somebody who can make a cgroup --------------------------------

// "web-77": there may be a container of that name in another store. userns-cgroup(8) takes names of
// the same letters as containers have, up to a length.
std::string name_for_helper(std::string_view container) {
  constexpr std::size_t kLongest = 32;
  const auto own = concat("-", ::getpid());
  const auto label = container.empty() ? "run" : container;
  return concat(label.substr(0, kLongest - own.size()), own);
}

std::string name_for_systemd(std::string_view container) {
  return concat(kScope, container, container.empty() ? "" : "-", ::getpid(), ".scope");
}

// Own program and words, which stay the same through both lives.
Result<std::vector<std::string>> same_again(std::vector<std::string> words) {
  auto ours = words.empty() ? own_words() : std::move(words);
  auto program = own_program();
  if (!ours || !program) return std::unexpected(ours ? program.error() : ours.error());
  if (ours->empty()) ours->emplace_back();
  ours->front() = std::move(*program);
  return ours;
}

// Says yes by having made the container that will be entered.
Result<void> try_helper(const std::string& name) {
  auto tried = Helper::start(cgroup_helper().c_str(), {"enter", name, "--", "/bin/true"});
  return tried ? tried->finish() : std::unexpected(tried.error());
}

// --- what no way leads to ---------------------------------------------------------------------

std::string v2_mount() {
  const bool is_pure = ::access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
  return is_pure ? "/sys/fs/cgroup" : "/sys/fs/cgroup/unified";
}

// `container`: it is started, and may have the limit as a setting of its own.
Error no_file_for(const LimitWish& limit, std::string_view why, std::string_view container = {}) {
  const auto option = std::string_view(limit.option).substr(0, limit.option.find(' '));
  const auto next = container.empty()
                        ? std::string{}
                        : concat("; to start it without: userns-run update ", container,
                                 " --unset ", option.substr(option.find_first_not_of('-')));
  return {
      .rule = {},
      .code = 0,
      .text = concat(limit.option, " can't be set: this host offers no ", limit.file, why, next)};
}
constexpr std::string_view kNotDelegated =
    ": its controller is not delegated to the user's service manager";
constexpr std::string_view kNotInV2 =
    " in the cgroup v2 hierarchy; an administrator may limit it in cgroup.conf(5)";

bool has_word(std::string_view words, std::string_view word) {
  while (!words.empty())
    if (take_until(words, ' ') == word) return true;
  return false;
}

// `controllers`: as the file cgroup.controllers has them.
const LimitWish* limit_without_controller(const Spec& spec, std::string_view controllers) {
  controllers = controllers.substr(0, controllers.find('\n'));
  for (const auto& limit : spec.limits) {
    const auto controller = std::string_view(limit.file).substr(0, limit.file.find('.'));
    if (!has_word(controllers, controller)) return &limit;
  }
  return nullptr;
}

// A host whose v2 hierarchy lacks a controller has no cgroup with it, whoever grants one. Where
// that cannot be looked at, the start tells.
Result<void> check_host(const Spec& spec, std::string_view container = {}) {
  const auto controllers = read_path(AT_FDCWD, concat(v2_mount(), "/cgroup.controllers"));
  const auto* const limit = controllers ? limit_without_controller(spec, *controllers) : nullptr;
  if (limit == nullptr) return {};
  return std::unexpected(no_file_for(*limit, kNotInV2, container));
}

// The same of the cgroup that the helper has made for a trial.
Result<void> check_trial(const Spec& spec, const std::string& name) {
  const auto path = path_of_own_cgroup(name);
  const auto controllers =
      path ? read_path(AT_FDCWD, concat(*path, "/cgroup.controllers")) : fail({}, "");
  const auto* const limit = controllers ? limit_without_controller(spec, *controllers) : nullptr;
  if (limit == nullptr) return {};
  return std::unexpected(no_file_for(*limit, kNotInV2));
}

// What the cgroup is for: limits that were asked for, or an init that cannot do without.
std::string why_wanted(const Spec& spec) {
  if (spec.limits.empty() && spec.cgroup_unsaid)
    return "the init is systemd, which needs a cgroup of its own, and there is no way to a cgroup";
  return "no way to a cgroup, so no limit would hold";
}

Result<CgroupMode> choose_mode(const Spec& spec, const std::string& name) {
  const auto wish = spec.cgroup;
  if (wish == CgroupMode::kSystemd && !has_user_manager())
    return fail({},
                "--cgroup systemd: there is no systemd user manager here: log in through PAM, or "
                "loginctl enable-linger");
  if (wish != CgroupMode::kAuto) return wish;
  const auto by_helper = try_helper(name);
  if (by_helper) return CgroupMode::kHelper;
  if (has_user_manager()) return CgroupMode::kSystemd;
  const auto user = login_name(Uid{::getuid()}).value_or(concat(::getuid()));
  return fail(
      {}, concat(why_wanted(spec), ": ", by_helper.error().text,
                 "; and there is no systemd user manager (XDG_RUNTIME_DIR): ask the "
                 "administrator for \"userns-policy grant ",
                 user, " --cgroup containers=4\", or for \"loginctl enable-linger ", user, "\""));
}

// In the child the helper starts this program there and ends.
Error begin_as_new_process(const std::string& name, std::vector<std::string> words) {
  const auto made = clone_process(0);
  if (!made) return made.error();
  if (made->pid != 0) release_after_children(name, made->pid);
  tell("userns-run", begin_again_by({cgroup_helper(), "spawn", name, "--"}, std::move(words)));
  ::_exit(kExitOwnFailure);
}

Error begin_second_life(const Spec& spec, const NamedRun& run) {
  const auto name = name_for_helper(run.container);
  const auto mode = choose_mode(spec, name);
  if (!mode) return mode.error();
  if (::setenv(kMark, concat(::getpid()).c_str(), 1) != 0)
    return {.rule = {}, .code = errno, .text = "cannot set a variable"};
  if (*mode == CgroupMode::kHelper && !run.words.empty())
    return begin_as_new_process(name, run.words);
  if (*mode == CgroupMode::kHelper) {
    release_after_us(name);
    return begin_again_by({cgroup_helper(), "enter", name, "--"});
  }
  return begin_again_by(
      {"systemd-run", "--user", "--scope", "--quiet", "--collect", "--property=Delegate=yes",
       "--property=KillSignal=SIGURG",  // kScopeStops in frontend/run/signals.h
       concat("--unit=", name_for_systemd(run.container)), "--"},
      run.words);
}

// --- the second life ------------------------------------------------------------------------

bool is_marked(pid_t first_life) {
  const char* const mark = std::getenv(kMark);
  return mark != nullptr && mark == concat(first_life);
}

// BASE/UID/NAME-PID or userns-run-NAME-PID.scope, whatever the container is called by now. Desktops
// give programs scopes of other names with a pid at the end.
bool is_of_this_run(std::string_view path) {
  const auto last = path.substr(path.rfind('/') + 1);
  if (last.ends_with(concat("-", ::getpid(), ".scope"))) return last.starts_with(kScope);
  const auto first_life = is_marked(::getppid()) ? ::getppid() : ::getpid();
  return path.ends_with(concat("-", first_life)) &&
         path.substr(0, path.size() - last.size()).ends_with(concat("/", ::getuid(), "/"));
}

struct OwnCgroup {
  std::string directory;  // empty: it was not made for this run
  bool is_in_leaf = false;
};

Result<OwnCgroup> own_cgroup(std::string_view earlier) {
  const auto text = read_path(AT_FDCWD, "/proc/self/cgroup");
  if (!text) return fail({}, "cannot read one's own cgroup", text.error().code);
  std::string path(cgroup_path(*text, ""));
  // There already, in the leaf that is for us: as a new process, or one that is started again.
  constexpr std::string_view kLeaf = "/monitor";
  const bool is_in_leaf = path.ends_with(kLeaf);
  if (is_in_leaf) path.resize(path.size() - kLeaf.size());
  auto directory = concat(v2_mount(), path);
  if (directory != earlier && !is_of_this_run(path)) return OwnCgroup{};
  return OwnCgroup{.directory = std::move(directory), .is_in_leaf = is_in_leaf};
}

// The caller may still start processes in it (exec), by the caller's group. Others of that group
// may not: moving a process takes the right to write the common ancestor, which is root's or the
// caller's.
Result<std::string> give(const Fd& leaf, gid_t callers) {
  for (const char* const name : {".", "cgroup.threads", "cgroup.subtree_control"})
    if (::fchownat(leaf.get(), name, 0, 0, AT_SYMLINK_NOFOLLOW) != 0)
      return fail_errno(concat("cannot give away ", name));
  if (::fchownat(leaf.get(), "cgroup.procs", 0, callers, AT_SYMLINK_NOFOLLOW) != 0 ||
      ::fchmodat(leaf.get(), "cgroup.procs", 0664, 0) != 0)
    return fail_errno("cannot give away cgroup.procs");
  return "";
}

// Root inside is nobody to the kernel who could take what is the caller's; in a user namespace of
// both it is one chown. Nothing to do where root inside is the caller, or nobody.
Result<void> as_root_inside(const ChosenIds& ids,
                            const std::function<Result<std::string>(gid_t callers)>& act) {
  if (!ids.uids.has(0) || !ids.gids.has(0) || ids.uids.writer != MapWriter::kHelper ||
      ids.gids.writer != MapWriter::kHelper)
    return {};
  const auto all = TRY(ids_with_self(ids, ::getuid(), ::getgid()));
  const auto done =
      in_map(all.ids, [&](const Outside&) { return act(all.gid); }, {.heeds_signals = false});
  if (!done)
    return fail({}, concat("the container's own cgroup: ", done.error().text), done.error().code);
  return {};
}

Result<void> set_limits(const Plan& plan, std::string_view container, const Cgroup::Parts& parts) {
  auto controllers = TRY(read_path(parts.own.get(), "cgroup.controllers"));
  std::string_view rest = controllers;
  for (rest = rest.substr(0, rest.find('\n')); !rest.empty();)
    if (auto enabled = write_file(parts.own.get(), kEnable, concat("+", take_until(rest, ' ')));
        !enabled)
      return fail({}, "cannot enable the controllers of one's own cgroup", enabled.error().code);
  for (const auto& limit : plan.spec.limits) {
    const auto set = write_file(parts.payload.get(), limit.file, limit.text);
    if (!set && set.error().code == ENOENT) {
      const bool is_scope = parts.path.ends_with(".scope");
      return std::unexpected(no_file_for(limit, is_scope ? kNotDelegated : kNotInV2, container));
    }
    if (!set) return fail({}, concat("cannot set ", limit.option), set.error().code);
  }
  return {};
}

Result<Cgroup> make_leaves(const Plan& plan, std::string_view container, const OwnCgroup& cgroup) {
  const auto& path = cgroup.directory;
  auto own = open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY);
  if (!own) return fail({}, concat("cannot open one's own cgroup ", path), own.error().code);
  // A leftover of an earlier process of the same number, or of an earlier life of this one, may
  // have other limits.
  if (::unlinkat(own->get(), "payload", AT_REMOVEDIR) != 0 && errno != ENOENT) {
    const auto leaf = TRY(open_at(own->get(), "payload", O_RDONLY | O_DIRECTORY));
    remove_cgroups_below(leaf);
    TRY(sweep_as_root_inside(leaf, plan.ids));
    (void)::unlinkat(own->get(), "payload", AT_REMOVEDIR);
  }
  if ((::mkdirat(own->get(), "monitor", 0755) != 0 && errno != EEXIST) ||
      ::mkdirat(own->get(), "payload", 0755) != 0)
    return fail_errno(concat("cannot make cgroups in ", path));
  if (!cgroup.is_in_leaf) TRY(write_file(own->get(), "monitor/cgroup.procs", "0"));
  auto payload = TRY(open_at(own->get(), "payload", O_RDONLY | O_DIRECTORY));
  Cgroup::Parts parts{.path = path,
                      .own = std::move(*own),
                      .payload = std::move(payload),
                      .limits = plan.spec.limits};
  TRY(set_limits(plan, container, parts));
  return Cgroup(std::move(parts));
}

}  // namespace

bool has_user_manager() {
  const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
  return runtime != nullptr &&
         ::access(concat(std::string_view(runtime), "/systemd/private").c_str(), F_OK) == 0;
}

Error begin_again_by(std::vector<std::string> program, std::vector<std::string> words) {
  const auto ours = same_again(std::move(words));
  if (!ours) return ours.error();
  program.insert(program.end(), ours->begin(), ours->end());
  ::execvp(program.front().c_str(), argv_of(program).data());
  return {.rule = {}, .code = errno, .text = concat("cannot start ", program.front())};
}

Result<void> give_leaf_to_root_inside(const Fd& leaf, const ChosenIds& ids) {
  return as_root_inside(ids, [&](gid_t callers) { return give(leaf, callers); });
}

Result<void> sweep_as_root_inside(const Fd& leaf, const ChosenIds& ids) {
  return as_root_inside(ids, [&](gid_t) -> Result<std::string> {
    if (!remove_cgroups_below(leaf)) return fail_errno("cannot look through it");
    return "";
  });
}

Result<void> check_way_to_cgroup(const Spec& spec) {
  if (spec.cgroup == CgroupMode::kNone) return {};
  TRY(check_host(spec));
  const auto name = name_for_helper("");
  const auto mode = TRY(choose_mode(spec, name));
  if (mode != CgroupMode::kHelper) return {};
  if (spec.cgroup == CgroupMode::kHelper)
    if (auto tried = try_helper(name); !tried) return tried;
  auto possible = check_trial(spec, name);
  if (auto released = Helper::start(cgroup_helper().c_str(), {"release", name}))
    (void)released->finish();
  return possible;
}

Result<Cgroup> enter_cgroup(const Plan& plan, const NamedRun& run) {
  if (plan.spec.cgroup == CgroupMode::kNone) return Cgroup{};
  const auto cgroup = TRY(own_cgroup(run.earlier));
  const auto& path = cgroup.directory;
  const bool is_second = !path.empty() || is_marked(::getpid()) || is_marked(::getppid());
  if (!is_second) {
    TRY(check_host(plan.spec, run.container));
    const auto* const user = std::get_if<NetUser>(&plan.spec.net);
    if (user != nullptr && !user->network.empty()) TRY(hold_network(user->network));
    return std::unexpected(begin_second_life(plan.spec, run));
  }
  if (is_marked(::getppid())) (void)::setsid();
  ::unsetenv(kMark);
  if (path.empty()) return fail({}, "was not moved to a cgroup of its own (see /proc/self/cgroup)");
  if (plan.spec.cgroup == CgroupMode::kAuto)
    tell("userns-run",
         {.rule = {},
          .code = 0,
          .text = path.ends_with(".scope") ? "--cgroup auto: systemd, a scope of the user manager's"
                                           : "--cgroup auto: helper, userns-cgroup"});
  return make_leaves(plan, run.container, cgroup);
}

Result<void> give_to_root_inside(const Cgroup& cgroup, const Plan& plan) {
  if (!cgroup.payload().valid() || (plan.namespaces & CLONE_NEWCGROUP) == 0) return {};
  return give_leaf_to_root_inside(cgroup.payload(), plan.ids);
}

}  // namespace userns::frontend
