// What report looks at: the policy files, read once and sorted by whom their lines are for, and
// what is used of it on this machine.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "frontend/policy_tool/check/checks.h"
#include "frontend/policy_tool/check/living_ids.h"
#include "frontend/policy_tool/verbs/explain.h"
#include "policy/ids.h"

namespace userns::frontend {

template <class Line>
using LinesByWho = std::map<std::string, std::vector<Line>, std::less<>>;

struct Problem {
  std::string file;
  Error error;
};

struct SubidLines {
  std::string path, text;
  bool is_elsewhere = false;  // nsswitch.conf names another source, which is asked
  LinesByWho<SubidEntry> by_owner;
};

// Lines are views into the texts: this does not move.
struct ReportSources {
  ReportSources();
  ReportSources(const ReportSources&) = delete;
  ReportSources& operator=(const ReportSources&) = delete;

  std::vector<Problem> problems;  // files that helpers refuse whole, so that they give nothing

  SubidLines uids, gids;
  std::vector<PolicyText> net_texts;
  std::vector<NetEntry> nets;  // in the order in which they are read
  LinesByWho<const NetEntry*> nets_by_who;
  CgroupSources cgroups;
  LinesByWho<const CgroupLine*> cgroups_by_who;

  // What is used. Only root sees all of it.
  bool sees_processes = false;
  std::vector<LivingIds> living_uids, living_gids;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint64_t> nics;  // by owner and bridge
  std::map<std::uint32_t, std::string> bridges;                           // by ifindex
  std::vector<std::uint32_t> cgroup_owners;

 private:
  void read_subids(SubidLines& file, PolicyFile kind);
  void read_nets();
  void read_cgroups();
  void see_nics();
};

// The directory of a user's containers; and in a v1 hierarchy, or nothing.
std::string user_cgroup(const CgroupBase& base, Uid uid);
std::string user_cgroup_v1(std::string_view controller, const CgroupConf& conf, Uid uid);
// How many cgroups are in a directory; nothing where that cannot be seen.
std::optional<std::uint64_t> containers_in(const std::string& directory);

}  // namespace userns::frontend
