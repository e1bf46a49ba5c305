#include "frontend/cli/usage/top_text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "frontend/cli/table.h"
#include "frontend/spec/printable.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

using Json = nlohmann::ordered_json;

struct Key {
  SortKey key;
  std::string_view word;
  char pressed;
};
constexpr std::array<Key, 6> kKeys{{{SortKey::kCpu, "cpu", 'c'},
                                    {SortKey::kMemory, "memory", 'm'},
                                    {SortKey::kProcesses, "processes", 'p'},
                                    {SortKey::kDisk, "disk", 'd'},
                                    {SortKey::kNet, "net", 'n'},
                                    {SortKey::kName, "name", 'a'}}};

double weight(const Usage& usage, SortKey key) {
  const auto sum = [](const auto& one, const auto& other) {
    return static_cast<double>(one.value_or(0) + other.value_or(0));
  };
  switch (key) {
    case SortKey::kCpu:
      return usage.cpu_percent;
    case SortKey::kMemory:
      return static_cast<double>(usage.memory.value_or(0));
    case SortKey::kProcesses:
      return static_cast<double>(usage.processes);
    case SortKey::kDisk:
      return sum(usage.disk_read, usage.disk_written);
    case SortKey::kNet:
      return sum(usage.received, usage.sent);
    case SortKey::kName:
      break;
  }
  return 0;
}

void add_to(std::optional<std::uint64_t>& sum, const std::optional<std::uint64_t>& more) {
  if (more) sum = sum.value_or(0) + *more;
}

std::vector<Usage> sums_of_users(std::span<const Usage> all) {
  std::vector<Usage> sums;
  for (const auto& one : all) {
    auto found = std::ranges::find(sums, one.user, &Usage::user);
    if (found == sums.end()) found = sums.insert(sums.end(), Usage{.user = one.user});
    found->cpu_percent += one.cpu_percent;
    found->processes += one.processes;
    add_to(found->memory, one.memory);
    add_to(found->disk_read, one.disk_read);
    add_to(found->disk_written, one.disk_written);
    add_to(found->received, one.received);
    add_to(found->sent, one.sent);
  }
  return sums;
}

std::string percent(double value) {
  const auto tenths = std::llround(std::max(value, 0.0) * 10);
  return concat(tenths / 10, ".", tenths % 10);
}

std::string size_or_none(const std::optional<std::uint64_t>& bytes) {
  return bytes ? size_for_people(*bytes) : std::string{};
}

std::vector<std::string> row_of(const Usage& usage) {
  std::string ports;
  for (const auto& port : usage.ports) ports += concat(ports.empty() ? "" : ",", port);
  return {usage.name,
          percent(usage.cpu_percent),
          size_or_none(usage.memory),
          size_or_none(usage.memory_limit),
          concat(usage.processes),
          size_or_none(usage.disk_read),
          size_or_none(usage.disk_written),
          size_or_none(usage.received),
          size_or_none(usage.sent),
          usage.by_cgroup ? "cgroup" : "/proc",
          ports};
}

std::string limits_text(const UserLimits& limits) {
  std::string text;
  for (const auto& [what, value] :
       {std::pair{"memory ", &limits.memory}, std::pair{"processes ", &limits.processes},
        std::pair{"cpu ", &limits.cpu}})
    if (!value->empty()) text += concat(text.empty() ? "" : ", ", what, *value);
  return text;
}

std::vector<std::string> user_row(const Usage& sum, const UserLimits& limits) {
  auto row = row_of(sum);
  row[0] = sum.user;
  row[3] = limits.memory;
  row[9] = "";
  const auto text = limits_text(limits);
  row[10] = text.empty() ? "" : concat("limits: ", text);
  return row;
}

Json json_of(const Usage& usage) {
  const auto number = [](const std::optional<std::uint64_t>& value) {
    return value ? Json(*value) : Json(nullptr);
  };
  Json json;
  if (!usage.user.empty()) json["user"] = usage.user;
  json["name"] = usage.name;
  json["cpu_percent"] = static_cast<double>(static_cast<std::int64_t>(usage.cpu_percent * 10)) / 10;
  json["cpu_usec"] = usage.cpu_us;
  json["memory"] = number(usage.memory);
  json["memory_limit"] = number(usage.memory_limit);
  json["processes"] = usage.processes;
  json["disk_read"] = number(usage.disk_read);
  json["disk_written"] = number(usage.disk_written);
  json["net_received"] = number(usage.received);
  json["net_sent"] = number(usage.sent);
  json["ports"] = usage.ports;
  json["source"] = usage.by_cgroup ? "cgroup" : "proc";
  return json;
}

}  // namespace

std::optional<SortKey> sort_key(std::string_view word) {
  const auto found = std::ranges::find(kKeys, word, &Key::word);
  return found == kKeys.end() ? std::nullopt : std::optional(found->key);
}

std::optional<SortKey> sort_key_of(char pressed) {
  const auto found = std::ranges::find(kKeys, pressed, &Key::pressed);
  return found == kKeys.end() ? std::nullopt : std::optional(found->key);
}

std::string_view name_of(SortKey key) { return std::ranges::find(kKeys, key, &Key::key)->word; }

void add_percent(std::vector<Usage>& now, std::span<const Usage> before, double seconds) {
  constexpr double kMicrosecondsOfOnePercent = 10'000;
  for (auto& one : now) {
    const auto earlier = std::ranges::find_if(before, [&](const Usage& other) {
      return other.name == one.name && other.user == one.user;
    });
    if (earlier == before.end() || earlier->cpu_us > one.cpu_us || seconds <= 0) continue;
    one.cpu_percent =
        static_cast<double>(one.cpu_us - earlier->cpu_us) / kMicrosecondsOfOnePercent / seconds;
  }
}

void sort_usage(std::vector<Usage>& all, SortKey key, bool by_user) {
  std::ranges::stable_sort(all, [&](const Usage& a, const Usage& b) {
    const auto left = weight(a, key);
    const auto right = weight(b, key);
    return left != right ? left > right : a.name < b.name;
  });
  if (!by_user) return;
  auto sums = sums_of_users(all);
  std::ranges::stable_sort(sums, [&](const Usage& a, const Usage& b) {
    const auto left = weight(a, key);
    const auto right = weight(b, key);
    return left != right ? left > right : a.user < b.user;
  });
  std::ranges::stable_sort(all, {}, [&](const Usage& one) {
    return std::ranges::find(sums, one.user, &Usage::user) - sums.begin();
  });
}

std::string top_table(std::span<const Usage> all, const std::map<std::string, UserLimits>* limits) {
  std::vector<std::vector<std::string>> rows{{"NAME", "CPU%", "MEMORY", "LIMIT", "PROCESSES",
                                              "READ", "WRITTEN", "RECEIVED", "SENT", "BY",
                                              "PORTS"}};
  if (limits == nullptr) {
    for (const auto& one : all) rows.push_back(row_of(one));
    return to_table(std::move(rows));
  }
  for (const auto& sum : sums_of_users(all)) {
    const auto found = limits->find(sum.user);
    rows.push_back(user_row(sum, found == limits->end() ? UserLimits{} : found->second));
    for (const auto& one : all) {
      if (one.user != sum.user) continue;
      rows.push_back(row_of(one));
      rows.back()[0] = concat("  ", one.name);
    }
  }
  return to_table(std::move(rows));
}

std::string top_json(std::span<const Usage> all) {
  auto array = Json::array();
  for (const auto& one : all) array.push_back(json_of(one));
  return array.dump(2, ' ', true, Json::error_handler_t::replace) + "\n";
}

std::string screen_of(std::string_view head, std::string_view table, std::size_t rows,
                      std::size_t columns) {
  std::string screen = "\x1b[H";
  const auto line = concat(head, "\n\n", table);
  std::string_view rest = line;
  for (std::size_t row = 0; row < rows && !rest.empty(); ++row) {
    const auto text = take_until(rest, '\n');
    // By bytes, each of which shows at most one column; a letter that is cut is made safe.
    screen += concat(row == 0 ? "" : "\r\n", printable(text.substr(0, columns)), "\x1b[K");
  }
  return screen + "\x1b[J";
}

}  // namespace userns::frontend
