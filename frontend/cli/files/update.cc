#include "frontend/cli/files/update.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "frontend/cli/terminal.h"
#include "frontend/cli/verbs/config.h"
#include "frontend/cli/verbs/select.h"
#include "frontend/run/cgroup/files.h"
#include "frontend/spec/tell.h"
#include "frontend/store/state.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

// The keys that are a file of the container's cgroup, and what says that there is no limit.
struct LiveKey {
  std::string_view key;
  std::string_view file;
  std::string_view none;
};
constexpr std::array<LiveKey, 6> kLive{{{"memory", "memory.max", "max"},
                                        {"memory-swap", "memory.swap.max", "max"},
                                        {"pids", "pids.max", "max"},
                                        {"cpus", "cpu.max", "max"},
                                        {"cpu-weight", "cpu.weight", "100"},
                                        {"io-weight", "io.weight", "100"}}};

std::set<std::string> keys_of(const Words& words) {
  std::set<std::string> keys;
  for (std::string_view word : std::span(words.names).subspan(1)) {
    auto key = take_until(word, '=');
    if (key.ends_with('+')) key.remove_suffix(1);
    keys.emplace(key);
  }
  for (const auto key : words.all("unset")) keys.emplace(key);
  return keys;
}

std::string value_for(const Spec& spec, const LiveKey& live) {
  const auto limit = std::ranges::find(spec.limits, live.file, &LimitWish::file);
  return limit == spec.limits.end() ? std::string(live.none) : limit->text;
}

// Why it holds from the next start on; empty: it holds now.
std::string why_not_now(const State& state, const Spec& spec, std::string_view key) {
  const auto live = std::ranges::find(kLive, key, &LiveKey::key);
  if (key == "publish") return "ports are opened when the container's network is made";
  if (live == kLive.end()) return "it is looked at when the container starts";
  if (state.cgroup.empty()) return "the container was started without a cgroup";
  const auto payload =
      open_at(AT_FDCWD, concat(state.cgroup, "/payload").c_str(), O_RDONLY | O_DIRECTORY);
  if (!payload) return "the container's cgroup cannot be opened";
  const auto set = write_file(payload->get(), std::string(live->file), value_for(spec, *live));
  if (set) return {};
  return set.error().code == ENOENT ? concat("this host has no ", live->file, " in its cgroup")
                                    : to_text(set.error());
}

int apply_to_running(const Container& container, const std::set<std::string>& keys) {
  const auto state = read_state(container.dir());
  if (!state) return own_failure(state.error());
  if (!*state) return 0;
  const auto spec = container.spec();
  if (!spec) return own_failure(spec.error());
  for (const auto& key : keys)
    if (const auto why = why_not_now(**state, *spec, key); !why.empty())
      tell("userns-run",
           {.rule = {},
            .code = 0,
            .text = concat(container.name(), ": ", key, " holds from the next start on: ", why)});
  return 0;
}

// "ports=8080:80", as people say it.
Words in_our_words(Words words) {
  for (auto& word : words.names)
    if (word.starts_with("ports=") || word.starts_with("ports+="))
      word.replace(0, std::string_view("ports").size(), "publish");
  for (auto& [option, value] : words.given)
    if (option == "unset" && value == "ports") value = "publish";
  return words;
}

int update_verb(const Words& given) {
  const auto words = in_our_words(given);
  if (words.names.empty() || (words.names.size() == 1 && words.all("unset").empty()))
    return own_failure({.rule = {},
                        .code = 0,
                        .text = "what is to be changed? userns-run update NAME KEY=VALUE, such as "
                                "memory=512M; userns-run config NAME shows what it has"});
  const auto store = store_of(words);
  const auto container = store ? store->find(words.names.front()) : std::unexpected(store.error());
  if (!container) return own_failure(container.error());
  if (const int status = run_config(words); status != 0) return status;
  return apply_to_running(*container, keys_of(words));
}

constexpr std::array kUpdateOptions{
    VerbOption{"unset", "KEY", "the key goes back to what it is by default", true}, kPathOption};

}  // namespace

constinit const Verb kUpdateVerb{
    .name = "update",
    .arguments = "NAME KEY=VALUE... [KEY+=VALUE...]",
    .summary = "Changes settings of a container, limits at once if it runs",
    .options = kUpdateOptions,
    .run = update_verb,
    .kind = VerbKind::kMake};

}  // namespace userns::frontend
