// The records of the helpers: what was granted, refused, and failed.
//
// Where audit runs they are read through libauparse, from the log of auditd, which only root and
// the kernel write; else from the journal. Source: auparse(3), journalctl(1).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "policy/error.h"

namespace userns::frontend {

struct LogRecord {
  std::int64_t time = 0;        // seconds since 1970
  std::string program, result;  // "granted", "refused", "failed"
  std::optional<std::uint64_t> uid;
  std::string rule;   // "none" where it was granted
  std::string words;  // the record's own: "add bridge=br0 ..."
};

// Of a record as a helper wrote it: "newuidmap uid=1000 ... rule=none". Nothing where it is not
// one.
std::optional<LogRecord> record_of(std::string_view program, std::string_view words);

struct FoundRecords {
  std::vector<LogRecord> records;
  std::string source;          // "the audit log", "the journal", a file
  bool can_be_forged = false;  // any user may write there
};
// Those at or after `since`. `file`: a log of auditd's to be read in place of the system's; empty:
// the system's.
Result<FoundRecords> read_records(std::int64_t since, const std::string& file);

}  // namespace userns::frontend
