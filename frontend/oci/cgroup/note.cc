#include "frontend/oci/cgroup/note.h"

#include "policy/text.h"

namespace userns::frontend {

std::string to_text(const CgroupNote& note) {
  std::string text;
  if (note.maker == CgroupMaker::kHelper) text = concat("helper 0 ", note.name, "\n");
  if (note.maker == CgroupMaker::kSystemd) text = concat("scope 0 ", note.name, "\n");
  for (const auto& entry : note.entries)
    text += concat(entry.is_ours ? "ours " : "tried ", entry.made, " ", entry.inode, " ",
                   entry.path, "\n");
  return text;
}

Result<CgroupNote> parse_cgroup_note(std::string_view text) {
  CgroupNote note;
  while (!text.empty()) {
    auto rest = take_until(text, '\n');
    const auto kind = take_until(rest, ' ');
    const auto made = parse_decimal(take_until(rest, ' '));
    const bool is_maker = kind == "helper" || kind == "scope";
    const bool is_known = is_maker || kind == "ours" || kind == "tried";
    const auto damaged = fail({}, "the note of cgroups is damaged");
    if (!is_known || !made || rest.empty()) return damaged;
    if (is_maker) {
      note.maker = kind == "helper" ? CgroupMaker::kHelper : CgroupMaker::kSystemd;
      note.name = rest;
      continue;
    }
    const auto inode = parse_decimal(take_until(rest, ' '));
    if (!inode || rest.empty()) return damaged;
    note.entries.push_back({.path = std::string(rest),
                            .made = static_cast<unsigned>(*made),
                            .is_ours = kind == "ours",
                            .inode = *inode});
  }
  return note;
}

}  // namespace userns::frontend
