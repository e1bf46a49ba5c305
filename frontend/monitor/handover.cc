#include "frontend/monitor/handover.h"

#include <algorithm>
#include <array>
#include <functional>
#include <limits>

#include "common/config.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

template <class Number>
bool take_number(std::string_view text, Number& target) {
  const auto number = parse_decimal(text);
  if (!number || *number > static_cast<std::uint64_t>(std::numeric_limits<Number>::max()))
    return false;
  target = static_cast<Number>(*number);
  return true;
}

bool take_flag(std::string_view text, bool& target) {
  target = text == "yes";
  return target || text == "no";
}

struct Key {
  std::string_view name;
  std::function<std::vector<std::string>(const Handover&)>
      put;  // a value each; none: it is left out
  std::function<bool(std::string_view, Handover&)> take;
};

template <class Number>
Key number(std::string_view name, Number Handover::* member) {
  return {name,
          [member](const Handover& h) {
            return h.*member < 0 ? std::vector<std::string>{} : std::vector{concat(h.*member)};
          },
          [member](std::string_view text, Handover& h) { return take_number(text, h.*member); }};
}
template <>
Key number(std::string_view name, unsigned Handover::* member) {
  return {name, [member](const Handover& h) { return std::vector{concat(h.*member)}; },
          [member](std::string_view text, Handover& h) { return take_number(text, h.*member); }};
}
template <>
Key number(std::string_view name, std::uint64_t Handover::* member) {
  return {name, [member](const Handover& h) { return std::vector{concat(h.*member)}; },
          [member](std::string_view text, Handover& h) { return take_number(text, h.*member); }};
}
Key flag(std::string_view name, bool Handover::* member) {
  return {
      name,
      [member](const Handover& h) { return std::vector<std::string>{h.*member ? "yes" : "no"}; },
      [member](std::string_view text, Handover& h) { return take_flag(text, h.*member); }};
}
Key word(std::string_view name, std::string Handover::* member) {
  return {name,
          [member](const Handover& h) {
            return (h.*member).empty() ? std::vector<std::string>{} : std::vector{h.*member};
          },
          [member](std::string_view text, Handover& h) {
            h.*member = text;
            return true;
          }};
}
Key list(std::string_view name, std::vector<std::string> Handover::* member) {
  return {name, [member](const Handover& h) { return h.*member; },
          [member](std::string_view text, Handover& h) {
            (h.*member).emplace_back(text);
            return true;
          }};
}

std::vector<std::string> put_limits(const Handover& h) {
  std::vector<std::string> words;
  words.reserve(h.limits.size());
  for (const auto& [file, option] : h.limits) words.push_back(concat(file, ":", option));
  return words;
}

bool take_limit(std::string_view text, Handover& h) {
  const std::string file(take_until(text, ':'));
  h.limits.emplace_back(file, text);
  return true;
}

Key ranges(std::string_view name, std::vector<IdRange> OwnIds::* member) {
  return {name,
          [member](const Handover& h) {
            std::vector<std::string> words;
            for (const auto& range : h.own_ids.*member)
              words.push_back(concat(range.first(), ":", range.count()));
            return words;
          },
          [member](std::string_view text, Handover& h) {
            const auto first = parse_decimal(take_until(text, ':'));
            const auto count = parse_decimal(text);
            const auto range = first && count ? IdRange::make(*first, *count) : std::nullopt;
            if (range) (h.own_ids.*member).push_back(*range);
            return range.has_value();
          }};
}

std::vector<std::string> put_clients(const Handover& h) {
  std::vector<std::string> words;
  words.reserve(h.clients.size());
  for (const auto& client : h.clients)
    words.push_back(concat(client.fd, client.watches ? ":watch" : ":wait"));
  return words;
}

bool take_client(std::string_view text, Handover& h) {
  HandedClient client;
  if (!take_number(take_until(text, ':'), client.fd)) return false;
  client.watches = text == "watch";
  h.clients.push_back(client);
  return client.watches || text == "wait";
}

const std::vector<Key>& keys() {
  static const std::vector<Key> kKeys{word("version", &Handover::version),
                                      number("directory", &Handover::directory),
                                      number("lock", &Handover::lock),
                                      number("control", &Handover::control),
                                      number("report", &Handover::report),
                                      word("name", &Handover::name),
                                      word("program", &Handover::program),
                                      word("path", &Handover::path),
                                      number("log-size", &Handover::log_size),
                                      flag("restart", &Handover::restart),
                                      flag("restart-always", &Handover::restart_always),
                                      flag("retry", &Handover::retry),
                                      number("restarts-left", &Handover::restarts_left),
                                      number("restarts", &Handover::restarts),
                                      flag("remove", &Handover::remove),
                                      list("pre-start", &Handover::pre_start),
                                      list("started", &Handover::started),
                                      list("post-stop", &Handover::post_stop),
                                      {"client", put_clients, take_client},
                                      number("pidfd", &Handover::pidfd),
                                      number("pid", &Handover::pid),
                                      number("user-namespace", &Handover::user_namespace),
                                      ranges("uids", &OwnIds::uids),
                                      ranges("gids", &OwnIds::gids),
                                      number("terminal", &Handover::terminal),
                                      number("notify", &Handover::notify),
                                      number("life", &Handover::life),
                                      number("network", &Handover::network),
                                      word("kind", &Handover::kind),
                                      number("stop-signal", &Handover::stop_signal),
                                      flag("boots", &Handover::boots),
                                      flag("is-pid-1", &Handover::is_pid_1),
                                      number("stop-timeout", &Handover::stop_timeout),
                                      number("hook-timeout", &Handover::hook_timeout),
                                      number("ready-within", &Handover::ready_within),
                                      word("cgroup", &Handover::cgroup),
                                      {"limit", put_limits, take_limit},
                                      word("pid-file", &Handover::pid_file)};
  return kKeys;
}

}  // namespace

Handover next_run_of(const Handover& ended) {
  Handover next;
  next.directory = ended.directory;
  next.lock = ended.lock;
  next.control = ended.control;
  next.name = ended.name;
  next.program = ended.program;
  next.path = ended.path;
  next.log_size = ended.log_size;
  next.restart = ended.restart;
  next.restart_always = ended.restart_always;
  next.restarts_left = ended.restarts_left;
  next.restarts = ended.restarts;
  next.remove = ended.remove;
  next.cgroup = ended.cgroup;
  next.pre_start = ended.pre_start;
  next.started = ended.started;
  next.post_stop = ended.post_stop;
  next.rest = ended.rest;
  return next;
}

std::chrono::milliseconds restart_delay(unsigned restarts) {
  constexpr std::chrono::milliseconds kFirst{100};
  constexpr unsigned kMostDoublings = 7;
  return kFirst * (1U << std::min(restarts, kMostDoublings));
}

std::vector<std::string> to_words(const Handover& handover) {
  std::vector<std::string> words;
  auto ours = handover;
  ours.version = kVersion;
  for (const auto& key : keys())
    for (const auto& value : key.put(ours)) words.push_back(concat(key.name, "=", value));
  words.insert(words.end(), handover.rest.begin(), handover.rest.end());
  return words;
}

Result<Handover> handover_from(std::span<const std::string_view> words) {
  Handover handover;
  std::size_t taken = 0;
  for (; taken < words.size() && !words[taken].starts_with("--"); ++taken) {
    std::string_view value = words[taken];
    const auto name = take_until(value, '=');
    const auto key = std::ranges::find(keys(), name, &Key::name);
    const bool is_others = !handover.version.empty() && handover.version != kVersion;
    if (key == keys().end() && is_others) continue;
    if (key == keys().end() || !key->take(value, handover))
      return fail({}, concat("these are words of a container's start to itself, and ",
                             quoted(words[taken]), " is none of them: use userns-run start"));
  }
  handover.rest.assign(words.begin() + static_cast<std::ptrdiff_t>(taken), words.end());
  return handover;
}

}  // namespace userns::frontend
