#include "frontend/policy_tool/verbs/log_source.h"

#include <auparse.h>
#include <libaudit.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "common/fd.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::array<std::string_view, 6> kPrograms{
    "newuidmap", "newgidmap", "userns-net", "userns-cgroup", "userns-idmap", "userns-policy"};
constexpr const char* kAuditLog = "/var/log/audit/audit.log";

bool is_helper(std::string_view program) {
  return std::ranges::find(kPrograms, program) != kPrograms.end();
}

// The value of the first " KEY=VALUE" of a record.
std::string_view value_of(std::string_view words, std::string_view key) {
  while (!words.empty()) {
    auto word = take_until(words, ' ');
    if (take_until(word, '=') == key) return word;
  }
  return {};
}

// The helper's own part of an audit record: msg='op=PROGRAM WORDS exe=... res=...'.
std::optional<LogRecord> record_in_audit_text(std::string_view text) {
  constexpr std::string_view kBegin = "msg='op=", kEnd = " exe=";
  const auto begin = text.find(kBegin);
  if (begin == std::string_view::npos) return std::nullopt;
  text.remove_prefix(begin + kBegin.size());
  const auto program = take_until(text, ' ');
  const auto end = text.rfind(kEnd);
  return end == std::string_view::npos ? std::nullopt : record_of(program, text.substr(0, end));
}

Result<FoundRecords> from_audit(std::int64_t since, const std::string& file) {
  const std::unique_ptr<auparse_state_t, void (*)(auparse_state_t*)> log(
      file.empty() ? ::auparse_init(AUSOURCE_LOGS, nullptr)
                   : ::auparse_init(AUSOURCE_FILE, file.c_str()),
      ::auparse_destroy);
  const std::string source = file.empty() ? "the audit log" : file;
  if (!log) return fail_errno(concat("cannot read ", source));
  FoundRecords found{.records = {}, .source = source};
  // Of user space's records an event has one alone, but the interface is one of events.
  int more = 0;
  while ((more = ::auparse_next_event(log.get())) > 0) {
    const auto time = static_cast<std::int64_t>(::auparse_get_time(log.get()));
    for (int on = ::auparse_first_record(log.get()); on > 0 && time >= since;
         on = ::auparse_next_record(log.get())) {
      const char* const text = ::auparse_get_record_text(log.get());
      const int type = ::auparse_get_type(log.get());
      auto record = (type == AUDIT_VIRT_RESOURCE || type == AUDIT_USYS_CONFIG) && text != nullptr
                        ? record_in_audit_text(text)
                        : std::nullopt;
      if (!record) continue;
      record->time = time;
      found.records.push_back(std::move(*record));
    }
  }
  if (more < 0) return fail_errno(concat("cannot read ", source));
  return found;
}

// "1796048001.443000 host newuidmap[123]: granted uid=..."
std::optional<LogRecord> record_in_journal_line(std::string_view line) {
  const auto time = parse_decimal(take_until(line, '.'));
  take_until(line, ' ');
  take_until(line, ' ');
  auto program = take_until(line, ' ');
  auto words = line;
  const auto result = take_until(words, ' ');
  auto record = record_of(take_until(program, '['), words);
  if (!time || !record || result.empty()) return std::nullopt;
  record->time = static_cast<std::int64_t>(*time);
  record->result = result;
  return record;
}

Result<FoundRecords> from_journal(std::int64_t since) {
  std::string command =
      concat("journalctl --quiet --no-pager --output=short-unix --since=@", since);
  for (const auto program : kPrograms) command += concat(" --identifier=", program);
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "re"), ::pclose);
  if (!pipe) return fail_errno("cannot run journalctl");
  FoundRecords found{.records = {}, .source = "the journal", .can_be_forged = true};
  std::array<char, 16384> line{};
  while (std::fgets(line.data(), static_cast<int>(line.size()), pipe.get()) != nullptr) {
    std::string_view text = line.data();
    if (auto record = record_in_journal_line(take_until(text, '\n')))
      found.records.push_back(std::move(*record));
  }
  return found;
}

}  // namespace

std::optional<LogRecord> record_of(std::string_view program, std::string_view words) {
  const auto rule = value_of(words, "rule");
  if (!is_helper(program) || rule.empty()) return std::nullopt;
  LogRecord record{.program = std::string(program),
                   .result = std::string(value_of(words, "end")),
                   .uid = parse_decimal(value_of(words, "uid")),
                   .rule = std::string(rule),
                   .words = std::string(words)};
  return record;
}

Result<FoundRecords> read_records(std::int64_t since, const std::string& file) {
  if (!file.empty() || ::access(kAuditLog, R_OK) == 0) return from_audit(since, file);
  if (errno == EACCES)
    return fail({}, "cannot read the audit log: only root can; run \"sudo userns-policy log\"");
  if (::access("/run/systemd/journal", F_OK) == 0) return from_journal(since);
  return fail({},
              "no auditd and no journal keeps the helpers' records here; where syslog keeps them, "
              "grep newuidmap /var/log/auth.log");
}

}  // namespace userns::frontend
