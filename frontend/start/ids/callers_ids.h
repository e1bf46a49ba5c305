// The ids that the caller may give to containers: what subid files or NSS delegate (read by
// the helpers' own code), or, for the root of a container, all ids of that container.
#pragma once

#include <string>
#include <vector>

#include "common/subid_source.h"
#include "frontend/spec/spec.h"
#include "frontend/start/ids/choose_ids.h"
#include "policy/error.h"

namespace userns::frontend {

class CallersIds {
 public:
  static Result<CallersIds> find();
  // Refers to this object.
  [[nodiscard]] IdFacts facts() const;
  // Whether this is the root of a container, who has all of its ids.
  [[nodiscard]] bool owns_namespace() const { return !own_uids_.empty(); }

 private:
  std::string name_;
  SubidRanges uids_;
  SubidRanges gids_;
  std::vector<IdRange> uid_lines_;  // in the order of the file
  std::vector<IdRange> gid_lines_;
  bool setgroups_denied_ = false;
  std::vector<IdRange> own_uids_;  // not empty: instead of what is delegated
  std::vector<IdRange> own_gids_;
  bool privileged_ = false;
};

// choose_ids() with the system's facts.
Result<ChosenIds> find_ids(const Spec& spec);

}  // namespace userns::frontend
