// The change of the plain inodes of a tree, by name: one system call for each.
//
// Between a look at a name and chown(2) by it, somebody who may write to the directory can put
// another inode there. So this is done in a process of a user namespace in which two owners and two
// groups have numbers and nobody else: those that the inodes have, and those that they get. The
// kernel changes an inode there only if both of its ids have a number (inode_owner_or_capable,
// privileged_wrt_inode_uidgid). So whatever a name leads to by then, either it has the very owner
// that the shift takes, and gets the one that the shift gives, or it stays as it is.
//
// Special bits, too, are the kernel's to guard: chown(2) takes them away as chmod(2) would, and so
// needs CAP_FOWNER where the owner is another one (setattr_prepare). The process has CAP_CHOWN, and
// CAP_DAC_READ_SEARCH to come by.
//
// A directory in which names have come or gone since the survey is left to the careful way.
//
// Source: user_namespaces(7) "Capabilities", capabilities(7) CAP_CHOWN.
#pragma once

#include <cstdint>
#include <functional>

#include "common/fd.h"
#include "frontend/shift/plain_names.h"
#include "policy/error.h"

namespace userns::shift {

struct NarrowWork {
  Owner from;
  Owner to;
  std::int64_t begun = 0;  // when the names began to be written down; ns since the epoch
  unsigned jobs = 1;
};

// Changes those of `names` that have this owner, below `root`, and marks them. What is not changed,
// for whatever reason, is another's to look at: then names.news().left is set. False if `stop`,
// which is asked about ten times a second, ended it. Call it from a process of one thread. Fails if
// there can be no such namespace; then nothing was changed.
Result<bool> change_in_narrow_namespace(const Fd& root, const NarrowWork& work, PlainNames& names,
                                        const std::function<bool()>& stop);

}  // namespace userns::shift
