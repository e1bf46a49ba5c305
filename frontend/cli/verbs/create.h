// userns-run create: makes a named container.
#pragma once

#include <array>

#include "frontend/cli/verbs/select.h"
#include "frontend/images/image_store.h"
#include "frontend/spec/verb.h"

namespace userns::frontend {

inline constexpr std::array kCreateOptions{
    VerbOption{"tar", "FILE",
               "from an archive: a root file system, or an image (docker save, OCI); - is stdin"},
    VerbOption{"import", "FILE", "from an archive of userns-run export, with its settings"},
    VerbOption{"trust", "", "with --import: also settings that reach the host (hooks, binds)"},
    VerbOption{"template", "NAME", "busybox: made of the host's own | debian: by mmdebstrap"},
    VerbOption{"suite", "NAME", "of the template debian (the host's own, or stable)"},
    VerbOption{"package", "NAME", "of the template debian: one more package", true},
    VerbOption{"image", "REF",
               "from an image: docker://HOST/NAME:TAG, oci:DIR:TAG, docker-archive:FILE, "
               "oci-archive:FILE, "
               "dir:DIR, "
               "or NAME"},
    kAuthOption,
    kCertOption,
    kPlainOption,
    VerbOption{"from", "NAME", "a copy of another container"},
    VerbOption{"snapshot", "", "with --from: shows the other's files and keeps only what differs"},
    VerbOption{"instant", "", "with --from: copies nothing; both stand on the other's files"},
    VerbOption{"copy", "", "with --from, --image: a tree of its own, not changes to a shared one"},
    VerbOption{"max-size", "SIZE", "the most that it may become (half of what is free)"},
    VerbOption{"max-cpu", "TIME", "of a CPU, for unpacking (2 minutes and a second for each MiB)"},
    VerbOption{"ids", "N", "how many ids it gets (65536)"},
    VerbOption{"share-ids", "NAME", "the same ids as that container has"},
    VerbOption{"group", "NAME", "a label, for acting on several containers", true},
    VerbOption{"autostart", "", "userns-run start --autostart starts it"},
    VerbOption{"restart", "WHEN", "no (default) | on-failure[:N] | always"},
    VerbOption{"hook", "EVENT=CMD", "pre-start | start | post-stop: a command of yours on the host",
               true},
    kPathOption,
};

int run_create(const Words& words);

}  // namespace userns::frontend
