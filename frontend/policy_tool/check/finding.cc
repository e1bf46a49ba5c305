#include "frontend/policy_tool/check/finding.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "frontend/spec/printable.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kWidest = 160;  // bytes of a line that are shown

bool is_error(const Finding& finding) { return finding.severity == Severity::kError; }
std::string_view name_of(Severity severity) {
  return severity == Severity::kError ? "error" : "warning";
}

std::string counted(std::size_t number, std::string_view what) {
  return concat(number, " ", what, number == 1 ? "" : "s");
}

std::string excerpt(const Finding& finding, std::string_view mark, std::string_view plain) {
  const std::size_t at = std::min(finding.column - 1, finding.source.size());
  const std::size_t from = at < kWidest - 20 ? 0 : at - 20;
  const auto shown = printable_bytes(std::string_view(finding.source).substr(from, kWidest));
  const std::size_t wide = std::clamp<std::size_t>(finding.length, 1, kWidest - (at - from));
  return concat("  ", shown, "\n  ", std::string(at - from, ' '), mark, "^",
                std::string(wide - 1, '~'), plain, "\n");
}

}  // namespace

std::vector<TextLine> lines_of(std::string_view text, std::string_view file) {
  std::vector<TextLine> lines;
  while (!text.empty()) {
    const auto line = take_until(text, '\n');
    lines.push_back({lines.size() + 1, line, file});
  }
  return lines;
}

std::string place_seen_from(const TextLine& line, const TextLine& from) {
  return line.file == from.file ? concat("line ", line.number)
                                : concat(line.file, ":", line.number);
}

Finding finding_at(Severity severity, std::string_view id, const TextLine& line,
                   std::string_view part) {
  Finding finding;
  finding.severity = severity;
  finding.id = id;
  finding.file = line.file;
  finding.line = line.number;
  finding.column = static_cast<std::size_t>(part.data() - line.text.data()) + 1;
  finding.length = std::max<std::size_t>(part.size(), 1);
  finding.source = line.text;
  return finding;
}

std::string to_text(const Finding& finding, bool colour) {
  const std::string_view bold = colour ? "\033[1m" : "", plain = colour ? "\033[0m" : "";
  const std::string_view mark = !colour ? "" : is_error(finding) ? "\033[1;31m" : "\033[1;35m";
  std::string text = concat(bold, printable(finding.file));
  if (finding.line > 0) text += concat(":", finding.line, ":", finding.column);
  text += concat(": ", plain, mark, name_of(finding.severity), ":", plain, " ", bold,
                 printable(finding.what), plain, " [", finding.id, "]\n");
  if (finding.line > 0) text += excerpt(finding, mark, plain);
  if (!finding.why.empty()) text += concat("  why: ", printable(finding.why), "\n");
  if (!finding.fix.empty()) text += concat("  fix: ", printable(finding.fix), "\n");
  return text;
}

std::string to_json(std::span<const Finding> findings, std::span<const std::string> files) {
  using nlohmann::ordered_json;
  ordered_json all = ordered_json::array();
  for (const auto& f : findings) {
    ordered_json one{{"severity", name_of(f.severity)}, {"id", f.id}, {"file", f.file}};
    if (f.line > 0)
      one.update(
          {{"line", f.line}, {"column", f.column}, {"length", f.length}, {"source", f.source}});
    one.update({{"what", f.what}, {"why", f.why}, {"fix", f.fix}});
    all.push_back(std::move(one));
  }
  const auto errors = std::ranges::count_if(findings, is_error);
  ordered_json whole{{"version", 1},
                     {"files", files},
                     {"errors", errors},
                     {"warnings", static_cast<std::ptrdiff_t>(findings.size()) - errors},
                     {"findings", std::move(all)}};
  return whole.dump(2, ' ', true, ordered_json::error_handler_t::replace) + "\n";
}

std::string count_text(std::span<const Finding> findings) {
  const auto errors = static_cast<std::size_t>(std::ranges::count_if(findings, is_error));
  return concat(counted(errors, "error"), ", ", counted(findings.size() - errors, "warning"));
}

int exit_status(std::span<const Finding> findings) {
  if (findings.empty()) return 0;
  return std::ranges::any_of(findings, is_error) ? 2 : 1;
}

}  // namespace userns::frontend
