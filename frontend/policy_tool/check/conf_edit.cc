#include "frontend/policy_tool/check/conf_edit.h"

#include <algorithm>

#include "common/policy_files.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

// `text` with the line of this number made `line`, or taken away where it is empty.
std::string with_line(std::string_view text, std::size_t number, std::string_view line) {
  std::string out;
  std::size_t at = 0;
  for (auto rest = text; !rest.empty();) {
    const auto length = std::min(rest.find('\n'), rest.size() - 1) + 1;
    if (++at != number)
      out += rest.substr(0, length);
    else if (!line.empty())
      out += concat(line, rest.substr(0, length).ends_with('\n') ? "\n" : "");
    rest.remove_prefix(length);
  }
  return out;
}

// A new line before the one of this number, or at the end (0).
std::string with_new_line(std::string_view text, std::size_t before, std::string_view line) {
  std::string out;
  std::size_t at = 0;
  for (auto rest = text; !rest.empty();) {
    const auto length = std::min(rest.find('\n'), rest.size() - 1) + 1;
    if (++at == before) out += concat(line, "\n");
    out += rest.substr(0, length);
    rest.remove_prefix(length);
  }
  if (before == 0) out += concat(out.empty() || out.ends_with('\n') ? "" : "\n", line, "\n");
  return out;
}

}  // namespace

Parts parts_of(std::string_view line, bool comment_begins_a_word) {
  auto at = line.find('#');
  while (comment_begins_a_word && at != std::string_view::npos && at > 0 && line[at - 1] != ' ' &&
         line[at - 1] != '\t')
    at = line.find('#', at + 1);
  auto entry = line.substr(0, at);
  entry = entry.substr(0, entry.find_last_not_of(" \t") + 1);
  return {entry, line.substr(entry.size())};
}

std::vector<std::string_view> words_of(std::string_view entry) {
  std::vector<std::string_view> words;
  while (!entry.empty()) {
    const auto word = entry.substr(0, entry.find_first_of(" \t"));
    if (!word.empty()) words.push_back(word);
    entry.remove_prefix(std::min(word.size() + 1, entry.size()));
  }
  return words;
}

std::string_view key_of(std::string_view setting) { return setting.substr(0, setting.find('=')); }

Place place_of(PolicyTexts files, const TextLine& line) {
  const auto file = std::ranges::find(files, line.file, &PolicyText::path);
  return {static_cast<std::size_t>(file - files.begin()), line.number};
}

Result<void> check_well_formed(PolicyTexts files) {
  const auto parsed = parse(files);
  if (parsed) return {};
  const bool is_net = files.front().kind == PolicyFile::kNet;
  return fail(
      parsed.error().rule,
      concat("a file of the policy is malformed and all stay as they are: ", parsed.error().text,
             "; correct it first: userns-policy edit ", is_net ? "net.conf" : "cgroup.conf"));
}

std::vector<PolicyText> copies(PolicyTexts files) { return {files.begin(), files.end()}; }

void change_line(std::vector<PolicyText>& files, Place at, std::string_view line) {
  auto& text = files[at.file].text;
  text = with_line(text, at.line, line);
}

void insert_line(std::vector<PolicyText>& files, Place before, std::string_view line) {
  auto& text = files[before.file].text;
  text = with_new_line(text, before.line, line);
}

Result<void> put(ChangedTexts files, std::vector<PolicyText> changed) {
  if (auto parsed = parse(changed); !parsed) return parsed;
  std::size_t bytes = 0;
  for (const auto& file : changed) bytes += file.text.size();
  if (bytes > PolicyFiles::kMostBytes)
    return fail({}, concat("the policy would have ", bytes, " bytes, and the helpers read at most ",
                           PolicyFiles::kMostBytes, ": groups stand for many users"));
  std::ranges::move(changed, files.begin());
  return {};
}

}  // namespace userns::frontend
