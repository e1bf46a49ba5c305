#include "frontend/start/plan/environment.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <unordered_map>
#include <utility>

#include "frontend/start/plan/plan.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

std::string_view name_of(std::string_view word) { return word.substr(0, word.find('=')); }

// Each variable once. There may be tens of thousands.
class Environment {
 public:
  void set(std::string_view name, std::string_view value) { add(concat(name, "=", value)); }
  void add(std::string word) {
    const auto [place, is_new] = places_.try_emplace(std::string(name_of(word)), words_.size());
    if (is_new)
      words_.push_back(std::move(word));
    else
      words_[place->second] = std::move(word);
  }
  std::vector<std::string> take() { return std::move(words_); }

 private:
  std::vector<std::string> words_;
  std::unordered_map<std::string, std::size_t> places_;
};

void add_wish(Environment& environment, const EnvWish& wish,
              std::span<const std::string_view> caller) {
  if (wish.value) {
    environment.set(wish.name, *wish.value);
    return;
  }
  const auto theirs = std::ranges::find_if(
      caller, [&](std::string_view word) { return name_of(word) == wish.name; });
  if (theirs != caller.end())
    environment.set(wish.name, theirs->substr(std::min(wish.name.size() + 1, theirs->size())));
}

// Every distribution's; sbin, too, where root's tools are.
constexpr std::string_view kPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// The caller's language is one that a root file system need not have.
void add_clean(Environment& environment, std::span<const std::string_view> caller) {
  environment.add(std::string(kPath));
  environment.add("LANG=C.UTF-8");
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
  Environment environment;
  if (!spec.clear_env && !spec.rootfs.empty())
    add_clean(environment, caller);
  else if (!spec.clear_env)
    for (const auto word : caller)
      if (inside == nullptr || !speaks_of_host(word)) environment.add(std::string(word));
  if (inside != nullptr && !spec.clear_env) {
    environment.set("HOME", inside->home);
    if (!inside->name.empty()) environment.set("USER", inside->name);
    if (!inside->name.empty()) environment.set("LOGNAME", inside->name);
  }
  if (!spec.clear_env) environment.set("container", "userns");
  for (const auto& wish : spec.env) add_wish(environment, wish, caller);
  return environment.take();
}

std::vector<std::string> boot_environment(const Spec& spec,
                                          std::span<const std::string_view> caller,
                                          const Boot& boot) {
  const bool is_systemd = boot.init.kind == InitKind::kSystemd;
  Environment environment;
  environment.add(std::string(kPath));
  environment.set("container_uuid", boot.uuid);
  // Scripts of the others, OpenRC's above all, know a container by this name, and leave the
  // hardware alone.
  environment.set("container", is_systemd ? "userns" : "lxc");
  if (is_systemd) environment.set("NOTIFY_SOCKET", kNotifySocket);
  add_wish(environment, {.name = "TERM", .value = {}}, caller);
  for (const auto& wish : spec.env) add_wish(environment, wish, caller);
  return environment.take();
}

}  // namespace userns::frontend
