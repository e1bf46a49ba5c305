// A cgroup that userns-cgroup has made can be removed by that helper alone, and by nobody who is in
// it.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

namespace userns::frontend {

std::string cgroup_helper();  // where userns-cgroup(8) is installed

// Of the caller's cgroup of that name, as userns-cgroup tells it; none: there is none such.
std::optional<std::string> path_of_own_cgroup(const std::string& name);

// Lets userns-cgroup remove the caller's cgroup `name` once nobody is in it: waits for that, for a
// bounded time. One that is gone is left alone, and nothing is said: it is no more than tidiness.
void release_when_empty(const std::string& name);

// Leaves a process behind that does so when this process has ended, whatever it becomes until then.
// To be called outside of that cgroup. The process holds none of the caller's files, is in a
// session of its own, and ends soon when it is asked to (TERM), even if this one goes on.
void release_after_us(const std::string& name);

// The same by this process itself, once none of its children is left; of these `helper` is to make
// the cgroup: ends with its status if that failed.
[[noreturn]] void release_after_children(const std::string& name, pid_t helper);

}  // namespace userns::frontend
