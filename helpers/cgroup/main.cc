// userns-cgroup, from argv to the exit status or to the caller's command. Contract:
// userns-cgroup(8).
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/asker.h"
#include "common/audit.h"
#include "common/caller.h"
#include "common/caller_process.h"
#include "common/capability.h"
#include "common/config.h"
#include "common/groups.h"
#include "common/lockdown.h"
#include "common/policy_files.h"
#include "common/report.h"
#include "helpers/cgroup/subtree.h"
#include "lockdown_blob.h"
#include "policy/cgroup_conf.h"
#include "policy/cgroup_rules.h"
#include "policy/text.h"
#include "policy/try.h"
#include "policy/who.h"

namespace userns::cgroup {
namespace {

constexpr const char* kProgram = "userns-cgroup";
// Of a command that can't be run, as nice(1) and env(1) have it.
constexpr int kFailed = 125, kNotExecutable = 126, kNotFound = 127;

// The tree is root's. The helper hands a part of it over, enters directories whose users may have
// removed root's search permission, and becomes the user.
constexpr Needs kNeeds{.names = "CAP_CHOWN, CAP_DAC_OVERRIDE and CAP_SETUID",
                       .required = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_SETUID},
                       .wanted = {CAP_AUDIT_WRITE},
                       .for_exec = true};
// What `list` and `release` still need of it: to look at and remove directories of the user, to
// become the user.
constexpr Needs kLockedNeeds{.names = "CAP_DAC_OVERRIDE and CAP_SETUID",
                             .required = {CAP_DAC_OVERRIDE, CAP_SETUID},
                             .wanted = {CAP_AUDIT_WRITE}};

const std::string& conf_path() {
  static const std::string path = concat(std::string_view(kPolicyDir), "/cgroup.conf");
  return path;
}

// This process reads as root. Of a file that users cannot read a caller is told no word.
Result<void> add_conf(CgroupConf& conf, const ConfText& file) {
  auto added = add_cgroup_conf(conf, file.text, file.path);
  if (added || !file.is_secret) return added;
  const auto& [rule, code, text] = added.error();
  const auto place = text.substr(0, text.find(": ", file.path.size()));
  return fail(rule, concat(place, ": not valid: an administrator can run userns-policy check"));
}

Result<CgroupConf> parse(std::span<const ConfText> texts) {
  CgroupConf conf;
  for (const auto& file : texts) TRY(add_conf(conf, file));
  return conf;
}

// The line of the policy that is for the caller.
Result<const CgroupLine*> find_line(const CgroupConf& conf, Uid caller, const Groups& groups,
                                    const Asker& asker) {
  const auto login = TRY(asker.login(caller));
  if (const auto odd = why_not_a_who(login.name); !odd.empty())
    return fail("SU-NAME",
                concat("no line of cgroup.conf can name this user: the login name ", odd));
  std::optional<Error> failed;
  const auto in_group = [&](std::string_view name) {
    const auto gid = asker.group(name);
    if (!gid) failed = gid.error();
    return gid && *gid && groups.have(**gid);
  };
  const auto* const line = matching_line(conf, caller, login.name, in_group);
  if (failed) return std::unexpected(*failed);
  return line;
}

// For the record: what is known of the call by now.
struct Known {
  Caller caller;
  std::optional<CgroupRequest> request;
  AuditLog log{kProgram};
};

void audit_decision(Known& known, const Error* refusal) {
  constexpr std::string_view kVerbs[] = {"enter", "spawn", "release", "list"};
  const auto& request = known.request;
  const auto words = concat(request ? kVerbs[static_cast<std::size_t>(request->verb)] : "?",
                            " uid=", known.caller.uid.value(), " gid=", known.caller.gid.value(),
                            " name=", request && request->name ? request->name->text() : "?");
  refusal == nullptr ? known.log.granted(words) : known.log.not_done(words, *refusal);
}

Result<Side> enter_all(const CgroupGrant& grant, const CgroupFacts& facts, const CgroupConf& conf,
                       const Known& known, Hierarchy counted) {
  const auto& caller = known.caller;
  std::vector<Hierarchy> all;
  all.push_back(std::move(counted));
  for (const auto& part : grant.parts().subspan(1)) {
    auto v1 = open_v1(part.controller, conf, caller.uid);
    TRY(v1 ? may_leave(facts, v1->place) : std::unexpected(v1.error()));
    all.push_back(std::move(*v1));
  }
  for (const auto& part : grant.idle())
    if (const auto v1 = open_v1(part.controller, conf, caller.uid)) take_back(*v1, part);
  const bool spawns = known.request->verb == CgroupRequest::Verb::kSpawn;
  return enter(grant, caller, all, spawns ? Goer::kNewProcess : Goer::kThisProcess);
}

Result<void> print(std::string_view text) { return write_all(Fd(::dup(STDOUT_FILENO)), text); }

// For the verbs that no command of the caller's follows, which would have to live with it. What is
// left to them is to read, and to remove empty directories.
Result<void> lock_in(Known& known) {
  TRY(known.log.open());
  const auto top = TRY(open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY));
  const Fd* const trees[] = {&top};
  TRY(drop_all_but(kLockedNeeds, Uid{0}));
  return lock_down(kCgroupFilter, trees);
}

Result<void> list_all(Known& known, const Hierarchy& counted) {
  const auto text = TRY(list(counted, known.request->json));
  auto dropped = step_down_for_good(known.caller.uid);
  return dropped ? print(text) : dropped;
}

// `list` and `release`, locked by now: what the policy named is open, and is all from here on.
Result<void> serve_locked(Known& known, std::span<const std::string_view> words,
                          const CgroupConf& conf, Hierarchy counted) {
  std::vector<Hierarchy> all;
  all.push_back(std::move(counted));
  // Whatever an older policy may have used.
  for (const std::string_view controller : kV1Controllers)
    if (auto v1 = open_v1(controller, conf, known.caller.uid);
        v1 && controller != all[0].controller)
      all.push_back(std::move(*v1));
  std::vector<const Fd*> trees;
  for (const auto& where : all) trees.push_back(&where.base);
  TRY(keep_to(trees));
  known.request = TRY(parse_cgroup_request(words));  // 4
  if (known.request->verb == CgroupRequest::Verb::kList) return list_all(known, all[0]);
  audit_decision(known, nullptr);
  return release(*known.request->name, all);
}

Result<Side> decide_and_enter(Known& known, const Groups& groups, const CgroupConf& conf,
                              Hierarchy counted) {
  auto asker = TRY(Asker::start(known.caller.uid, Asker::Asks::kUsersAndGroups));
  const auto line = find_line(conf, known.caller.uid, groups, asker);
  const auto ended = asker.end();
  const auto controllers =
      counted.controller.empty() ? read_cgroup_file(counted.base, "cgroup.controllers") : "";
  if (!line || !controllers) return std::unexpected(line ? controllers.error() : line.error());
  if (!ended) return std::unexpected(ended.error());
  const CgroupFacts facts{
      .caller = known.caller.uid,
      .line = *line,
      .conf_path = conf_path(),
      .base = counted.path,
      .base_is_systemds = is_systemds_own(counted, conf),
      .hierarchy = counted.controller,
      .controllers = std::string_view(*controllers).substr(0, controllers->find('\n')),
      .place = counted.place};
  const auto grant = TRY(decide(facts, *known.request->name));      // 6
  audit_decision(known, nullptr);                                   // 7
  return enter_all(grant, facts, conf, known, std::move(counted));  // 8
}

// The nine steps (SECURITY.md, "The life of a helper"); refusals are recorded and reported by main.
// Returns where no command took the process over: after `spawn` it is another one that goes on.
Result<void> serve(int argc, char** argv, Known& known) {
  const auto process = CallerProcess::begin();  // 1
  known.caller = Caller::identify();            // 2
  auto groups = Groups::of_caller();
  TRY(drop_all_but(kNeeds, Uid{0}));  // 3
  if (!process || !groups) return std::unexpected(process ? groups.error() : process.error());
  // What comes after the command's first word is the command's alone.
  const std::vector<std::string_view> words(argv + std::min(argc, 1), argv + std::min(argc, 5));
  const bool enters = !words.empty() && (words[0] == "enter" || words[0] == "spawn");
  if (enters) known.request = TRY(parse_cgroup_request(words));       // 4
  const auto texts = TRY(PolicyFiles::read(conf_path(), "CC-READ"));  // 5
  if (!enters) TRY(lock_in(known));
  const auto conf = TRY(parse(texts));
  auto counted = TRY(open_count_hierarchy(conf, known.caller.uid));
  if (!enters) return serve_locked(known, words, conf, std::move(counted));
  const auto side = TRY(decide_and_enter(known, *groups, conf, std::move(counted)));
  if (side == Side::kOutside) return {};
  TRY(become_for_good(known.caller.uid));
  return std::unexpected(process->exec(argv + 4));  // 9
}

int exit_status(const Error& error) {
  if (error.rule != kExecFailed) return kFailed;
  return error.code == ENOENT ? kNotFound : kNotExecutable;
}

// The check of userns-run doctor that has more about it. It is said here because userns-run has
// become us.
std::string_view check_about(std::string_view rule) {
  if (rule == "PR-MISSING") return kProgram;
  if (rule == "CG-WRITER") return "cgroup-unit";
  if (rule == "CG-BASE" || rule == "CG-CONTROLLER") return "cgroups";
  const bool is_policy =
      rule == "CG-POLICY" || rule == "CG-FROM" || rule == "CG-LIMIT" || rule == "CG-COUNT";
  return is_policy || rule.starts_with("CC-") || rule.starts_with("TF-") ? "cgroup-conf" : "";
}

}  // namespace
}  // namespace userns::cgroup

int main(int argc, char** argv) {
  using namespace userns;
  exit_when_out_of_memory(cgroup::kProgram);
  if (argc == 2 && std::string_view(argv[1]) == "--version")
    return drop_all_but({}, Caller::identify().uid) &&
                   cgroup::print(
                       concat("userns-cgroup (userns suite) ", std::string_view(kVersion), "\n"))
               ? 0
               : 1;
  cgroup::Known known;
  const auto done = cgroup::serve(argc, argv, known);
  if (done) return 0;
  if (done.error().rule != kExecFailed) cgroup::audit_decision(known, &done.error());
  // From here on the caller may kill this process, and the caller's limits count it: the write of
  // the message can block for ever.
  (void)step_down_for_good(known.caller.uid);
  const auto check = cgroup::check_about(done.error().rule);
  const auto hint = check.empty() ? "" : concat(" (see ", check, " in userns-run doctor)");
  report(cgroup::kProgram, {{}, 0, to_text(done.error()) + hint});
  return cgroup::exit_status(done.error());
}
