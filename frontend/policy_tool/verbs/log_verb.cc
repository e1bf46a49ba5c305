// userns-policy log: who was given what, and who was refused by which rule.
#include <pwd.h>

#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/events/moment.h"
#include "frontend/policy_tool/tool.h"
#include "frontend/policy_tool/verbs/log_source.h"
#include "policy/ids.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

Result<std::uint64_t> uid_of(std::string_view user) {
  if (const passwd* const entry = ::getpwnam(std::string(user).c_str())) return entry->pw_uid;
  if (const auto number = parse_decimal(user)) return *number;
  return fail({}, concat("there is no user ", quoted(user)));
}

// In seconds.
Result<std::int64_t> time_of(std::string_view text) {
  constexpr std::int64_t kSecond = 1000;
  const auto moment = parse_moment(text, static_cast<std::int64_t>(std::time(nullptr)) * kSecond);
  return moment ? Result<std::int64_t>(*moment / kSecond) : std::unexpected(moment.error());
}

std::string text_of(std::int64_t time) {
  const auto seconds = static_cast<std::time_t>(time);
  std::tm when{};
  char text[32] = {};
  (void)::localtime_r(&seconds, &when);
  (void)std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &when);
  return text;
}

std::string name_of(const LogRecord& record) {
  if (!record.uid) return "?";
  const passwd* const entry = ::getpwuid(static_cast<uid_t>(*record.uid));
  return entry == nullptr ? concat("uid ", *record.uid) : entry->pw_name;
}

std::string as_text(const FoundRecords& found) {
  std::string out;
  for (const auto& record : found.records)
    out += concat(text_of(record.time), "  ", record.result, "  ", name_of(record), "  ",
                  record.program, " ", record.words, "\n");
  return out;
}

std::string as_json(const FoundRecords& found) {
  auto all = nlohmann::json::array();
  for (const auto& record : found.records) {
    nlohmann::json one{{"time", record.time},     {"program", record.program},
                       {"result", record.result}, {"user", name_of(record)},
                       {"rule", record.rule},     {"words", record.words},
                       {"source", found.source}};
    if (record.uid) one["uid"] = *record.uid;
    all.push_back(std::move(one));
  }
  return all.dump(2, ' ', true, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace

int log_verb(const Words& words) {
  if (!words.names.empty())
    return tool_failure({{}, 0, "log takes options alone: a user is given as --user NAME"});
  const auto since = words.one("since") ? time_of(*words.one("since")) : Result<std::int64_t>(0);
  if (!since) return tool_failure(since.error());
  const auto user =
      words.one("user") ? uid_of(*words.one("user")) : Result<std::uint64_t>(kLargestId + 1);
  if (!user) return tool_failure(user.error());
  auto found = read_records(*since, std::string(words.one("file").value_or("")));
  if (!found) return tool_failure(found.error());
  const auto unwanted = [&](const LogRecord& record) {
    return (words.one("user") && record.uid != *user) ||
           (words.has("refused") && record.result == "granted");
  };
  std::erase_if(found->records, unwanted);
  if (found->can_be_forged && !words.has("json"))
    tool_failure({{}, 0, concat("note: from ", found->source, ", to which any user can write")});
  return put(words.has("json") ? as_json(*found) : as_text(*found));
}

}  // namespace userns::frontend
