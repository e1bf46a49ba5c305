// Each change of a policy file in the audit log and in syslog: who, by which command, what lines
// were there before and are there after. userns-policy log reads them.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace userns::frontend {

// What the command line was, for records: "grant alice --ids 65536". Said once, by main.
void set_command(std::span<const std::string_view> words);

enum class ChangeEnd : bool { kGranted, kFailed };

// A change that is about to be made, or one that was recorded and then failed.
void record_change(std::string_view path, std::string_view before, std::string_view after,
                   ChangeEnd end);

// "file=... command=... before=... after=...": lines that one text has and the other lacks, with
// "|" between them, each at most a thousand bytes. Bytes that a reader could take for something
// else are %XX. Pure.
std::string change_words(std::string_view command, std::string_view path, std::string_view before,
                         std::string_view after);

}  // namespace userns::frontend
