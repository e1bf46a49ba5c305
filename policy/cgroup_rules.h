// May this caller have this cgroup, and which files say so? The rules of userns-cgroup.
//
// Pure: facts in, a grant or a refusal out. Rules and their meaning: userns-cgroup(8), SECURITY.md.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "policy/cgroup_conf.h"
#include "policy/error.h"
#include "policy/ids.h"

namespace userns {

// A container's name, which is one directory's name: [a-z0-9][a-z0-9_-]*, at most 32 bytes.
class ContainerName {
 public:
  static Result<ContainerName> parse(std::string_view text);  // CG-NAME
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  explicit ContainerName(std::string_view text) : text_(text) {}
  std::string text_;
};

// The words of userns-cgroup(8), argv[0] left out: CG-ARGS, CG-NAME. Words after "--" are the
// command's and not looked at.
struct CgroupRequest {
  enum class Verb : std::uint8_t { kEnter, kSpawn, kRelease, kList } verb = Verb::kList;
  std::optional<ContainerName> name;  // but for kList
  bool json = false;
};
Result<CgroupRequest> parse_cgroup_request(std::span<const std::string_view> words);

// The first line that is for the caller; nullptr: none is. `login` may be empty.
const CgroupLine* matching_line(const CgroupConf& conf, Uid caller, std::string_view login,
                                const std::function<bool(std::string_view group)>& in_group);

// The path of /proc/PID/cgroup text in a v1 `controller`'s hierarchy, or ("") in v2's; empty where
// it has no line.
std::string_view cgroup_path(std::string_view text, std::string_view controller);

// `path` as one within the hierarchy that is mounted at `mount`; empty if it is not below that.
std::string path_below(std::string_view mount, std::string_view path);

// A user's own directory in a v1 hierarchy, and `path` up to where it lies below one: a caller who
// is already below that user cgroup gets the same one again.
std::string v1_user_cgroup(Uid uid);
std::string_view above_user_cgroup(std::string_view path, std::string_view user);

// Where a caller is in a hierarchy and where the base is, as paths within it. Entering leaves the
// limits of every cgroup that the caller is below and the base is not.
struct CgroupPlace {
  std::string own;          // empty: not to be seen from here
  std::string base;         // empty: not below the mount that `own` is below
  std::string user_cgroup;  // the user's cgroup in the base
};

// Everything that is judged.
struct CgroupFacts {
  Uid caller{0};
  const CgroupLine* line = nullptr;  // that is for the caller
  std::string_view conf_path;
  std::string_view base;
  bool base_is_systemds = false;  // systemd runs, and no unit on the way to the base is delegated
  // The hierarchy that the base is in, where containers are counted: empty: v2; else a v1
  // controller, and there is no v2.
  std::string_view hierarchy;
  std::string_view controllers;  // of the base: "cpu io memory"
  CgroupPlace place;             // in that hierarchy
};

// CG-FROM of a hierarchy: a caller leaves no limits except those of the caller's own session,
// unless the line says from=.
Result<void> may_leave(const CgroupFacts& facts, const CgroupPlace& place);

struct CgroupWrite {
  std::string file, text;
  bool required;  // otherwise it takes back what an older policy may have set
};

// What is written into the user's directory in one hierarchy.
struct CgroupPart {
  std::string_view controller;  // v1: also the hierarchy's name; empty: v2
  std::vector<CgroupWrite> writes;
};

// What takes back the limits on devices and page sizes that an older policy set and `part` does
// not: of an interface file of the user's directory and its text. Nothing for other files.
std::vector<CgroupWrite> taken_back(const CgroupPart& part, std::string_view file,
                                    std::string_view text);

class CgroupGrant;
Result<CgroupGrant> decide(const CgroupFacts& facts, const ContainerName& name);

// Proof that decide() said yes.
class CgroupGrant {
 public:
  [[nodiscard]] const std::string& name() const { return name_; }
  // The first is that of the base; the others are v1 hierarchies that have what v2 lacks.
  [[nodiscard]] std::span<const CgroupPart> parts() const { return parts_; }
  // v1 hierarchies where this line limits nothing and an older one may have.
  [[nodiscard]] std::span<const CgroupPart> idle() const { return idle_; }
  // For cgroup.subtree_control: "+cpu +memory".
  [[nodiscard]] const std::string& enable() const { return enable_; }
  [[nodiscard]] std::uint64_t containers() const { return containers_; }

 private:
  explicit CgroupGrant(const CgroupFacts& facts, const ContainerName& name);
  friend Result<CgroupGrant> decide(const CgroupFacts& facts, const ContainerName& name);
  void add(const CgroupFacts& facts, const Setting& setting, bool given);
  std::string name_;
  std::vector<CgroupPart> parts_;
  std::vector<CgroupPart> idle_;
  std::string enable_;
  std::uint64_t containers_ = 0;
};

}  // namespace userns
