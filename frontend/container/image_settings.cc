#include <algorithm>

#include "frontend/container/create.h"
#include "frontend/spec/shell_words.h"
#include "frontend/spec/values.h"
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

// A variable that userns-run would not take is left out; nothing else of the image is worth less for it.
Result<void> take_env(ConfigFile& config, const std::vector<std::string>& env, std::vector<std::string>& notes) {
  std::vector<std::string> fresh;
  for (const auto& variable : env) {
    std::string_view rest = variable;
    const auto name = take_until(rest, '=');
    if (sets_variable(config, name)) continue;
    if (check_setting("env", variable))
      fresh.push_back(variable);
    else
      notes.push_back(cat("the image's variable ", quoted(variable), " is left out"));
  }
  for (const auto& variable : fresh)
    if (auto added = config.add("env", variable); !added) return added;
  return {};
}

Result<void> take_command(ConfigFile& config, const ImageConfig& image, std::vector<std::string>& notes) {
  auto words = image.entrypoint;
  words.insert(words.end(), image.cmd.begin(), image.cmd.end());
  if (words.empty() || has(config, "command")) return {};
  const std::vector<std::string> line{join_words(words)};
  if (check_setting("command", line.front())) return config.set("command", line);
  notes.push_back("the image's command makes no sense and is left out");
  return {};
}

// Names are the image's own and cannot be looked up before it runs.
Result<void> take_user(ConfigFile& config, std::string_view user, std::vector<std::string>& notes) {
  if (user.empty() || user == "root" || has(config, "uid")) return {};
  const std::string uid(take_until(user, ':'));
  const std::string gid(user.empty() ? uid : user);
  if (!parse_id(uid) || !parse_id(gid)) {
    notes.push_back(cat("the image's user ", quoted(uid), " is no number: set uid and gid with userns-run config"));
    return {};
  }
  if (auto set = config.set("uid", std::vector{uid}); !set) return set;
  return has(config, "gid") ? Result<void>{} : config.set("gid", std::vector{gid});
}

}  // namespace

Result<void> take_image_config(ConfigFile& config, const ImageConfig& image, std::vector<std::string>& notes) {
  if (auto taken = take_env(config, image.env, notes); !taken) return taken;
  if (auto taken = take_command(config, image, notes); !taken) return taken;
  if (auto taken = take_user(config, image.user, notes); !taken) return taken;
  if (image.cwd.empty() || image.cwd == "/" || has(config, "cwd")) return {};
  if (check_setting("cwd", image.cwd)) return config.set("cwd", std::vector{image.cwd});
  notes.push_back(cat("the image's working directory ", quoted(image.cwd), " makes no sense and is left out"));
  return {};
}

}  // namespace userns::frontend
