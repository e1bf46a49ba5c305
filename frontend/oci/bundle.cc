#include "frontend/oci/bundle.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <memory>

#include "frontend/oci/config/read_config.h"
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
  return bundle;
}

Result<void> compile_filter(Bundle& bundle) {
  if (!bundle.config.seccomp) return {};
  auto filter = TRY(compile_seccomp(*bundle.config.seccomp));
  bundle.filter = std::move(filter);
  return {};
}

}  // namespace userns::frontend
