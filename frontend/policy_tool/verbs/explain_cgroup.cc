#include "frontend/policy_tool/verbs/explain.h"

#include <algorithm>
#include <cerrno>

#include "frontend/policy_tool/host_facts.h"
#include "policy/cgroup_rules.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

Result<void> check_v1(const CgroupGrant& grant, const CgroupConf& conf, Uid uid) {
  for (const auto& part : grant.parts().subspan(1)) (void)TRY(v1_base(part.controller, conf, uid));
  return {};
}

// From which cgroups the user may come (CG-FROM).
std::string from_text(Uid uid, const CgroupLine& line, const CgroupBase& base) {
  if (!base.hierarchy.empty()) return {};
  const auto from = line.text_of("from");
  if (from == "any") return "  from any cgroup, whatever its limits\n";
  return concat("  from the user's sessions (/user.slice/user-", uid.value(),
                ".slice), their containers, and cgroups above the base", from.empty() ? "" : ", ",
                from, "\n");
}

void add_grant(Answer& answer, const CgroupGrant& grant, std::string_view directory) {
  auto& item = answer.say("cgroup",
                          concat("allowed: ", grant.containers(), " at a time, below ", directory));
  item.most = grant.containers();
  for (const auto& part : grant.parts())
    for (const auto& write : part.writes) {
      if (!write.required || write.text == "\n") continue;
      item.limits.push_back({write.file, write.text, std::string(part.controller)});
      answer.text +=
          concat("  ", write.file, " = ", write.text,
                 part.controller.empty() ? "" : concat(" (v1 ", part.controller, ")"), "\n");
    }
}

Result<CgroupConf> parsed(PolicyTexts files) {
  CgroupConf conf;
  for (const auto& file : files) TRY(add_cgroup_conf(conf, file.text, file.path));
  return conf;
}

}  // namespace

CgroupSources read_cgroup_sources(Uid uid) {
  CgroupSources all;
  all.path = installed_path(PolicyFile::kCgroup);
  all.texts = read_as_helpers_do(PolicyFile::kCgroup);
  all.conf = all.texts ? parsed(*all.texts) : std::unexpected(all.texts.error());
  for (const auto& file : all.texts ? PolicyTexts(*all.texts) : PolicyTexts())
    all.lines[file.path] = lines_of(file.text, file.path);
  all.base = cgroup_base(all.conf.value_or(CgroupConf{}), uid);
  return all;
}

Answer explain_cgroup(const User& user, const CgroupSources& sources) {
  Answer answer;
  const auto refuse = [&](const Error& error) {
    answer.refuse("cgroup", error);
    return answer;
  };
  if (!sources.texts && sources.texts.error().code == EACCES) {
    answer
        .say("cgroup", concat("not known to you: only root can read ", sources.path,
                              ": sudo userns-policy explain ",
                              user.name.empty() ? concat(user.uid.value()) : user.name, " cgroup"))
        .allowed = std::nullopt;
    return answer;
  }
  if (!sources.conf) {
    answer.refuse("cgroup", sources.conf.error());
    std::vector<Finding> findings;
    if (sources.texts) (void)cgroup_entries(*sources.texts, &findings);
    answer.malformed(std::move(findings));
    return answer;
  }
  std::optional<Error> failed;
  const auto* const line =
      sources.base
          ? matching_line(*sources.conf, user.uid, user.name,
                          [&](std::string_view group) { return user.is_in(group, failed); })
          : nullptr;
  if (failed) return refuse(*failed);
  return explain_cgroup_line(user, sources, line);
}

Answer explain_cgroup_line(const User& user, const CgroupSources& sources, const CgroupLine* line) {
  Answer answer;
  if (!sources.base) {
    answer.refuse("cgroup", sources.base.error());
    return answer;
  }
  const auto grant = decide({.caller = user.uid,
                             .line = line,
                             .conf_path = sources.path,
                             .base = sources.base->path,
                             .base_is_systemds = sources.base->is_systemds,
                             .hierarchy = sources.base->hierarchy,
                             .controllers = sources.base->controllers,
                             .place = place_of(*sources.base, user.uid)},
                            *ContainerName::parse("x"));
  const auto v1 = grant ? check_v1(*grant, *sources.conf, user.uid) : Result<void>{};
  if (!grant || !v1) {
    answer.refuse("cgroup", grant ? v1.error() : grant.error());
  } else {
    add_grant(answer, *grant, concat(sources.base->path, "/", user.uid.value()));
    answer.text += from_text(user.uid, *line, *sources.base);
  }
  if (line != nullptr) answer.line(sources.line_of(*line));
  return answer;
}

}  // namespace userns::frontend
