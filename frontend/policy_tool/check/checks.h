// Everything that can be wrong with the text of a policy file. Pure: text and facts in, findings
// out, in the order of the lines.
//
// What a helper's own parser refuses is an error here with the parser's words, and nothing else is
// "malformed"; the other findings are about what a well-formed line means on this host.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "frontend/policy_tool/check/facts.h"
#include "frontend/policy_tool/check/finding.h"
#include "policy/cgroup_conf.h"
#include "policy/ids.h"
#include "policy/net_conf.h"
#include "policy/subid.h"

namespace userns::frontend {

enum class PolicyFile : std::uint8_t { kSubuid, kSubgid, kNet, kCgroup };

// "subuid", "subgid", "net.conf", "cgroup.conf", a file of a directory net.conf.d or cgroup.conf.d;
// nothing where the name is none of these (lxc-usernet is net.conf).
std::optional<PolicyFile> kind_of(std::string_view file_name);

struct PolicyText {
  PolicyFile kind = PolicyFile::kSubuid;
  std::string path;
  std::string text;
};

// The files of a policy, all of one kind: subuid or subgid alone; net.conf or cgroup.conf, and the
// files of its directory behind it, in the order in which they are read.
using PolicyTexts = std::span<const PolicyText>;

// `other`: the text of the other of subuid and subgid, where it is known.
std::vector<Finding> check(PolicyTexts files, const HostFacts& facts, const PolicyText* other);
std::vector<Finding> check(const PolicyText& file, const HostFacts& facts, const PolicyText* other);
// What the helpers' own parser says of a policy.
Result<void> parse(PolicyTexts files);

// The well-formed lines of a file, with their places; the malformed ones are findings.
struct SubidEntry {
  TextLine line;
  SubidLine parsed;
};
std::vector<SubidEntry> subid_entries(std::string_view path, std::string_view text, IdKind kind,
                                      std::vector<Finding>* findings);
struct NetEntry {
  TextLine line;
  NetLine parsed;
};
std::vector<NetEntry> net_entries(PolicyTexts files, std::vector<Finding>* findings);
std::vector<NetEntry> net_entries(std::string_view path, std::string_view text,
                                  std::vector<Finding>* findings);
struct CgroupEntry {
  TextLine line;
  CgroupLine parsed;
};
struct CgroupEntries {
  std::vector<CgroupEntry> lines;
  CgroupConf conf;  // without its lines
  TextLine base_line;
};
CgroupEntries cgroup_entries(PolicyTexts files, std::vector<Finding>* findings);

// --- one kind each, for checks.cc --------------------------------------------------------------
void check_subid(const PolicyText& file, const HostFacts& facts, const PolicyText* other,
                 std::vector<Finding>& found);
void check_net(PolicyTexts files, const HostFacts& facts, std::vector<Finding>& found);
void check_cgroup(PolicyTexts files, const HostFacts& facts, std::vector<Finding>& found);
// Puts findings about a file together.
struct Reporter {
  std::vector<Finding>& found;

  void say(Severity severity, std::string_view id, const TextLine& line, std::string_view part,
           std::string what, std::string why, std::string fix) const;
  // An entry is a line that was parsed.
  template <class Entry>
  void say(Severity severity, std::string_view id, const Entry& entry, std::string_view part,
           std::string what, std::string why, std::string fix) const {
    say(severity, id, entry.line, part, std::move(what), std::move(why), std::move(fix));
  }
};
// Whether there is such a user or group, who a line is about.
void check_who(PolicyFile kind, const TextLine& line, std::string_view who, const HostFacts& facts,
               std::vector<Finding>& found);
// The same words twice.
void check_duplicates(PolicyFile kind, const std::vector<TextLine>& lines,
                      std::vector<Finding>& found);
// Splits ":1:COLUMN: what" of a parser that was given one line and no path.
Finding from_parser(const TextLine& line, const Error& error, std::string_view why);

}  // namespace userns::frontend
