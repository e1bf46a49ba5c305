#include "frontend/container/make/identity.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string_view>

#include "common/fd.h"
#include "frontend/run/process.h"
#include "frontend/start/mounts/changes.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::string_view kKeyBegin = "ssh_host_";
constexpr std::string_view kKeyEnd = "_key";
constexpr unsigned long long kInside = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
constexpr std::size_t kLongestType = 16;

// "mac=02:..,name=eth0" without what only one may have.
std::string without_addresses(std::string_view net) {
  std::string kept;
  while (!net.empty()) {
    const auto one = take_until(net, ',');
    if (!one.starts_with("mac=") && !one.starts_with("address="))
      kept += concat(kept.empty() ? "" : ",", one);
  }
  return kept;
}

// An empty one is filled at the next start: machine-id(5), "First Boot Semantics".
Result<void> empty_machine_id(const Fd& root) {
  for (const auto* const path : {"etc/machine-id", "var/lib/dbus/machine-id"}) {
    const auto file = open_at(root.get(), path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK, kInside);
    struct stat facts{};
    if (file && ::fstat(file->get(), &facts) == 0 && S_ISREG(facts.st_mode) &&
        ::ftruncate(file->get(), 0) != 0)
      return fail_errno(concat("cannot empty ", std::string_view(path)));
  }
  return {};
}

// "ed25519" of ssh_host_ed25519_key; empty: no key.
std::string type_of_key(std::string_view name) {
  if (!name.starts_with(kKeyBegin) || !name.ends_with(kKeyEnd)) return {};
  name.remove_prefix(kKeyBegin.size());
  if (name.size() <= kKeyEnd.size()) return {};
  const auto type = name.substr(0, name.size() - kKeyEnd.size());
  const bool plain =
      type.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789") == std::string_view::npos;
  return plain && type.size() <= kLongestType ? std::string(type) : std::string{};
}

std::vector<std::string> types_in(const Fd& directory) {
  std::vector<std::string> types;
  auto again = open_at(directory.get(), ".", O_RDONLY | O_DIRECTORY);
  if (!again) return types;
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::fdopendir(again->get()), ::closedir);
  if (!entries) return types;
  (void)again->release();
  while (const dirent* entry = ::readdir(entries.get()))
    if (auto type = type_of_key(entry->d_name); !type.empty()) types.push_back(std::move(type));
  return types;
}

// The host's program, on a directory of the container's, as its root.
bool make_key(const Fd& directory, const std::string& type, const std::string& comment) {
  const std::vector<std::string> words{
      "ssh-keygen", "-q", "-t",    type, "-N",
      "",           "-C", comment, "-f", concat(kKeyBegin, type, kKeyEnd)};
  const pid_t child = ::fork();
  if (child < 0) return false;
  if (child == 0) {
    ::umask(077);
    become_program({.words = words, .directory = directory.get()});
  }
  return collect(child) == 0;
}

// What could not be made: one key's type a word.
Result<std::string> renew_keys(const Fd& root, const std::string& name) {
  const auto directory = open_at(root.get(), "etc/ssh", O_RDONLY | O_DIRECTORY, kInside);
  if (!directory) return "";
  std::string missing;
  for (const auto& type : types_in(*directory)) {
    const auto key = concat(kKeyBegin, type, kKeyEnd);
    if (::unlinkat(directory->get(), key.c_str(), 0) != 0)
      return fail_errno(concat("cannot delete the ssh host key ", key));
    (void)::unlinkat(directory->get(), (key + ".pub").c_str(), 0);
    if (!make_key(*directory, type, "root@" + name))
      missing += concat(missing.empty() ? "" : " ", type);
  }
  return missing;
}

}  // namespace

Result<void> forget_places(ConfigFile& config) {
  config.unset("publish");
  config.unset("hostname");
  std::vector<std::string> nets;
  for (const auto& setting : config.settings())
    if (setting.key == "net") nets.push_back(without_addresses(setting.value));
  return nets.empty() ? Result<void>{} : config.set("net", nets);
}

Result<void> renew_identity(const Spec& spec, const ChosenIds& ids, const std::string& name,
                            std::vector<std::string>& notes) {
  const auto missing = work_on_tree(spec, ids, [&](const Fd& tree) -> Result<std::string> {
    const auto root = TRY(open_at(tree.get(), ".", O_RDONLY | O_DIRECTORY));
    TRY(empty_machine_id(root));
    return renew_keys(root, name);
  });
  if (!missing) return std::unexpected(missing.error());
  if (!missing->empty())
    notes.push_back(
        concat("the ssh host keys of the other are deleted, and ssh-keygen could not make "
               "new ones (",
               *missing, "): run ssh-keygen -A in the container"));
  return {};
}

}  // namespace userns::frontend
