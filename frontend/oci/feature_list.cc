#include "frontend/oci/feature_list.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "common/config.h"
#include "frontend/oci/config/mount_options.h"
#include "frontend/oci/config/read_seccomp.h"
#include "frontend/spec/values.h"

namespace userns::frontend {

std::string features_text() {
  nlohmann::json text;
  text["ociVersionMin"] = "1.0.0";
  text["ociVersionMax"] = "1.2.0";
  text["hooks"] = {"prestart",       "createRuntime", "createContainer",
                   "startContainer", "poststart",     "poststop"};
  text["mountOptions"] = known_mount_options();
  auto& kernel = text["linux"];
  kernel["namespaces"] = {"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"};
  kernel["capabilities"] = capability_names();
  for (const char* v : {"v1", "v2", "systemd", "systemdUser", "rdma"}) kernel["cgroup"][v] = true;
  auto& seccomp = kernel["seccomp"];
  seccomp["enabled"] = true;
  seccomp["actions"] = known_seccomp_actions();
  seccomp["operators"] = known_seccomp_operators();
  seccomp["archs"] = known_seccomp_architectures();
  seccomp["knownFlags"] = {"SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"};
  seccomp["supportedFlags"] = seccomp["knownFlags"];
  for (const char* absent : {"apparmor", "selinux", "intelRdt"}) kernel[absent]["enabled"] = false;
  kernel["mountExtensions"]["idmap"]["enabled"] = false;
  text["annotations"] = {{"org.userns-suite.userns-oci.version", kVersion}};
  return text.dump(2);
}

}  // namespace userns::frontend
