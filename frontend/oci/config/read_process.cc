#include "frontend/oci/config/read_process.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>
#include <utility>

#include "frontend/spec/values.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::uint64_t kLargestUser = 4294967294;

std::string lower_case(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return lower;
}

std::uint32_t read_id(const Node& node) {
  return static_cast<std::uint32_t>(node.number(kLargestUser));
}

// One that this kernel or this program does not know cannot be granted; the specification has that
// pass with a warning.
std::uint64_t read_set(const Node& node, std::set<std::string>& unknown) {
  std::uint64_t set = 0;
  for (const auto& name : node.texts()) {
    const auto caps = name.starts_with("CAP_") ? parse_capabilities(name)
                                               : Result<std::vector<int>>(std::vector<int>{});
    if (!caps || caps->empty()) unknown.insert(name);
    if (!caps) continue;
    for (const int cap : *caps) set |= std::uint64_t{1} << static_cast<unsigned>(cap);
  }
  return set;
}

CapabilitySets read_sets(const Node& node) {
  CapabilitySets sets;
  for (const auto& [name, set] : {std::pair{"bounding", &sets.bounding},
                                  {"effective", &sets.effective},
                                  {"permitted", &sets.permitted},
                                  {"inheritable", &sets.inheritable},
                                  {"ambient", &sets.ambient}})
    *set = read_set(node[name], sets.unknown);
  return sets;
}

RlimitWish read_limit(const Node& node) {
  constexpr std::string_view kPrefix = "RLIMIT_";
  auto name = node["type"].text();
  const auto wish = name.starts_with(kPrefix)
                        ? parse_rlimit(concat(lower_case(name.substr(kPrefix.size())), "=0"))
                        : fail({}, "");
  if (!wish) {
    node["type"].refuse("is not a limit that this runtime knows");
    return {};
  }
  node["soft"].require();
  node["hard"].require();
  const RlimitWish limit{wish->resource, node["soft"].number(), node["hard"].number()};
  if (limit.soft > limit.hard) node.refuse("has a soft limit above its hard limit");
  return limit;
}

std::vector<RlimitWish> read_limits(const Node& node) {
  std::vector<RlimitWish> limits;
  node.for_each([&](const Node& one) {
    limits.push_back(read_limit(one));
    const auto same = std::ranges::count(limits, limits.back().resource, &RlimitWish::resource);
    if (same > 1) one.refuse("sets a limit that another entry sets");
  });
  return limits;
}

int read_io_priority(const Node& node) {
  constexpr unsigned kClassShift = 13;
  constexpr std::array<std::pair<std::string_view, int>, 3> kClasses{
      {{"IOPRIO_CLASS_RT", 1}, {"IOPRIO_CLASS_BE", 2}, {"IOPRIO_CLASS_IDLE", 3}}};
  node["class"].require();
  return (node["class"].one_of(kClasses) << kClassShift) |
         static_cast<int>(node["priority"].number(7));
}

OciScheduler read_scheduler(const Node& node) {
  constexpr std::array<std::pair<std::string_view, std::uint32_t>, 6> kPolicies{
      {{"SCHED_OTHER", 0},
       {"SCHED_FIFO", 1},
       {"SCHED_RR", 2},
       {"SCHED_BATCH", 3},
       {"SCHED_IDLE", 5},
       {"SCHED_DEADLINE", 6}}};
  constexpr std::array<std::pair<std::string_view, std::uint64_t>, 7> kFlags{
      {{"SCHED_FLAG_RESET_ON_FORK", 0x01},
       {"SCHED_FLAG_RECLAIM", 0x02},
       {"SCHED_FLAG_DL_OVERRUN", 0x04},
       {"SCHED_FLAG_KEEP_POLICY", 0x08},
       {"SCHED_FLAG_KEEP_PARAMS", 0x10},
       {"SCHED_FLAG_UTIL_CLAMP_MIN", 0x20},
       {"SCHED_FLAG_UTIL_CLAMP_MAX", 0x40}}};
  node["policy"].require();
  OciScheduler scheduler{.policy = node["policy"].one_of(kPolicies),
                         .nice = static_cast<std::int32_t>(node["nice"].integer(-20, 19)),
                         .priority = static_cast<std::uint32_t>(node["priority"].number(99)),
                         .flags = 0,
                         .runtime = node["runtime"].number(),
                         .deadline = node["deadline"].number(),
                         .period = node["period"].number()};
  node["flags"].for_each([&](const Node& flag) { scheduler.flags |= flag.one_of(kFlags); });
  return scheduler;
}

void read_user(const Node& user, OciProcess& process) {
  constexpr std::uint64_t kAllBits = 0777;
  process.uid = read_id(user["uid"]);
  process.gid = read_id(user["gid"]);
  user["additionalGids"].for_each([&](const Node& gid) { process.groups.push_back(read_id(gid)); });
  if (const auto umask = user["umask"]; umask.there())
    process.umask = static_cast<mode_t>(umask.number(kAllBits));
}

void read_words(const Node& node, OciProcess& process) {
  process.args = node["args"].texts();
  process.env = node["env"].texts();
  if (process.args.empty() || process.args.front().empty()) node["args"].refuse("has no command");
  node["cwd"].require();
  process.cwd = node["cwd"].text();
  if (!process.cwd.starts_with('/')) node["cwd"].refuse("is not an absolute path");
}

void read_console(const Node& node, OciProcess& process) {
  constexpr std::uint64_t kLargestSide = 65535;
  process.terminal = node["terminal"].flag();
  const auto size = node["consoleSize"];
  if (!size.there()) return;
  process.console_size = {static_cast<std::uint16_t>(size["height"].number(kLargestSide)),
                          static_cast<std::uint16_t>(size["width"].number(kLargestSide))};
}

}  // namespace

OciProcess read_process(const Node& node) {
  constexpr std::int64_t kOomMost = 1000;
  OciProcess process;
  read_console(node, process);
  read_words(node, process);
  read_user(node["user"], process);
  process.capabilities = read_sets(node["capabilities"]);
  process.rlimits = read_limits(node["rlimits"]);
  process.no_new_privs = node["noNewPrivileges"].flag();
  if (const auto score = node["oomScoreAdj"]; score.there())
    process.oom_score_adj = static_cast<int>(score.integer(-kOomMost, kOomMost));
  if (const auto io = node["ioPriority"]; io.there()) process.io_priority = read_io_priority(io);
  if (const auto scheduler = node["scheduler"]; scheduler.there())
    process.scheduler = read_scheduler(scheduler);
  node["apparmorProfile"].must_not_ask();
  node["selinuxLabel"].must_not_ask();
  node["execCPUAffinity"].must_not_ask();
  return process;
}

Result<OciProcess> parse_process(std::string_view text) {
  const auto json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return fail({}, "the process file is not a JSON object");
  FirstError errors;
  auto process = read_process({&json, "", errors});
  if (errors.error()) return std::unexpected(*errors.error());
  return process;
}

}  // namespace userns::frontend
