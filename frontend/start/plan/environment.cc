#include "frontend/start/plan/environment.h"

#include <algorithm>
#include <array>

#include "frontend/start/plan/plan.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

std::string_view name_of(std::string_view word) { return word.substr(0, word.find('=')); }

void set(std::vector<std::string>& environment, std::string_view name, std::string_view value) {
  std::erase_if(environment, [&](const std::string& word) { return name_of(word) == name; });
  environment.push_back(concat(name, "=", value));
}

void add_wish(std::vector<std::string>& environment, const EnvWish& wish,
              std::span<const std::string_view> caller) {
  if (wish.value) {
    set(environment, wish.name, *wish.value);
    return;
  }
  const auto theirs = std::ranges::find_if(
      caller, [&](std::string_view word) { return name_of(word) == wish.name; });
  if (theirs != caller.end())
    set(environment, wish.name, theirs->substr(std::min(wish.name.size() + 1, theirs->size())));
}

// Every distribution's; sbin, too, where root's tools are.
constexpr std::string_view kPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// The caller's language is one that a root file system need not have.
void add_clean(std::vector<std::string>& environment, std::span<const std::string_view> caller) {
  environment.emplace_back(kPath);
  environment.emplace_back("LANG=C.UTF-8");
  add_wish(environment, {.name = "TERM", .value = {}}, caller);
}

bool speaks_of_host(std::string_view word) {
  constexpr std::array<std::string_view, 4> kNames{"HOME", "USER", "LOGNAME", "SHELL"};
  return std::ranges::find(kNames, name_of(word)) != kNames.end();
}

}  // namespace

InsideUser inside_user(std::string_view passwd, std::uint32_t uid) {
  while (!passwd.empty()) {
    auto line = take_until(passwd, '\n');
    const auto name = take_until(line, ':');
    take_until(line, ':');
    if (parse_decimal(take_until(line, ':')) != uid) continue;
    for (int skipped = 0; skipped < 2; ++skipped) take_until(line, ':');
    return {std::string(name), std::string(take_until(line, ':'))};
  }
  return uid == 0 ? InsideUser{"root", "/root"} : InsideUser{"", "/"};
}

std::vector<std::string> make_environment(const Spec& spec,
                                          std::span<const std::string_view> caller,
                                          const InsideUser* inside) {
  std::vector<std::string> environment;
  environment.reserve(caller.size() + spec.env.size() + 4);
  if (!spec.clear_env && !spec.rootfs.empty())
    add_clean(environment, caller);
  else if (!spec.clear_env)
    for (const auto word : caller)
      if (inside == nullptr || !speaks_of_host(word)) environment.emplace_back(word);
  if (inside != nullptr && !spec.clear_env) {
    set(environment, "HOME", inside->home);
    if (!inside->name.empty()) set(environment, "USER", inside->name);
    if (!inside->name.empty()) set(environment, "LOGNAME", inside->name);
  }
  if (!spec.clear_env) set(environment, "container", "userns");
  for (const auto& wish : spec.env) add_wish(environment, wish, caller);
  return environment;
}

std::vector<std::string> boot_environment(const Spec& spec,
                                          std::span<const std::string_view> caller,
                                          const Boot& boot) {
  const bool is_systemd = boot.init.kind == InitKind::kSystemd;
  std::vector<std::string> environment{std::string(kPath), concat("container_uuid=", boot.uuid)};
  // Scripts of the others, OpenRC's above all, know a container by this name, and leave the
  // hardware alone.
  set(environment, "container", is_systemd ? "userns" : "lxc");
  if (is_systemd) set(environment, "NOTIFY_SOCKET", kNotifySocket);
  add_wish(environment, {.name = "TERM", .value = {}}, caller);
  for (const auto& wish : spec.env) add_wish(environment, wish, caller);
  return environment;
}

}  // namespace userns::frontend
