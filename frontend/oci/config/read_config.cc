#include "frontend/oci/config/read_config.h"

#include <sched.h>

#include <algorithm>

#include "frontend/oci/config/node.h"
#include "frontend/oci/config/read_linux.h"
#include "frontend/oci/config/read_process.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

OciMount read_mount(const Node& node) {
  OciMount mount{.destination = node["destination"].text(),
                 .source = node["source"].text(),
                 .type = node["type"].text(),
                 .options = {}};
  if (mount.destination.empty()) node["destination"].refuse("is missing");
  // Releases before 1.0 had them so.
  if (!mount.destination.starts_with('/')) mount.destination = concat("/", mount.destination);
  auto options = parse_mount_options(node["options"].texts());
  if (options)
    mount.options = std::move(*options);
  else
    node["options"].refuse(options.error().text);
  mount.options.bind = mount.options.bind || mount.type == "bind";
  if (mount.options.bind && mount.source.empty()) node["source"].refuse("is missing");
  if (!mount.options.bind && mount.type.empty()) node["type"].refuse("is missing");
  node["uidMappings"].must_not_ask();
  node["gidMappings"].must_not_ask();
  return mount;
}

OciHook read_hook(const Node& node) {
  constexpr std::uint64_t kLongest = 86400;
  OciHook hook{.path = node["path"].text(),
               .args = node["args"].texts(),
               .env = node["env"].texts(),
               .timeout = std::nullopt};
  if (!hook.path.starts_with('/')) node["path"].refuse("is not an absolute path");
  if (const auto timeout = node["timeout"]; timeout.there()) {
    hook.timeout = timeout.number(kLongest);
    if (*hook.timeout == 0) timeout.refuse("is not a number above 0");
  }
  return hook;
}

std::vector<OciHook> read_hooks_at(const Node& node) {
  std::vector<OciHook> hooks;
  node.for_each([&](const Node& one) { hooks.push_back(read_hook(one)); });
  return hooks;
}

OciHooks read_hooks(const Node& node) {
  return {.prestart = read_hooks_at(node["prestart"]),
          .create_runtime = read_hooks_at(node["createRuntime"]),
          .create_container = read_hooks_at(node["createContainer"]),
          .start_container = read_hooks_at(node["startContainer"]),
          .poststart = read_hooks_at(node["poststart"]),
          .poststop = read_hooks_at(node["poststop"])};
}

void read_version(const Node& node, OciConfig& config) {
  node.require();
  config.version = node.text();
  const std::string_view text(config.version);
  const bool is_one = text.starts_with("1.") && text.size() > 2;
  constexpr std::string_view kLetters =
      "0123456789.-+abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  const auto dots = std::ranges::count(text.substr(0, text.find_first_of("-+")), '.');
  if (!is_one || dots != 2 || text.find_first_not_of(kLetters) != std::string_view::npos)
    node.refuse("is not a version 1.x.y of the specification");
}

void read_names(const Node& top, OciConfig& config) {
  if (const auto name = top["hostname"]; name.asks()) config.hostname = name.text();
  if (const auto name = top["domainname"]; name.asks()) config.domainname = name.text();
  if (config.hostname && !config.has(CLONE_NEWUTS))
    top["hostname"].refuse("needs a uts namespace, which linux.namespaces does not list");
  if (config.domainname && !config.has(CLONE_NEWUTS))
    top["domainname"].refuse("needs a uts namespace, which linux.namespaces does not list");
}

// What would otherwise happen to the caller's own mounts.
void check_mount_namespace(const Node& top, const OciConfig& config) {
  if (!config.makes(CLONE_NEWNS))
    top["linux"]["namespaces"].refuse(
        "has no new mount namespace: a container without one would be the caller's own tree");
}

void read_top(const Node& top, OciConfig& config) {
  read_version(top["ociVersion"], config);
  if (const auto process = top["process"]; process.there()) config.process = read_process(process);
  top["root"]["path"].require();
  config.root = top["root"]["path"].text();
  if (config.root.empty()) top["root"]["path"].refuse("is empty");
  config.root_read_only = top["root"]["readonly"].flag();
  top["mounts"].for_each([&](const Node& one) { config.mounts.push_back(read_mount(one)); });
  config.hooks = read_hooks(top["hooks"]);
  config.annotations = top["annotations"].pairs();
  top["linux"].require();
  read_linux(top["linux"], config);
  read_names(top, config);
  check_mount_namespace(top, config);
  for (const char* other : {"windows", "solaris", "vm", "zos"}) top[other].must_not_ask();
}

}  // namespace

Result<OciConfig> parse_config(std::string_view text) {
  const auto json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return fail({}, "config.json is not a JSON object");
  FirstError errors;
  OciConfig config;
  read_top({&json, "", errors}, config);
  if (errors.error())
    return fail({}, concat("config.json: ", errors.error()->text), errors.error()->code);
  return config;
}

}  // namespace userns::frontend
