// Work that is done as the root of a container's ids, with no container there: its files are made,
// read and deleted by a process in a user namespace that has the container's maps.
//
// That process is the caller's: nothing in it has more rights than the ids give. With ids that do
// not hold the caller's own, it cannot touch the caller's files either, whatever the work is made
// to do by what it reads: open outside what it is to work on, and hand in the Fd.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "frontend/run/channel.h"
#include "frontend/start/ids/choose_ids.h"
#include "policy/error.h"

namespace userns::frontend {

// Runs in a fork: all that it may leave behind is files, and the text that it returns (of any
// length). progress() through `outside` reaches on_progress of in_map().
class Outside {
 public:
  explicit Outside(const Channel& channel) : channel_(channel) {}
  // At most kLongestText bytes. Never fails: a starter that is gone ends this process.
  void progress(std::string_view text) const;
  // What the starter's on_open says.
  [[nodiscard]] Result<Fd> open(const std::string& name) const;

 private:
  const Channel& channel_;
};
using Work = std::function<Result<std::string>(const Outside&)>;

struct InMap {
  std::function<void(std::string_view)> on_progress;
  // Opens with the caller's rights what the work asks for. The name is not to be trusted.
  std::function<Result<Fd>(const std::string&)> on_open;
  bool mount_namespace = false;  // the work mounts: all mounts are private
  bool heeds_signals = true;     // false: the work is short, and signals are another's to take
  // In the work's process and mount namespace, but still as the caller, whose directories it can
  // search: what it opens is there for the work.
  std::function<Result<void>()> prepare;
};

// Uid and gid 0 must be mapped; the work is 0:0 without supplementary groups, with every capability
// in its namespace, no_new_privs, and dies with the caller. Its error comes back as it is; a death
// by a signal is an error that says so.
//
// INT, TERM, HUP and QUIT of the caller (where not ignored) end the work at once: the error's code
// is EINTR, its text names the signal, which is consumed. What the work has made so far is the
// caller's to remove, by another in_map().
Result<std::string> in_map(const ChosenIds& ids, const Work& work, const InMap& how = {});

// The same ids and the caller's own uid and gid at a free place inside, where they are not mapped
// already: what the caller owns can be given away then, by chown(2).
struct IdsWithSelf {
  ChosenIds ids;
  std::uint32_t uid = 0;  // inside, the caller's
  std::uint32_t gid = 0;
};
Result<IdsWithSelf> ids_with_self(const ChosenIds& ids, std::uint32_t own_uid,
                                  std::uint32_t own_gid);

// `directory` (the caller's) becomes 0:0's of these ids.
Result<void> give_away(const ChosenIds& ids, const Fd& directory);

}  // namespace userns::frontend
