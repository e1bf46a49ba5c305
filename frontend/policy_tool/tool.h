// The verbs of userns-policy, and what they share. Each returns an exit status of userns-policy(8)
// and has reported its errors.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/fd.h"
#include "frontend/policy_tool/check/checks.h"
#include "frontend/spec/verb.h"
#include "policy/error.h"

namespace userns::frontend {

// userns-policy itself failed (bad words, a file that cannot be read); nothing was changed.
inline constexpr int kToolFailed = 125;

int check_verb(const Words& words);
int explain_verb(const Words& words);
int edit_verb(const Words& words);
int grant_verb(const Words& words);
int revoke_verb(const Words& words);
int guard_verb(const Words& words);
int reattach_verb(const Words& words);
int import_lxc_verb(const Words& words);
int report_verb(const Words& words);
int log_verb(const Words& words);
int apply_verb(const Words& words);
int export_verb(const Words& words);

// --root DIR: from now on DIR is the root directory, and its accounts are those of its own files:
// no module of its name service runs. Nothing where the words have no --root.
Result<void> enter_root(const Words& words);
// Whether that was done: processes and interfaces are then not this system's.
bool& is_other_root();

// Reports and returns kToolFailed.
int tool_failure(const Error& error);
// On standard output, whole; safe for a terminal (printable.h).
int put(std::string_view text, int status = 0);
// What has colours of ours in it, and was made printable before.
int put_as_it_is(std::string_view text, int status = 0);
// Whether colour is welcome on this fd: a terminal, and NO_COLOR is not set.
bool wants_colour(int fd);

// Where a policy file is installed: "/etc/subuid", POLICYDIR/net.conf.
std::string installed_path(PolicyFile kind);
// That file, whether it is there or not, and behind it those of its directory (net.conf.d) as the
// helpers read them. `root` as for read_policy(); the paths are without it.
std::vector<std::string> installed_paths(PolicyFile kind, const std::string& root = {});
// net.conf and cgroup.conf alone have a directory.
bool has_directory(PolicyFile kind);
// Of ids.conf (userns-policy(8)).
std::string ids_conf_path();

// Makes the directory of a policy file, root's and for all to read, if it is missing.
Result<void> make_directory_of(const std::string& path);

// For reading; see read_policy().
Result<Fd> open_below(const std::string& root, const std::string& path);

// The id of a group; nothing where there is none. Fails where the lookup failed (SU-NAME).
Result<std::optional<Gid>> group_id(std::string_view name);

// A regular file; anything else is refused without waiting for it.
inline constexpr std::size_t kLargestPolicy = 256UL << 20U;  // subid files can be large
// `root`: a directory that no link leads out of; empty for the running system.
Result<std::string> read_policy(const std::string& path, const std::string& root = {});

}  // namespace userns::frontend
