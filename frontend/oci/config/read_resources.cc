#include "frontend/oci/config/read_resources.h"

#include <algorithm>
#include <array>
#include <limits>

#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::int64_t kMostBytes = std::numeric_limits<std::int64_t>::max();

// What is written for a number of which all below 0 mean that there is no limit.
std::string or_max(std::int64_t number) { return number < 0 ? "max" : concat(number); }

class Reader {
 public:
  explicit Reader(OciResources& resources) : resources_(resources) {}

  void add(const Node& node, std::string file, std::string text, CgroupFile v1 = {}) {
    resources_.wishes.push_back({.place = node.place(),
                                 .file = std::move(file),
                                 .text = std::move(text),
                                 .v1 = std::move(v1)});
  }
  // A limit of bytes or of processes, which v1 writes as it is asked for.
  void limit(const Node& node, const char* file, const char* hierarchy, const char* v1_file) {
    if (!node.asks()) return;
    const auto number = node.integer(-1, kMostBytes);
    add(node, file, or_max(number), {hierarchy, v1_file, concat(number)});
  }
  // What only v1 has.
  void only_v1(const Node& node, const char* hierarchy, const char* v1_file) {
    if (node.asks()) add(node, "", "", {hierarchy, v1_file, concat(node.integer(-1, kMostBytes))});
  }

  void memory(const Node& node);
  void cpu(const Node& node);
  void cpu_time(const Node& node);
  void block(const Node& node);
  void throttle(const Node& node, const char* key, const char* v1_file);
  void pages(const Node& node);
  void network(const Node& node);
  void rdma(const Node& node);
  void unified(const Node& node);

 private:
  OciResources& resources_;
};

// v2 counts swap alone, and the specification memory and swap together.
void swap(Reader& reader, const Node& memory) {
  const auto node = memory["swap"];
  if (!node.asks()) return;
  const auto both = node.integer(-1, kMostBytes);
  const auto limit = memory["limit"].integer(-1, kMostBytes);
  if (both >= 0 && limit <= 0) return node.refuse("needs memory.limit, which it includes");
  if (both >= 0 && both < limit) return node.refuse("is less than memory.limit, which it includes");
  reader.add(node, "memory.swap.max", or_max(both < 0 ? both : both - limit),
             {"memory", "memory.memsw.limit_in_bytes", concat(both)});
}

void Reader::memory(const Node& node) {
  limit(node["limit"], "memory.max", "memory", "memory.limit_in_bytes");
  if (node["limit"].asks()) resources_.memory_limit = node["limit"].integer(-1, kMostBytes);
  swap(*this, node);
  limit(node["reservation"], "memory.low", "memory", "memory.soft_limit_in_bytes");
  only_v1(node["kernel"], "memory", "memory.kmem.limit_in_bytes");
  only_v1(node["kernelTCP"], "memory", "memory.kmem.tcp.limit_in_bytes");
  if (node["swappiness"].there())
    add(node["swappiness"], "", "",
        {"memory", "memory.swappiness", concat(node["swappiness"].number(200))});
  if (node["disableOOMKiller"].flag())
    add(node["disableOOMKiller"], "", "", {"memory", "memory.oom_control", "1"});
  resources_.check_before_update = node["checkBeforeUpdate"].flag();
}

// Weights of v1, from 2 to 262144, as those of v2, from 1 to 10000.
std::uint64_t weight_of_shares(std::uint64_t shares) {
  const auto within = std::clamp<std::uint64_t>(shares, 2, 262144);
  return 1 + ((within - 2) * 9999) / 262142;
}

void Reader::cpu_time(const Node& node) {
  constexpr std::uint64_t kPeriod = 100000;
  constexpr std::uint64_t kLongest = 1000000;
  const auto quota = node["quota"].integer(-1, kMostBytes);
  const auto period = node["period"].number(kLongest);
  const auto text = concat(or_max(quota == 0 ? -1 : quota), " ", period == 0 ? kPeriod : period);
  if (period != 0)
    add(node["period"], "cpu.max", text, {"cpu", "cpu.cfs_period_us", concat(period)});
  if (quota != 0) add(node["quota"], "cpu.max", text, {"cpu", "cpu.cfs_quota_us", concat(quota)});
}

void Reader::cpu(const Node& node) {
  if (node["shares"].asks()) {
    const auto shares = node["shares"].number();
    add(node["shares"], "cpu.weight", concat(weight_of_shares(shares)),
        {"cpu", "cpu.shares", concat(shares)});
  }
  cpu_time(node);
  if (node["burst"].asks())
    add(node["burst"], "cpu.max.burst", concat(node["burst"].number()),
        {"cpu", "cpu.cfs_burst_us", concat(node["burst"].number())});
  if (node["idle"].asks())
    add(node["idle"], "cpu.idle", concat(node["idle"].integer(-1, 1)),
        {"cpu", "cpu.idle", concat(node["idle"].integer(-1, 1))});
  only_v1(node["realtimePeriod"], "cpu", "cpu.rt_period_us");
  only_v1(node["realtimeRuntime"], "cpu", "cpu.rt_runtime_us");
  for (const char* const name : {"cpus", "mems"})
    if (const auto set = node[name]; set.asks())
      add(set, concat("cpuset.", std::string_view(name)), set.text(),
          {"cpuset", concat("cpuset.", std::string_view(name)), set.text()});
}

std::string device_of(const Node& node) {
  constexpr std::uint64_t kLargest = 0xfffff;
  return concat(node["major"].number(kLargest), ":", node["minor"].number(kLargest));
}

// From 10 to 1000 as from 1 to 10000.
std::uint64_t io_weight(std::uint64_t weight) {
  const auto within = std::clamp<std::uint64_t>(weight, 10, 1000);
  return 1 + ((within - 10) * 9999) / 990;
}

void Reader::throttle(const Node& node, const char* key, const char* v1_file) {
  node.for_each([&](const Node& one) {
    const auto device = device_of(one);
    const auto rate = one["rate"].number();
    add(one, "io.max",
        concat(device, " ", std::string_view(key), "=", rate == 0 ? "max" : concat(rate)),
        {"blkio", v1_file, concat(device, " ", rate)});
  });
}

void Reader::block(const Node& node) {
  constexpr std::uint64_t kMost = 1000;
  if (const auto weight = node["weight"]; weight.asks())
    add(weight, "io.weight", concat(io_weight(weight.number(kMost))),
        {"blkio", "blkio.weight", concat(weight.number(kMost))});
  node["leafWeight"].must_not_ask();
  node["weightDevice"].for_each([&](const Node& one) {
    one["leafWeight"].must_not_ask();
    const auto weight = one["weight"].number(kMost);
    add(one, "io.weight", concat(device_of(one), " ", io_weight(weight)),
        {"blkio", "blkio.weight_device", concat(device_of(one), " ", weight)});
  });
  throttle(node["throttleReadBpsDevice"], "rbps", "blkio.throttle.read_bps_device");
  throttle(node["throttleWriteBpsDevice"], "wbps", "blkio.throttle.write_bps_device");
  throttle(node["throttleReadIOPSDevice"], "riops", "blkio.throttle.read_iops_device");
  throttle(node["throttleWriteIOPSDevice"], "wiops", "blkio.throttle.write_iops_device");
}

// "2MB", as names of files have it.
bool is_page_size(std::string_view text) {
  const auto digits = text.substr(0, text.find_first_not_of("0123456789"));
  const auto unit = text.substr(digits.size());
  return !digits.empty() && digits.size() < 8 && (unit == "KB" || unit == "MB" || unit == "GB");
}

void Reader::pages(const Node& node) {
  node.for_each([&](const Node& one) {
    const auto size = one["pageSize"].text();
    if (!is_page_size(size)) return one["pageSize"].refuse("is not a size of pages, such as 2MB");
    const auto limit = concat(one["limit"].number());
    for (const std::string_view kind : {"", "rsvd."})
      add(one, concat("hugetlb.", size, ".", kind, "max"), limit,
          {"hugetlb", concat("hugetlb.", size, ".", kind, "limit_in_bytes"), limit});
  });
}

void Reader::network(const Node& node) {
  if (node["classID"].asks())
    add(node["classID"], "", "",
        {"net_cls", "net_cls.classid", concat(node["classID"].number(0xffffffffU))});
  node["priorities"].for_each([&](const Node& one) {
    add(one, "", "",
        {"net_prio", "net_prio.ifpriomap",
         concat(one["name"].text(), " ", one["priority"].number(0xffffffffU))});
  });
}

void Reader::rdma(const Node& node) {
  constexpr std::uint64_t kMost = 0xffffffffU;
  node.for_each_member([&](const std::string& device, const Node& one) {
    if (!is_plain_word(device, 64)) return one.refuse("is not a name of a device");
    std::string text = device;
    if (const auto handles = one["hcaHandles"]; handles.there())
      text += concat(" hca_handle=", handles.number(kMost));
    if (const auto objects = one["hcaObjects"]; objects.there())
      text += concat(" hca_object=", objects.number(kMost));
    add(one, "rdma.max", text, {"rdma", "rdma.max", text});
  });
}

// Limits alone: a process that is named in cgroup.procs would be taken out of its own cgroup.
bool is_limit_file(std::string_view name) {
  const bool is_core = name.starts_with("cgroup.");
  return is_plain_word(name, 128) && name.find('.') != std::string_view::npos && name[0] != '.' &&
         (!is_core || name == "cgroup.max.descendants" || name == "cgroup.max.depth");
}

void Reader::unified(const Node& node) {
  node.for_each_member([&](const std::string& name, const Node& one) {
    if (!is_limit_file(name)) return one.refuse("is not a file of a cgroup that sets a limit");
    const auto text = one.text();
    for (std::string_view rest(text); !rest.empty();)
      add(one, name, std::string(take_until(rest, '\n')));
  });
}

}  // namespace

OciResources read_resources(const Node& node) {
  OciResources resources;
  Reader reader(resources);
  reader.memory(node["memory"]);
  reader.cpu(node["cpu"]);
  reader.limit(node["pids"]["limit"], "pids.max", "pids", "pids.max");
  reader.block(node["blockIO"]);
  reader.pages(node["hugepageLimits"]);
  reader.network(node["network"]);
  reader.rdma(node["rdma"]);
  reader.unified(node["unified"]);
  // v1 has a word for no limit of processes, too.
  for (auto& wish : resources.wishes)
    if (wish.v1.file == "pids.max") wish.v1.text = wish.text;
  return resources;
}

Result<OciResources> parse_resources(std::string_view text) {
  const auto json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return fail({}, "--resources is not a JSON object");
  FirstError errors;
  auto resources = read_resources({&json, "", errors});
  if (errors.error()) return fail({}, concat("--resources: ", errors.error()->text));
  return resources;
}

}  // namespace userns::frontend
