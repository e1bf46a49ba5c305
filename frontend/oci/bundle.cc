#include "frontend/oci/bundle.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "frontend/oci/config/add_user_namespace.h"
#include "frontend/oci/config/read_config.h"
#include "frontend/spec/spec.h"
#include "frontend/start/ids/callers_ids.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

Result<std::string> read_config_of(const Bundle& bundle) {
  const auto file = open_at(bundle.dir.get(), "config.json", O_RDONLY | O_NONBLOCK | O_NOCTTY,
                            RESOLVE_NO_MAGICLINKS);
  struct stat facts{};
  if (!file)
    return fail({}, concat("cannot open ", bundle.path, "/config.json"), file.error().code);
  if (::fstat(file->get(), &facts) != 0 || !S_ISREG(facts.st_mode))
    return fail({}, concat(bundle.path, "/config.json is not a regular file"));
  auto text = read_all(*file, kLargestConfig);
  if (!text)
    return fail({}, concat("cannot read ", bundle.path, "/config.json"), text.error().code);
  return text;
}

// Root of the new namespace is the caller, whose the bundle is; the rest are their subordinate ids.
Result<ChosenIds> ids_for_user() {
  const auto callers = TRY(CallersIds::find());
  const auto facts = callers.facts();
  Spec spec;
  if (facts.uids.ranges.empty() || facts.gids.ranges.empty())
    spec.mapping = MapSelf{};
  else
    spec.mapping = MapAuto{.keep_id = true, .inside = 0};
  return choose_ids(spec, facts);
}

// Only root can make namespaces without a user namespace.
Result<void> give_user_namespace(Bundle& bundle) {
  if (::geteuid() == 0 || bundle.config.has(CLONE_NEWUSER)) return {};
  const auto ids = TRY(ids_for_user());
  auto text = TRY(add_user_namespace(bundle.text, ids.uids.extents, ids.gids.extents));
  bundle.text = std::move(text);
  auto config = TRY(parse_config(bundle.text));
  bundle.config = std::move(config);
  return {};
}

// Where the kernel knows no labels, there is nothing to label.
Result<void> check_label(const OciConfig& config) {
  constexpr std::size_t kLargest = 65536;
  if (config.mount_label.empty()) return {};
  const auto file = TRY(open_at(AT_FDCWD, "/proc/filesystems", O_RDONLY));
  const auto known = TRY(read_all(file, kLargest));
  if (known.find("selinuxfs") == std::string::npos) return {};
  return fail({}, "config.json: linux.mountLabel is not supported");
}

}  // namespace

Result<Bundle> open_bundle(const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> absolute(::realpath(path.c_str(), nullptr), ::free);
  if (!absolute) return fail_errno(concat("cannot open the bundle ", quoted(path)));
  Bundle bundle{.path = absolute.get()};
  auto dir = open_at(AT_FDCWD, bundle.path.c_str(), O_RDONLY | O_DIRECTORY);
  if (!dir) return fail({}, concat("cannot open the bundle ", quoted(path)), dir.error().code);
  bundle.dir = std::move(*dir);
  auto text = TRY(read_config_of(bundle));
  bundle.text = std::move(text);
  auto config = TRY(parse_config(bundle.text));
  bundle.config = std::move(config);
  TRY(check_label(bundle.config));
  TRY(give_user_namespace(bundle));
  return bundle;
}

Result<void> compile_filter(Bundle& bundle) {
  if (!bundle.config.seccomp) return {};
  auto filter = TRY(compile_seccomp(*bundle.config.seccomp));
  bundle.filter = std::move(filter);
  return {};
}

}  // namespace userns::frontend
