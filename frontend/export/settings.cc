#include "frontend/export/settings.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <numeric>

#include "frontend/rootfs/archive/export_names.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

// What this store, and the ids of this container, mean.
constexpr std::array<std::string_view, 6> kOfThePlace{"map",       "map-self", "base",
                                                      "base-tree", "rootfs",   "changes"};
// What can do nothing but to the container itself, or take away.
constexpr std::array<std::string_view, 31> kOfTheInside{
    "command", "uid",        "gid",       "groups",     "hostname",    "add-host",
    "sysctl",  "read-only",  "overlay",   "tmpfs",      "shm-size",    "env",
    "tz",      "cwd",        "clear-env", "cap-drop",   "cap-keep",    "no-new-privs",
    "rlimit",  "boot",       "init",      "memory",     "memory-swap", "pids",
    "cpus",    "cpu-weight", "io-weight", "wait-ready", "stop-signal", "stop-timeout",
    "restart"};

bool is_one_of(std::string_view key, std::span<const std::string_view> keys) {
  return std::ranges::find(keys, key) != keys.end();
}

// A variable without a value is one of the caller's, and `keep` are the caller's groups.
bool takes_from_caller(const Setting& setting) {
  return (setting.key == "env" && setting.value.find('=') == std::string::npos) ||
         (setting.key == "groups" && setting.value == "keep");
}

bool has(const ConfigFile& config, std::string_view key) {
  const auto settings = config.settings();
  return std::ranges::find(settings, key, &Setting::key) != settings.end();
}

// --- a tar's header -----------------------------------------------------------------------------

constexpr std::size_t kBlock = 512;

void put(std::string& header, std::size_t at, std::string_view text) {
  std::ranges::copy(text, header.begin() + static_cast<std::ptrdiff_t>(at));
}

std::string octal(std::size_t number, int digits) {
  std::array<char, 32> text{};
  const int count = std::snprintf(text.data(), text.size(), "%0*zo", digits, number);
  return {text.data(), static_cast<std::size_t>(count)};
}

// POSIX.1-1988 ustar: pax(1), "ustar Interchange Format". Owned by root, 0600.
std::string header_of(std::string_view name, std::size_t size) {
  std::string header(kBlock, '\0');
  put(header, 0, name);
  put(header, 100, "0000600");
  put(header, 108, "0000000");
  put(header, 116, "0000000");
  put(header, 124, octal(size, 11));
  put(header, 136, octal(0, 11));
  put(header, 148, "        ");
  put(header, 156, "0");
  put(header, 257, "ustar");
  put(header, 263, "00");
  const auto sum =
      std::accumulate(header.begin(), header.end(), std::size_t{0},
                      [](std::size_t s, char c) { return s + static_cast<unsigned char>(c); });
  put(header, 148, octal(sum, 6) + std::string(1, '\0'));
  return header;
}

}  // namespace

std::string settings_entry(const ConfigFile& config, std::string_view name) {
  auto kept = config;
  for (const auto key : kOfThePlace) kept.unset(key);
  std::string text =
      concat("# Settings of ", name, ", written by userns-run export\n", kept.text());
  auto entry = header_of(kExportedSettings, text.size());
  text.resize((text.size() + kBlock - 1) / kBlock * kBlock, '\0');
  return entry + text;
}

Result<void> take_exported(ConfigFile& config, std::string_view text, bool trust,
                           std::vector<std::string>& notes) {
  const auto file = TRY(ConfigFile::parse(text, "the archive's settings"));
  const ConfigFile before = config;
  std::string left_out;
  for (const auto& setting : file.settings()) {
    if (is_one_of(setting.key, kOfThePlace)) continue;
    if (has(before, setting.key) && !may_repeat(setting.key)) continue;
    const bool harmless = is_one_of(setting.key, kOfTheInside) && !takes_from_caller(setting);
    if (!harmless && !trust) {
      left_out += concat(left_out.empty() ? "" : ", ", setting.key, " = ", setting.value);
      continue;
    }
    if (auto added = config.add(setting.key, setting.value); !added) return added;
  }
  if (!left_out.empty())
    notes.push_back(concat("left out of the archive's settings, because they reach the host: ",
                           left_out, "; userns-run config sets them, and --trust takes them all"));
  return {};
}

}  // namespace userns::frontend
