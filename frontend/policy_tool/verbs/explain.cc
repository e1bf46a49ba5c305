// userns-policy explain: the helpers' own decisions about a user, and the lines that they come
// from.
#include "frontend/policy_tool/verbs/explain.h"

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <optional>

#include "frontend/policy_tool/tool.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

bool is_topic(std::string_view word) { return word == "map" || word == "net" || word == "cgroup"; }

int failure(std::string text) {
  return tool_failure({.rule = {}, .code = 0, .text = std::move(text)});
}

std::string as_json(const User& user, std::span<const Item> items) {
  nlohmann::ordered_json document{{"user", user.text()}, {"uid", user.uid.value()}};
  document["groups"] = nlohmann::ordered_json::array();
  std::string_view rest = user.group_names;
  while (!rest.empty()) document["groups"].push_back(take_until(rest, ' '));
  document["answers"] = nlohmann::ordered_json::array();
  for (const auto& item : items) document["answers"].push_back(json_of(item));
  return dumped(document);
}

}  // namespace

int explain_verb(const Words& words) {
  const auto count = words.names.size();
  const auto topic = count > 1 ? std::string_view(words.names[1]) : std::string_view{};
  if (count == 0)
    return failure(
        "explain needs a user: userns-policy explain USER [map ... | net BRIDGE | cgroup]");
  if (count > 1 && !is_topic(topic))
    return failure(is_topic(words.names[0]) ? concat("the user comes first: userns-policy explain ",
                                                     topic, " ", words.names[0])
                                            : concat("there is nothing to explain about ",
                                                     quoted(topic), ": say map, net or cgroup"));
  if ((topic == "net" && count > 3) || (topic == "cgroup" && count > 2))
    return failure(concat("unexpected argument ", quoted(words.names.back()),
                          ": userns-policy explain --help"));
  if (auto entered = enter_root(words); !entered) return tool_failure(entered.error());
  const auto user = find_user(words.names[0]);
  if (!user) return tool_failure(user.error());
  const bool all = topic.empty();
  const auto sources =
      all || topic == "cgroup" ? std::optional(read_cgroup_sources(user->uid)) : std::nullopt;
  // A user who asks for himself may not be able to read what the helper reads as root.
  if (sources && !sources->texts && sources->texts.error().code == EACCES && !all)
    return tool_failure({.rule = {},
                         .code = EACCES,
                         .text = concat("cannot read ", sources->path,
                                        ", which only root may: sudo userns-policy explain ",
                                        words.names[0], " cgroup")});
  if (const auto done = become(*user); !done) return tool_failure(done.error());
  std::vector<Item> items;
  std::string text =
      concat(user->text(), ": uid ", user->uid.value(), ", groups ", user->group_names,
             " (by NSS; a running session keeps those of its login)\n");
  bool allowed = true;
  const auto take = [&](const Answer& answer) {
    text += answer.text;
    items.insert(items.end(), answer.items.begin(), answer.items.end());
    allowed = allowed && answer.allowed;
  };
  if (all || topic == "map") {
    const auto requests = all ? std::span<const std::string>{} : std::span(words.names).subspan(2);
    const auto answer = explain_map(*user, requests);
    if (!answer) return tool_failure(answer.error());
    take(*answer);
  }
  if (all || topic == "net") {
    const auto answer = explain_net(
        *user, count > 2 ? std::optional<std::string_view>(words.names[2]) : std::nullopt);
    if (!answer) return tool_failure(answer.error());
    take(*answer);
  }
  if (sources) take(explain_cgroup(*user, *sources));
  const int status = all || allowed ? 0 : 1;
  return words.has("json") ? put_as_it_is(as_json(*user, items), status) : put(text, status);
}

}  // namespace userns::frontend
