#include "frontend/oci/config/mount_options.h"

#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "policy/text.h"

namespace userns::frontend {
namespace {

struct Flag {
  std::string_view name;
  std::uint64_t set;
  std::uint64_t clear;
};
// The kinds of access times are one field of the mount.
constexpr std::uint64_t kTimes = MOUNT_ATTR__ATIME;
constexpr std::array kFlags{
    Flag{"ro", MOUNT_ATTR_RDONLY, 0},
    Flag{"rw", 0, MOUNT_ATTR_RDONLY},
    Flag{"nosuid", MOUNT_ATTR_NOSUID, 0},
    Flag{"suid", 0, MOUNT_ATTR_NOSUID},
    Flag{"nodev", MOUNT_ATTR_NODEV, 0},
    Flag{"dev", 0, MOUNT_ATTR_NODEV},
    Flag{"noexec", MOUNT_ATTR_NOEXEC, 0},
    Flag{"exec", 0, MOUNT_ATTR_NOEXEC},
    Flag{"noatime", MOUNT_ATTR_NOATIME, kTimes},
    Flag{"atime", MOUNT_ATTR_RELATIME, kTimes},
    Flag{"relatime", MOUNT_ATTR_RELATIME, kTimes},
    Flag{"norelatime", MOUNT_ATTR_STRICTATIME, kTimes},
    Flag{"strictatime", MOUNT_ATTR_STRICTATIME, kTimes},
    Flag{"nostrictatime", MOUNT_ATTR_RELATIME, kTimes},
    Flag{"nodiratime", MOUNT_ATTR_NODIRATIME, 0},
    Flag{"diratime", 0, MOUNT_ATTR_NODIRATIME},
    Flag{"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
    Flag{"symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW},
};

struct Propagation {
  std::string_view name;
  std::uint64_t how;
};
constexpr std::array kPropagations{Propagation{"private", MS_PRIVATE},
                                   Propagation{"shared", MS_SHARED}, Propagation{"slave", MS_SLAVE},
                                   Propagation{"unbindable", MS_UNBINDABLE}};

// What is so already, or says nothing to the kernel.
constexpr std::array<std::string_view, 5> kNothing{"defaults", "async", "loud", "nomand",
                                                   "nolazytime"};
constexpr std::array<std::string_view, 7> kNotDone{"idmap", "ridmap", "sync",    "dirsync",
                                                   "mand",  "silent", "lazytime"};

bool take_flag(std::string_view option, MountOptions& into) {
  const auto find = [](std::string_view name) {
    return std::ranges::find(kFlags, name, &Flag::name);
  };
  if (const auto* const flag = find(option); flag != kFlags.end()) {
    into.set = (into.set & ~flag->clear) | flag->set;
    into.clear = (into.clear & ~flag->set) | flag->clear;
    return true;
  }
  if (!option.starts_with('r')) return false;
  const auto* const flag = find(option.substr(1));
  if (flag == kFlags.end()) return false;
  into.set_below = (into.set_below & ~flag->clear) | flag->set;
  into.clear_below = (into.clear_below & ~flag->set) | flag->clear;
  return true;
}

bool take_propagation(std::string_view option, MountOptions& into) {
  const bool below = option.starts_with('r');
  const auto* const found =
      std::ranges::find(kPropagations, below ? option.substr(1) : option, &Propagation::name);
  if (found == kPropagations.end()) return false;
  into.propagation = found->how;
  into.propagation_below = below;
  return true;
}

bool take_word(std::string_view option, MountOptions& into) {
  if (option == "bind" || option == "rbind") {
    into.bind = true;
    into.bind_below = into.bind_below || option == "rbind";
    return true;
  }
  if (option == "tmpcopyup") into.copy_up = true;
  return option == "tmpcopyup" || std::ranges::find(kNothing, option) != kNothing.end();
}

}  // namespace

Result<MountOptions> parse_mount_options(const std::vector<std::string>& options) {
  MountOptions parsed;
  for (const auto& option : options) {
    if (std::ranges::find(kNotDone, option) != kNotDone.end() || option.starts_with("idmap="))
      return fail({}, concat("asks for ", quoted(option), ", which is not supported"));
    // "relatime" and "rro" begin with the same letter: whole names first.
    if (take_flag(option, parsed) || take_propagation(option, parsed) || take_word(option, parsed))
      continue;
    if (option.find(',') != std::string::npos)
      return fail({}, concat("has an option with a comma in it: ", quoted(option)));
    parsed.data += parsed.data.empty() ? option : concat(",", option);
  }
  return parsed;
}

std::vector<std::string> known_mount_options() {
  std::vector<std::string> names{"bind", "defaults", "rbind", "tmpcopyup"};
  for (const auto& flag : kFlags) {
    names.emplace_back(flag.name);
    names.push_back(concat("r", flag.name));
  }
  for (const auto& one : kPropagations) {
    names.emplace_back(one.name);
    names.push_back(concat("r", one.name));
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace userns::frontend
