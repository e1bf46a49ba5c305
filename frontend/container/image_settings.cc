#include <algorithm>

#include "frontend/container/create.h"
#include "frontend/spec/shell_words.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

bool has(const ConfigFile& config, std::string_view key) {
  const auto settings = config.settings();
  return std::ranges::find(settings, key, &Setting::key) != settings.end();
}

bool sets_variable(const ConfigFile& config, std::string_view name) {
  const auto settings = config.settings();
  return std::ranges::any_of(settings, [&](const Setting& setting) {
    std::string_view value = setting.value;
    return setting.key == "env" && take_until(value, '=') == name;
  });
}

// A variable that userns-run would not take is left out; nothing else of the image is worth less
// for it.
Result<void> take_env(ConfigFile& config, const std::vector<std::string>& env,
                      std::vector<std::string>& notes) {
  std::vector<std::string> fresh;
  for (const auto& variable : env) {
    std::string_view rest = variable;
    const auto name = take_until(rest, '=');
    if (sets_variable(config, name)) continue;
    if (check_setting("env", variable))
      fresh.push_back(variable);
    else
      notes.push_back(concat("the image's variable ", quoted(variable), " is left out"));
  }
  for (const auto& variable : fresh)
    if (auto added = config.add("env", variable); !added) return added;
  return {};
}

Result<void> take_command(ConfigFile& config, const ImageConfig& image,
                          std::vector<std::string>& notes) {
  auto words = image.entrypoint;
  words.insert(words.end(), image.cmd.begin(), image.cmd.end());
  if (words.empty() || has(config, "command")) return {};
  const std::vector<std::string> line{join_words(words)};
  if (check_setting("command", line.front())) return config.set("command", line);
  notes.push_back("the image's command makes no sense and is left out");
  return {};
}

// Who the image says runs its command, as numbers.
Result<void> take_user(ConfigFile& config, const ImageConfig& image,
                       std::vector<std::string>& notes) {
  if (image.user.empty() || has(config, "uid")) return {};
  if (!image.ids) {
    notes.push_back(
        concat("the image's user ", quoted(image.user),
               " is not in its passwd and group: it runs as root unless uid and gid are "
               "set with userns-run "
               "config"));
    return {};
  }
  if (image.ids->uid == 0 && image.ids->gid == 0) return {};
  if (auto set = config.set("uid", std::vector{concat(image.ids->uid)}); !set) return set;
  if (has(config, "gid")) return {};
  if (auto set = config.set("gid", std::vector{concat(image.ids->gid)}); !set) return set;
  if (image.ids->groups.empty() || has(config, "groups")) return {};
  std::string list;
  for (const auto group : image.ids->groups) list += concat(list.empty() ? "" : ",", group);
  return config.set("groups", std::vector{list});
}

// A value that makes no sense is left out; nothing else of the image is worth less for it.
Result<void> take_value(ConfigFile& config, std::string_view key, const std::string& value,
                        std::string_view what, std::vector<std::string>& notes) {
  if (value.empty() || has(config, key)) return {};
  if (check_setting(key, value)) return config.set(key, std::vector{value});
  notes.push_back(
      concat("the image's ", what, " ", quoted(value), " makes no sense and is left out"));
  return {};
}

}  // namespace

Result<void> take_image_config(ConfigFile& config, const ImageConfig& image,
                               std::vector<std::string>& notes) {
  if (auto taken = take_env(config, image.env, notes); !taken) return taken;
  if (auto taken = take_command(config, image, notes); !taken) return taken;
  if (auto taken = take_user(config, image, notes); !taken) return taken;
  if (auto taken = take_value(config, "stop-signal", image.stop_signal, "stop signal", notes);
      !taken)
    return taken;
  return take_value(config, "cwd", image.cwd == "/" ? "" : image.cwd, "working directory", notes);
}

}  // namespace userns::frontend
