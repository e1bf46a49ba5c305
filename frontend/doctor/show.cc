#include "frontend/doctor/show.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "frontend/spec/printable.h"
#include "policy/text.h"

namespace userns::frontend::doctor {
namespace {

struct Look {
  std::string_view word, colour;
};

Look look_of(Level level) {
  switch (level) {
    case Level::kPass:
      return {.word = "ok", .colour = "\033[32m"};
    case Level::kNote:
      return {.word = "-", .colour = "\033[2m"};
    case Level::kWarn:
      return {.word = "warn", .colour = "\033[33m"};
    case Level::kFail:
      break;
  }
  return {.word = "FAIL", .colour = "\033[1;31m"};
}

std::string_view status_of(Level level) {
  switch (level) {
    case Level::kPass:
      return "pass";
    case Level::kNote:
      return "note";
    case Level::kWarn:
      return "warn";
    case Level::kFail:
      break;
  }
  return "fail";
}

std::string name_of(const Finding& finding) {
  return finding.subject.empty() ? std::string(finding.id)
                                 : concat(finding.id, " ", finding.subject);
}

std::string padded(std::string text, std::size_t width) {
  text.append(text.size() < width ? width - text.size() : 0, ' ');
  return text;
}

auto count(const Findings& findings, Level level) {
  return std::ranges::count(findings, level, &Finding::level);
}

std::string counts(const Findings& findings) {
  std::string text = concat(count(findings, Level::kPass), " ok");
  const auto add = [&](Level level, std::string_view what) {
    if (const auto number = count(findings, level); number > 0)
      text += concat(", ", number, " ", what);
  };
  add(Level::kNote, "not set up and not needed");
  add(Level::kWarn, "to look at");
  add(Level::kFail, "failed");
  return text;
}

}  // namespace

std::string to_text(const Facts& facts, const Findings& findings, bool colours) {
  constexpr std::size_t kWord = 6;
  std::size_t widest = 0;
  for (const auto& finding : findings) widest = std::max(widest, name_of(finding).size() + 2);
  const auto paint = [&](std::string_view colour, std::string_view text) {
    return colours ? concat(colour, text, "\033[0m") : std::string(text);
  };
  std::string text = concat("userns-run ", facts.version, " as ",
                            facts.login.empty() ? "a user without a name" : printable(facts.login),
                            " (uid ", facts.uid, ")\n");
  std::string_view group;
  for (const auto& finding : findings) {
    if (finding.group != group) text += concat("\n", paint("\033[1m", finding.group), "\n");
    group = finding.group;
    const auto look = look_of(finding.level);
    text += concat("  ", paint(look.colour, padded(std::string(look.word), kWord)),
                   padded(printable(name_of(finding)), widest), printable(finding.text), "\n");
    if (!finding.fix.empty())
      text += concat(std::string(2 + kWord + widest, ' '), "-> ", printable(finding.fix), "\n");
  }
  return text + concat("\n", counts(findings), "\n");
}

std::string to_json(const Facts& facts, const Findings& findings) {
  // Names and paths may hold any bytes.
  constexpr auto kReplace = nlohmann::ordered_json::error_handler_t::replace;
  auto checks = nlohmann::ordered_json::array();
  for (const auto& finding : findings)
    checks.push_back({{"group", finding.group},
                      {"id", finding.id},
                      {"subject", finding.subject},
                      {"status", status_of(finding.level)},
                      {"text", finding.text},
                      {"fix", finding.fix}});
  const nlohmann::ordered_json all{{"user", facts.login},     {"uid", facts.uid},
                                   {"kernel", facts.kernel},  {"version", facts.version},
                                   {"ok", is_well(findings)}, {"checks", checks}};
  return all.dump(2, ' ', true, kReplace) + "\n";
}

bool is_well(const Findings& findings) { return count(findings, Level::kFail) == 0; }

}  // namespace userns::frontend::doctor
