#include "frontend/spec/config_file.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <set>

#include "frontend/spec/given.h"
#include "frontend/spec/nearest.h"
#include "frontend/spec/options.h"
#include "frontend/spec/printable.h"
#include "frontend/spec/shell_words.h"
#include "frontend/spec/values.h"
#include "policy/cgroup_rules.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::string_view kBlank = " \t\r";

// These speak of one start, or of the terminal that it is typed at.
constexpr std::array<std::string_view, 3> kOnlyTyped{"dry-run", "info-fd", "wait"};
// Values of these from different files would contradict each other.
constexpr std::array<std::array<std::string_view, 2>, 5> kReplaced{{{"map", "map-self"},
                                                                    {"net", "net"},
                                                                    {"share", "unshare"},
                                                                    {"cap-keep", "cap-keep"},
                                                                    {"command", "command"}}};
constexpr std::array<std::string_view, 3> kEvents{"pre-start", "start", "post-stop"};

// --- keys ---------------------------------------------------------------------------------------

template <class Value>
Result<void> only_whether(const Result<Value>& value) {
  if (!value) return std::unexpected(value.error());
  return {};
}

Result<void> check_label(std::string_view text) {
  constexpr std::string_view kLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
  if (!text.empty() && text.size() <= 64 &&
      text.find_first_not_of(kLetters) == std::string_view::npos)
    return {};
  return fail({}, "a group has a name of at most 64 letters, digits and . _ -");
}

Result<void> check_command(std::string_view text) {
  const auto words = TRY(split_words(text));
  return words.empty() || words.front().empty() ? fail({}, "there is no command in it")
                                                : Result<void>{};
}

Result<void> check_base(std::string_view text) {
  return ContainerName::parse(text) ? Result<void>{}
                                    : fail({}, "is not a valid name of a container");
}

constexpr std::array kKeys{
    ContainerKey{"autostart", "YES|NO",
                 "start with the user's session (userns-run start --autostart)", false,
                 [](std::string_view t) { return only_whether(parse_yes_no(t)); }},
    ContainerKey{"base-tree", "ID", "the files that this one's are changes to; create writes it",
                 false, check_base},
    ContainerKey{"base", "NAME", "the container that this one is a snapshot of", false, check_base},
    ContainerKey{"command", "WORDS", "what is started instead of the init of the root file system",
                 false, check_command},
    ContainerKey{"group", "NAME", "a label, for acting on several containers", true, check_label},
    ContainerKey{"hook", "EVENT=CMD",
                 "pre-start | start | post-stop: a command of the user's on the host", true,
                 [](std::string_view t) { return only_whether(parse_hook(t)); }},
    ContainerKey{"include", "FILE", "settings of another file, which those of this one override",
                 true,
                 [](std::string_view t) {
                   return t.empty() ? fail({}, "the value is empty") : Result<void>{};
                 }},
    ContainerKey{"restart", "WHEN", "no (default) | on-failure[:N] | always", false,
                 [](std::string_view t) { return only_whether(parse_restart(t)); }},
};

const ContainerKey* find_key(std::string_view name) {
  const auto* const found = std::ranges::find(kKeys, name, &ContainerKey::name);
  return found == kKeys.end() ? nullptr : found;
}

const ContainerOption* find_option(std::string_view name) {
  const auto options = container_options();
  const auto found = std::ranges::find(options, name, &ContainerOption::name);
  return found == options.end() ? nullptr : &*found;
}

bool is_only_typed(std::string_view key) {
  return std::ranges::find(kOnlyTyped, key) != kOnlyTyped.end();
}

// In a file.
bool is_known(std::string_view key) {
  return !is_only_typed(key) && (find_key(key) != nullptr || find_option(key) != nullptr);
}

std::unexpected<Error> no_such_key(std::string_view key) {
  std::vector<std::string_view> names;
  for (const auto& option : container_options())
    if (is_known(option.name)) names.push_back(option.name);
  for (const auto& own : kKeys) names.push_back(own.name);
  return fail({}, concat("there is no key ", quoted(key), did_you_mean(key, names)));
}

// --- one line -------------------------------------------------------------------------------

std::string_view trimmed(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(kBlank), text.size()));
  return text.substr(0, text.find_last_not_of(kBlank) + 1);
}

bool is_control(char letter) { return static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f; }

std::optional<unsigned> hex_value(std::string_view two) {
  unsigned value = 0;
  if (two.size() != 2) return std::nullopt;
  const auto end = std::from_chars(two.data(), two.data() + 2, value, 16);
  return end.ptr == two.data() + 2 && value != 0 ? std::optional(value) : std::nullopt;
}

// What stands behind a backslash.
Result<char> unescape(std::string_view& text) {
  const char letter = text.empty() ? '\0' : text.front();
  text.remove_prefix(std::min<std::size_t>(1, text.size()));
  if (letter == '\\' || letter == '"') return letter;
  if (letter == 'n') return '\n';
  if (letter == 't') return '\t';
  const auto value = letter == 'x' ? hex_value(text.substr(0, 2)) : std::nullopt;
  if (!value)
    return fail({}, R"(a backslash stands before \ " n t or x and two hexadecimal digits but 00)");
  text.remove_prefix(2);
  return static_cast<char>(*value);
}

Result<std::string> unquote(std::string_view text) {
  std::string value;
  text.remove_prefix(1);
  while (!text.empty() && text.front() != '"') {
    char letter = text.front();
    text.remove_prefix(1);
    if (letter == '\\') {
      const auto meant = TRY(unescape(text));
      letter = meant;
    }
    value += letter;
  }
  if (text != "\"")
    return fail(
        {}, text.empty() ? "a quote is not closed" : "something stands behind the closing quote");
  return value;
}

std::string in_hex(std::string_view bytes) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string text;
  for (const char letter : bytes) {
    const auto byte = static_cast<unsigned char>(letter);
    text += concat("\\x", kHex[byte >> 4U], kHex[byte & 15U]);
  }
  return text;
}

std::string in_quotes(std::string_view value) {
  std::string text = "\"";
  while (!value.empty()) {
    const auto letter = first_letter(value);
    const auto bytes = value.substr(0, letter.size);
    if (bytes == "\\" || bytes == "\"")
      text += concat('\\', bytes);
    else
      text += letter.shows ? std::string(bytes) : in_hex(bytes);
    value.remove_prefix(letter.size);
  }
  return text + "\"";
}

std::string to_line(std::string_view key, std::string_view value) {
  const bool plain =
      value == trimmed(value) && !value.starts_with('"') && printable(value) == value;
  return concat(key, value.empty() ? " =" : " = ", plain ? std::string(value) : in_quotes(value));
}

struct Misplaced {
  std::size_t column;  // from 1
  std::string why;
};
template <class T>
using Placed = std::expected<T, Misplaced>;

std::size_t place(std::string_view line, std::string_view part) {
  return static_cast<std::size_t>(part.data() - line.data()) + 1;
}

Placed<std::optional<Setting>> parse_line(std::string_view line) {
  for (std::size_t i = 0; i < line.size(); ++i)
    if (is_control(line[i]) && !kBlank.contains(line[i]))
      return std::unexpected(
          Misplaced{i + 1, "a control character stands here: this is not a config file"});
  const auto text = trimmed(line);
  if (text.empty() || text.front() == '#') return std::nullopt;
  if (!text.contains('='))
    return std::unexpected(Misplaced{place(line, text), "no = in this line: write key = value"});
  const auto key = trimmed(text.substr(0, text.find('=')));
  const auto written = trimmed(text.substr(text.find('=') + 1));
  const auto value = written.starts_with('"') ? unquote(written) : Result<std::string>(written);
  if (!value) return std::unexpected(Misplaced{place(line, written), value.error().text});
  const bool known = is_known(key);
  if (const auto good = check_setting(key, *value); !good)
    return std::unexpected(Misplaced{place(line, known ? written : key), good.error().text});
  return Setting{std::string(key), *value};
}

bool is_of(std::string_view key, const std::array<std::string_view, 2>& family) {
  return key == family[0] || key == family[1];
}

// Whether `later`, of a file of more weight, makes `earlier` void.
bool replaces(std::string_view later, std::string_view earlier) {
  if (later == earlier && !may_repeat(later)) return true;
  return std::ranges::any_of(kReplaced, [&](const auto& family) {
    return is_of(later, family) && is_of(earlier, family);
  });
}

void take(ContainerConfig& config, const Setting& setting) {
  const std::string_view key = setting.key;
  const std::string_view value = setting.value;
  if (key == "group") config.groups.emplace_back(value);
  if (key == "autostart") config.autostart = parse_yes_no(value).value_or(false);
  if (key == "base") config.base = value;
  if (key == "command") config.command = split_words(value).value_or(std::vector<std::string>{});
  if (key == "restart") config.restart = parse_restart(value).value_or(Restart{});
  if (key == "hook")
    if (auto hook = parse_hook(value)) config.hooks.push_back(std::move(*hook));
  if (find_key(key) == nullptr) config.words.push_back(concat("--", key, "=", value));
}

}  // namespace

std::span<const ContainerKey> container_keys() { return kKeys; }

Result<void> check_key(std::string_view key) {
  if (is_only_typed(key))
    return fail({}, concat(key, " is for one start and stands in no file: give it as --", key));
  return is_known(key) ? Result<void>{} : no_such_key(key);
}

Result<void> check_setting(std::string_view key, std::string_view value) {
  if (value.contains('\0')) return fail({}, concat(key, ": a NUL byte is in the value"));
  if (auto known = check_key(key); !known) return known;
  const auto* const own = find_key(key);
  const auto good = own != nullptr ? own->check(value) : check_option(key, value);
  if (good) return {};
  return fail(good.error().rule, wrong_value(key, value, good.error().text));
}

bool may_repeat(std::string_view key) {
  if (const auto* const own = find_key(key)) return own->many;
  const auto* const option = find_option(key);
  return option != nullptr && option->many;
}

Result<ConfigFile> ConfigFile::parse(std::string_view text, std::string_view path) {
  ConfigFile file;
  std::map<std::string, std::size_t> seen;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto line = take_until(text, '\n');
    auto setting = parse_line(line);
    if (!setting)
      return fail(
          {}, concat(path, ":", number, ":", setting.error().column, ": ", setting.error().why));
    if (*setting) {
      (*setting)->line = number;
      const auto [before, is_new] = seen.emplace((*setting)->key, number);
      if (!is_new && !may_repeat((*setting)->key))
        return fail({}, concat(path, ":", number, ":1: ", (*setting)->key, " was set in line ",
                               before->second, " already: decide for one"));
    }
    file.lines_.push_back({.text = std::string(line), .setting = std::move(*setting)});
  }
  return file;
}

std::vector<Setting> ConfigFile::settings() const {
  std::vector<Setting> all;
  for (const auto& line : lines_)
    if (line.setting) all.push_back(*line.setting);
  return all;
}

Result<void> ConfigFile::set(std::string_view key, std::span<const std::string> values) {
  std::vector<Line> fresh;
  for (const auto& value : values) {
    if (auto good = check_setting(key, value); !good) return good;
    fresh.push_back({.text = to_line(key, value), .setting = Setting{std::string(key), value}});
  }
  if (values.size() > 1 && !may_repeat(key))
    return fail({}, concat(key, " is given twice: decide for one"));
  const auto is_old = [&](const Line& line) { return line.setting && line.setting->key == key; };
  const auto place = std::ranges::find_if(lines_, is_old) - lines_.begin();
  std::erase_if(lines_, is_old);
  lines_.insert(lines_.begin() + place, fresh.begin(), fresh.end());
  return {};
}

Result<void> ConfigFile::add(std::string_view key, std::string_view value) {
  if (auto good = check_setting(key, value); !good) return good;
  const auto is_same = [&](const Line& line) { return line.setting && line.setting->key == key; };
  if (!may_repeat(key) && std::ranges::any_of(lines_, is_same))
    return fail({}, concat(key, " takes one value: set it with ", key, "=", quoted(value)));
  lines_.push_back(
      {.text = to_line(key, value), .setting = Setting{std::string(key), std::string(value)}});
  return {};
}

bool ConfigFile::unset(std::string_view key) {
  return std::erase_if(lines_, [&](const Line& line) {
           return line.setting && line.setting->key == key;
         }) > 0;
}

std::string ConfigFile::text() const {
  std::string all;
  for (const auto& line : lines_) all += concat(line.text, "\n");
  return all;
}

std::string to_text(const Restart& restart) {
  if (restart.mode == RestartMode::kNo) return "no";
  if (restart.mode == RestartMode::kAlways) return "always";
  return restart.most ? concat("on-failure:", *restart.most) : "on-failure";
}

Result<Restart> parse_restart(std::string_view text) {
  constexpr std::string_view kOnFailure = "on-failure";
  if (text == "no") return Restart{};
  if (text == "always") return Restart{.mode = RestartMode::kAlways};
  if (text == kOnFailure) return Restart{.mode = RestartMode::kOnFailure};
  if (text.starts_with("on-failure:")) {
    const auto most = parse_decimal(text.substr(kOnFailure.size() + 1));
    if (most && *most >= 1 && *most <= 1'000'000)
      return Restart{.mode = RestartMode::kOnFailure, .most = static_cast<std::uint32_t>(*most)};
  }
  return fail({}, "write no, always, on-failure or on-failure:N with N from 1 to 1000000");
}

Result<Hook> parse_hook(std::string_view text) {
  if (!text.contains('='))
    return fail({}, "write EVENT=COMMAND, as in post-stop=/usr/bin/logger gone");
  const auto event = TRY(parse_choice(take_until(text, '='), kEvents));
  auto command = TRY(split_words(text));
  if (command.empty() || command.front().empty())
    return fail({}, "there is no command behind the =");
  return Hook{.event = static_cast<HookEvent>(event), .command = std::move(command)};
}

ContainerConfig merge(std::span<const std::vector<Setting>> files) {
  std::vector<Setting> all;
  for (const auto& file : files) {
    std::set<std::string_view> keys;
    for (const auto& setting : file) keys.insert(setting.key);
    std::erase_if(all, [&](const Setting& earlier) {
      return std::ranges::any_of(
          keys, [&](std::string_view later) { return replaces(later, earlier.key); });
    });
    all.insert(all.end(), file.begin(), file.end());
  }
  ContainerConfig config;
  for (const auto& setting : all) take(config, setting);
  config.all = std::move(all);
  return config;
}

}  // namespace userns::frontend
