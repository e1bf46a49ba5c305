#include <algorithm>

#include "frontend/container/make/image_settings.h"
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
Result<void> take_env(ConfigFile& config, const ImageConfig& image,
                      std::vector<std::string>& notes) {
  for (const auto& name : image.names_only)
    notes.push_back(concat("the image's variable ", quoted(name), " has no value and is left out"));
  std::vector<std::string> fresh;
  for (const auto& variable : image.env) {
    if (sets_variable(config, variable.name)) continue;
    auto text = concat(variable.name, "=", variable.value);
    if (check_setting("env", text))
      fresh.push_back(std::move(text));
    else
      notes.push_back(concat("the image's variable ", quoted(text), " is left out"));
  }
  for (const auto& text : fresh)
    if (auto added = config.add("env", text); !added) return added;
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

constexpr std::string_view kDecide = "; create it with --uid N and --gid N to decide who runs it";

// Who the image says runs its command, as numbers. A user that cannot be found is not root.
Result<void> take_user(ConfigFile& config, const ImageConfig& image) {
  if (image.user.empty() || has(config, "uid")) return {};
  if (!image.ids)
    return fail({}, concat("the image's user ", quoted(image.user),
                           " is not in the passwd and group files of the image", kDecide));
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
  if (auto taken = take_env(config, image, notes); !taken) return taken;
  if (auto taken = take_command(config, image, notes); !taken) return taken;
  if (auto taken = take_user(config, image); !taken) return taken;
  if (auto taken = take_value(config, "stop-signal", image.stop_signal, "stop signal", notes);
      !taken)
    return taken;
  if (auto taken = take_value(config, "cwd", image.cwd, "working directory", notes); !taken)
    return taken;
  // Unset, it would be the caller's own.
  return take_value(config, "cwd", image.cwd.empty() ? "" : "/", "working directory", notes);
}

Result<void> check_user_fits(const ConfigFile& config, const ImageConfig& image,
                             const ChosenIds& ids) {
  if (image.user.empty() || !image.ids || has(config, "uid")) return {};
  const auto refuse = [&](std::string_view kind, std::uint32_t id) {
    return fail({}, concat("the image's user ", quoted(image.user), " is ", kind, " ", id,
                           ", which is not one of the container's ids: give it more with --ids or "
                           "--map, or decide with --uid N and --gid N"));
  };
  if (!ids.uids.has(image.ids->uid)) return refuse("uid", image.ids->uid);
  if (has(config, "gid")) return {};
  if (!ids.gids.has(image.ids->gid)) return refuse("gid", image.ids->gid);
  if (has(config, "groups")) return {};
  for (const auto group : image.ids->groups)
    if (!ids.gids.has(group)) return refuse("in the group", group);
  return {};
}

}  // namespace userns::frontend
