#include "frontend/spec/shell_words.h"

#include <algorithm>

#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::string_view kBlank = " \t";
constexpr std::string_view kPlain =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";

// Takes the piece at the front of `text` over into `word`.
Result<void> take_piece(std::string_view& text, std::string& word) {
  const char first = text.front();
  text.remove_prefix(1);
  if (first == '\'') {
    if (!text.contains('\'')) return fail({}, "a single quote is not closed");
    word += take_until(text, '\'');
    return {};
  }
  if (first == '\\') {
    if (text.empty()) return fail({}, "ends in a backslash");
    word += text.front();
    text.remove_prefix(1);
    return {};
  }
  if (first != '"') {
    word += first;
    return {};
  }
  while (!text.empty() && text.front() != '"') {
    if (text.front() == '\\' && text.size() > 1) text.remove_prefix(1);
    word += text.front();
    text.remove_prefix(1);
  }
  if (text.empty()) return fail({}, "a double quote is not closed");
  text.remove_prefix(1);
  return {};
}

std::string in_quotes(std::string_view word) {
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string_view::npos)
    return std::string(word);
  std::string text = "'";
  for (const char letter : word)
    if (letter == '\'')
      text += "'\\''";
    else
      text += letter;
  return text + "'";
}

}  // namespace

Result<std::vector<std::string>> split_words(std::string_view text) {
  std::vector<std::string> words;
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(kBlank), text.size()));
    if (text.empty()) return words;
    std::string word;
    while (!text.empty() && !kBlank.contains(text.front())) TRY(take_piece(text, word));
    words.push_back(std::move(word));
  }
}

std::string join_words(std::span<const std::string> words) {
  std::string text;
  for (const auto& word : words) text += concat(text.empty() ? "" : " ", in_quotes(word));
  return text;
}

}  // namespace userns::frontend
