// The helpers' decisions about a user, by their own functions, with the lines that they come from.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/policy_tool/check/checks.h"
#include "frontend/policy_tool/verbs/answer.h"
#include "policy/cgroup_conf.h"
#include "policy/error.h"
#include "policy/ids.h"
#include "policy/subid.h"

namespace userns::frontend {

// What of an owner's ranges a helper maps: id 0 is given to nobody but root (IM-ROOT).
std::vector<IdRange> ranges_given(const OwnedRanges& owned, Uid uid);

// `requests`: INSIDE:OUTSIDE:COUNT words; none: what the user has.
Result<Answer> explain_map(const User& user, std::span<const std::string> requests);

Result<Answer> explain_net(const User& user, std::optional<std::string_view> asked);
// By lines that are for the user and the bridge, in the file's order.
void explain_bridge(Answer& answer, const User& user, std::span<const NetEntry* const> lines,
                    std::string_view bridge);

// What only root may be able to read; the helper is root when it reads it.
struct CgroupSources {
  std::string path;  // of cgroup.conf itself
  Result<std::vector<PolicyText>> texts;
  Result<CgroupConf> conf;
  Result<CgroupBase> base;
  std::map<std::string, std::vector<TextLine>, std::less<>> lines;  // by file; views into the texts

  [[nodiscard]] const TextLine& line_of(const CgroupLine& line) const {
    return lines.find(line.path)->second[line.number - 1];
  }
};
CgroupSources read_cgroup_sources(Uid uid);
Answer explain_cgroup(const User& user, const CgroupSources& sources);
// By the line that decides; none: nullptr. `sources` are well but perhaps for the base.
Answer explain_cgroup_line(const User& user, const CgroupSources& sources, const CgroupLine* line);

}  // namespace userns::frontend
