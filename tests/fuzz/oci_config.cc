// A bundle's config.json, a stranger's: a refusal that names a place, or a config that keeps the
// promises its users rely on.
#include <sched.h>

#include <algorithm>

#include "frontend/oci/config/read_config.h"
#include "frontend/oci/config/read_process.h"
#include "tests/fuzz/property.h"

using namespace userns;
using namespace userns::frontend;

namespace {

void check_process(const OciProcess& process) {
  must(!process.args.empty() && !process.args.front().empty(), "a process has a command");
  must(process.cwd.starts_with('/'), "its directory is absolute");
  for (const auto& word : process.env)
    must(word.find('\0') == std::string::npos, "no word ends before its end");
  for (const auto& limit : process.rlimits)
    must(limit.soft <= limit.hard, "a soft limit is within its hard limit");
}

void check_config(const OciConfig& config) {
  must(config.makes(CLONE_NEWNS), "no mount is made in the caller's own tree");
  must(!config.root.empty(), "there is a root");
  must(!config.hostname || config.has(CLONE_NEWUTS), "a name is the container's own");
  must(config.uids.empty() || config.makes(CLONE_NEWUSER), "maps are for a new user namespace");
  for (const auto& space : config.namespaces)
    must(std::ranges::count(config.namespaces, space.flag, &OciNamespace::flag) == 1,
         "a namespace is listed once");
  for (const auto& mount : config.mounts)
    must(mount.destination.starts_with('/'), "a place of a mount is absolute");
  for (const auto& path : config.masked_paths) must(path.starts_with('/'), "a cover has a place");
  if (config.seccomp && config.seccomp->notifies())
    must(config.seccomp->listener_path.starts_with('/'), "a filter that asks has whom to ask");
  for (const auto& device : config.devices)
    must(device.path.starts_with('/') && !device.path.ends_with('/'), "a device has a name");
  if (config.process) check_process(*config.process);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = as_text(data, size);
  if (const auto config = parse_config(text))
    check_config(*config);
  else
    must(config.error().text.starts_with("config.json"), "a refusal says of what");
  if (const auto process = parse_process(text))
    check_process(*process);
  else
    must(!process.error().text.empty(), "a refusal says why");
  return 0;
}
