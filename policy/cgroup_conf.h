// The text of cgroup.conf(5), which has the grammar: who may have cgroups, below which limits.
//
// Pure. A malformed line refuses the whole file and says PATH:LINE:COLUMN. Rules: CC-LINE (form of
// a line), CC-KEY (of a setting: unknown, or twice), CC-VALUE (of a setting), CC-BASE.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "policy/error.h"

namespace userns {

enum class SettingForm : std::uint8_t { kSize, kCount, kPlain, kPercent, kList, kDevice, kPaths };

// A key that a line may set.
struct SettingKey {
  std::string_view name;      // in cgroup.conf; "hugetlb." stands for hugetlb.SIZE.max
  std::string_view file;      // cgroup v2 interface file; empty: that of the same name
  std::string_view v1_file;   // its counterpart in a v1 hierarchy; empty: it has none
  std::string_view standard;  // v2 text where a line is silent; empty: then nothing is written
  SettingForm form;
  std::uint64_t least, most;
  // Ours, not the kernel's.
  [[nodiscard]] bool is_a_file() const { return name != "containers" && name != "from"; }
};
std::span<const SettingKey> setting_keys();

struct Setting {
  const SettingKey* key;  // static
  std::string file;       // cgroup v2
  std::string text;       // as the v2 file takes it
};

// KEY and VALUE of a line, for whoever sets such limits himself. CC-KEY, CC-VALUE.
Result<Setting> parse_setting(std::string_view name, std::string_view value);

struct CgroupLine {
  std::string who;  // "*", "@GROUP", a login name or a decimal uid
  std::vector<Setting> settings;
  std::string path;        // of the file
  std::size_t number = 0;  // in the file, from 1
  // What a key that is set at most once is set to; empty: it is not.
  [[nodiscard]] std::string_view text_of(std::string_view key) const;
};

struct CgroupConf {
  std::string base;        // absolute; empty: to be found
  bool delegated = false;  // root says that base is in a unit with Delegate=yes
  std::string v1_base;     // absolute within each v1 hierarchy; empty: where the caller is
  std::vector<CgroupLine> lines;
};

// Puts one file of the policy behind the files before it: bases are given once in all of them.
// `path` is for messages.
Result<void> add_cgroup_conf(CgroupConf& conf, std::string_view text, std::string_view path);
Result<CgroupConf> parse_cgroup_conf(std::string_view text, std::string_view path);

// Levels below a user's cgroup that a line may allow: what is walked when a container is released.
inline constexpr int kDeepest = 64;

}  // namespace userns
