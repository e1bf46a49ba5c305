// The text of a container's config file: its settings, changed without losing comments.
//
//   file  = { line "\n" } ;                          (* the last newline may be missing *)
//   line  = { blank } [ "#" text | key { blank } "=" { blank } value { blank } ] ;
//   key   = the name of an option (options.h) or of container_keys() ;
//   value = plain | '"' { char | "\" ( "\" | '"' | "n" | "t" | "x" hex hex ) } '"' ;
//           (* plain: what begins with no '"' and has no control characters *)
//
// A key that takes one value stands there once. Errors say FILE:LINE:COLUMN. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "policy/error.h"

namespace userns::frontend {

inline constexpr std::size_t kLargestConfig = std::size_t{1} << 18;

// A key of a named container's that is not an option of the throw-away kind.
struct ContainerKey {
  std::string_view name;
  std::string_view value;  // placeholder
  std::string_view help;
  bool many = false;                        // may stand there again
  Result<void> (*check)(std::string_view);  // the value
};
std::span<const ContainerKey> container_keys();

// Fails where there is no such key, where it is one for the command line alone, and where the value
// is none of its.
Result<void> check_setting(std::string_view key, std::string_view value);
// Fails where a file has no such key.
Result<void> check_key(std::string_view key);
// Whether it may stand there again. The key exists.
bool may_repeat(std::string_view key);

struct Setting {
  std::string key;
  std::string value;
  std::size_t line = 0;  // from 1; 0: was added here
};

class ConfigFile {
 public:
  ConfigFile() = default;
  // Every setting has been checked on its own. `path` is for messages.
  static Result<ConfigFile> parse(std::string_view text, std::string_view path);

  [[nodiscard]] std::vector<Setting> settings() const;
  // Fails where check_setting() does. set(): instead of all that the key has, in the place of the
  // first; add(): one more.
  Result<void> set(std::string_view key, std::span<const std::string> values);
  Result<void> add(std::string_view key, std::string_view value);
  // False where the key was not there.
  bool unset(std::string_view key);

  // parse(text()).settings() are the same, but for the line numbers.
  [[nodiscard]] std::string text() const;

 private:
  struct Line {
    std::string text;                // as it was written, or is to be
    std::optional<Setting> setting;  // none: a comment
  };
  std::vector<Line> lines_;
};

// --- what the settings of a container come to ---------------------------------------------------

enum class RestartMode : std::uint8_t { kNo, kOnFailure, kAlways };
struct Restart {
  RestartMode mode = RestartMode::kNo;
  std::optional<std::uint32_t> most;  // on-failure:N
};
Result<Restart> parse_restart(std::string_view text);
std::string to_text(const Restart& restart);

enum class HookEvent : std::uint8_t { kPreStart, kStart, kPostStop };
struct Hook {
  HookEvent event;
  std::vector<std::string> command;  // at least one word
};
Result<Hook> parse_hook(std::string_view text);

struct ContainerConfig {
  std::vector<Setting> all;          // that hold, in order
  std::vector<std::string> words;    // the options, each as "--key=value", for parse_options()
  std::vector<std::string> command;  // empty: the init that the root file system has
  std::vector<std::string> groups;
  bool autostart = false;
  Restart restart;
  std::vector<Hook> hooks;
  std::string base;  // of a snapshot: the container whose files it shows
};

// Settings of several files, the more general ones first: later values of a key that takes one win,
// those of others add up. Of `map`, `map-self`, `net`, `share`, `unshare` and `cap-keep` the last
// file that has any wins. Settings that no file may have (words of a command line) are checked by
// parse_options() alone.
ContainerConfig merge(std::span<const std::vector<Setting>> files);

}  // namespace userns::frontend
