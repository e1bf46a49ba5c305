#include "frontend/cli/facts_text.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "frontend/cli/table.h"
#include "frontend/spec/printable.h"
#include "frontend/spec/shell_words.h"
#include "frontend/start/plan/desktop_text.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

using Json = nlohmann::ordered_json;

std::string state_of(const ContainerFacts& facts) {
  if (!facts.running) return "stopped";
  if (facts.running->pid == 0 && facts.running->problem.empty()) return "starting";
  return facts.running->frozen ? "frozen" : "running";
}

// For people.
std::string state_in_words(const ContainerFacts& facts) {
  const bool odd = facts.running && !facts.running->problem.empty();
  if (!odd) return state_of(facts);
  std::string_view problem = facts.running->problem;
  return concat(state_of(facts), " (", take_until(problem, ','), ")");
}

std::string joined(std::span<const std::string> words, std::string_view between) {
  std::string text;
  for (const auto& word : words) text += concat(text.empty() ? "" : between, word);
  return text;
}

std::string value_of(const ContainerConfig& config, std::string_view key) {
  const auto found = std::ranges::find(config.all, key, &Setting::key);
  return found == config.all.end() ? std::string{} : found->value;
}

std::vector<std::string> values_of(const ContainerConfig& config, std::string_view key) {
  std::vector<std::string> values;
  for (const auto& setting : config.all)
    if (setting.key == key) values.push_back(setting.value);
  return values;
}

std::string text_of(const LastEnd& end, std::int64_t now) {
  return concat("status ", end.exit_status, ", ", for_people(now - end.ended_at), " ago",
                end.text.empty() ? "" : "; ", end.text);
}

Json json_of(const LastEnd& end) {
  Json json;
  json["exit_status"] = end.exit_status;
  json["ended_at"] = end.ended_at;
  json["text"] = end.text.empty() ? Json(nullptr) : Json(end.text);
  return json;
}

std::vector<std::string> row_of(const ContainerFacts& facts, std::int64_t now,
                                ListColumns columns) {
  std::vector<std::string> row{
      facts.name, facts.problem.empty() ? state_in_words(facts) : state_of(facts) + "!"};
  const auto& running = facts.running;
  row.push_back(running && running->pid != 0 ? concat(running->pid) : "");
  row.push_back(running ? running->init : "");
  row.push_back(running ? joined(running->addresses, ",") : "");
  row.push_back(joined(values_of(facts.config, "publish"), ","));
  row.push_back(running && running->memory ? size_for_people(*running->memory) : "");
  row.push_back(running && running->started_at != 0 ? for_people(now - running->started_at) : "");
  row.push_back(joined(facts.config.groups, ","));
  if (columns.size) row.push_back(facts.size ? size_for_people(*facts.size) : "?");
  if (columns.path) row.push_back(facts.path);
  return row;
}

Json to_json(const ContainerFacts& facts) {
  Json json;
  json["name"] = facts.name;
  json["path"] = facts.path;
  json["state"] = state_of(facts);
  const auto& running = facts.running;
  const bool has_pid = running && running->pid != 0;
  json["pid"] = has_pid ? Json(running->pid) : Json(nullptr);
  json["init"] = running ? Json(running->init) : Json(nullptr);
  json["addresses"] = running ? Json(running->addresses) : Json::array();
  json["hands_in"] = Json::array();
  for (const auto& part : desktop_parts())
    if (value_of(facts.config, part.option) == "yes") json["hands_in"].push_back(part.option);
  json["ports"] = values_of(facts.config, "publish");
  json["memory"] = running && running->memory ? Json(*running->memory) : Json(nullptr);
  json["size"] = facts.size ? Json(*facts.size) : Json(nullptr);
  json["started_at"] =
      running && running->started_at != 0 ? Json(running->started_at) : Json(nullptr);
  json["last_end"] = facts.last_end ? json_of(*facts.last_end) : Json(nullptr);
  json["groups"] = facts.config.groups;
  json["autostart"] = facts.config.autostart;
  const auto& problem = running && facts.problem.empty() ? running->problem : facts.problem;
  json["problem"] = problem.empty() ? Json(nullptr) : Json(problem);
  return json;
}

// Names may hold any bytes, and any characters that a terminal obeys.
std::string dump(const Json& json) {
  return json.dump(2, ' ', true, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string list_table(std::span<const ContainerFacts> all, std::int64_t now, ListColumns columns) {
  std::vector<std::vector<std::string>> rows{
      {"NAME", "STATE", "PID", "INIT", "ADDRESS", "PORTS", "MEMORY", "UPTIME", "GROUPS"}};
  if (columns.size) rows.front().emplace_back("SIZE");
  if (columns.path) rows.front().emplace_back("PATH");
  for (const auto& facts : all) rows.push_back(row_of(facts, now, columns));
  return to_table(std::move(rows));
}

std::string list_json(std::span<const ContainerFacts> all) {
  auto array = Json::array();
  for (const auto& facts : all) array.push_back(to_json(facts));
  return dump(array);
}

std::string info_text(const ContainerFacts& facts, const MoreFacts& more, std::int64_t now) {
  std::string text;
  const auto add = [&](std::string_view name, std::string_view value) {
    constexpr std::size_t kColumn = 12;
    if (value.empty()) return;
    std::string line = concat(name, ":");
    line.append(line.size() < kColumn ? kColumn - line.size() : 1, ' ');
    text += concat(line, printable(value), "\n");
  };
  add("Name", facts.name);
  add("Path", facts.path);
  add("State", state_in_words(facts));
  add("Problem", facts.problem);
  if (facts.running) {
    const auto& running = *facts.running;
    if (running.pid != 0) add("Pid", concat(running.pid));
    add("Init", running.init);
    if (running.started_at != 0) add("Uptime", for_people(now - running.started_at));
    if (running.memory) add("Memory", size_for_people(*running.memory));
    add("Address", joined(running.addresses, ", "));
  }
  if (facts.last_end) add("Last end", text_of(*facts.last_end, now));
  add("Root", more.rootfs);
  add("Base", facts.config.base);
  add("Snapshots", joined(more.snapshots, ", "));
  for (const auto& map : values_of(facts.config, "map")) add("Ids", map);
  if (value_of(facts.config, "map-self") == "yes") add("Ids", "the caller's own");
  add("Network", joined(values_of(facts.config, "net"), ", "));
  for (const auto& part : desktop_parts())
    if (value_of(facts.config, part.option) == "yes")
      add("Hands in", concat(part.gives, " (", part.option, ")"));
  add("Ports", joined(values_of(facts.config, "publish"), ", "));
  for (const auto& [name, key] : {std::pair{"Host", "add-host"},
                                  {"Sysctl", "sysctl"},
                                  {"Time zone", "tz"},
                                  {"Shm size", "shm-size"}})
    add(name, joined(values_of(facts.config, key), ", "));
  add("Command", join_words(facts.config.command));
  add("Groups", joined(facts.config.groups, ", "));
  for (const auto& line : more.network) add("NIC", line);
  for (const auto& line : more.image) add("Image", line);
  add("Autostart", facts.config.autostart ? "yes" : "");
  add("Restart", value_of(facts.config, "restart"));
  return text;
}

std::string info_json(const ContainerFacts& facts, const MoreFacts& more) {
  auto json = to_json(facts);
  json["rootfs"] = more.rootfs;
  json["base"] = facts.config.base.empty() ? Json(nullptr) : Json(facts.config.base);
  json["snapshots"] = more.snapshots;
  json["nic_problems"] = more.network;
  json["image"] = more.image;
  auto config = Json::array();
  for (const auto& setting : facts.config.all)
    config.push_back(Json::array({setting.key, setting.value}));
  json["config"] = config;
  return dump(json);
}

}  // namespace userns::frontend
