#include <array>

#include "frontend/cli/files/copy.h"
#include "frontend/cli/files/export.h"
#include "frontend/cli/files/network.h"
#include "frontend/cli/files/rename.h"
#include "frontend/cli/files/shell.h"
#include "frontend/cli/files/snapshot.h"
#include "frontend/cli/files/update.h"
#include "frontend/cli/shift/shift.h"
#include "frontend/cli/verbs/config.h"
#include "frontend/cli/verbs/create.h"
#include "frontend/cli/verbs/destroy.h"
#include "frontend/cli/verbs/doctor.h"
#include "frontend/cli/verbs/images.h"
#include "frontend/cli/verbs/inside.h"
#include "frontend/cli/verbs/life.h"
#include "frontend/cli/verbs/list.h"
#include "frontend/cli/verbs/ps.h"
#include "frontend/cli/verbs/unshare.h"
#include "frontend/cli/watch/events.h"
#include "frontend/cli/watch/logs.h"
#include "frontend/cli/watch/top.h"
#include "frontend/spec/verb.h"

namespace userns::frontend {
namespace {

// A row each; the functions are in the verb's own file.
const std::array kVerbs{
    Verb{.name = "create",
         .arguments =
             "NAME --tar FILE | --image REF | --template NAME | --from NAME | --import FILE "
             "| --rootfs DIR [OPTIONS] "
             "[-- COMMAND...]",
         .summary = "Makes a container with a name",
         .options = kCreateOptions,
         .takes_container_options = true,
         .run = run_create},
    Verb{.name = "destroy",
         .arguments = "NAME...",
         .summary = "Deletes containers with all their files",
         .options = kDestroyOptions,
         .run = run_destroy},
    Verb{.name = "list",
         .arguments = "[NAME...]",
         .summary = "Shows the containers there are",
         .options = kListOptions,
         .run = run_list,
         .kind = VerbKind::kLook},
    Verb{.name = "info",
         .arguments = "NAME",
         .summary = "Shows what there is to know about a container",
         .options = kInfoOptions,
         .run = run_info,
         .kind = VerbKind::kLook},
    Verb{.name = "config",
         .arguments = "NAME [KEY=VALUE...] [KEY+=VALUE...]",
         .summary = "Shows or changes the settings of a container",
         .options = kConfigOptions,
         .run = run_config},
    Verb{.name = "doctor",
         .arguments = "[--json]",
         .summary =
             "Says what containers need on this host, what is missing, and what to do about it",
         .options = kDoctorOptions,
         .run = run_doctor,
         .kind = VerbKind::kLook},
    kStartVerb,
    kStopVerb,
    kRestartVerb,
    kFreezeVerb,
    kThawVerb,
    kKillVerb,
    kWaitVerb,
    kShellVerb,
    kExecVerb,
    kConsoleVerb,
    kLogsVerb,
    kEventsVerb,
    kCopyVerb,
    kExportVerb,
    kRenameVerb,
    kSnapshotVerb,
    kUpdateVerb,
    Verb{.name = "shift",
         .arguments = "DIR... --from FIRST:COUNT --to FIRST:COUNT [OPTIONS]",
         .summary = "Gives the files of a tree other owners, with all that goes with them",
         .options = shift_options(),
         .run = shift_verb},
    Verb{.name = "convert",
         .arguments = "NAME|DIR [OPTIONS]",
         .summary = "Makes a root file system that has ids of its own one of a container",
         .options = convert_options(),
         .run = convert_verb},
    kPsVerb,
    kNetworkVerb,
    kTopVerb,
    Verb{.name = "unshare",
         .arguments = "NAME -- COMMAND [ARG...]",
         .summary = "Runs a command in the host's tree with the ids of a container and your own",
         .options = kUnshareOptions,
         .run = run_unshare,
         .kind = VerbKind::kInside},
    kPullVerb,
    kPushVerb,
    kCommitVerb,
    kImagesVerb,
    kRmiVerb,
    kPruneVerb,
};

// What podman, docker, lxc and incus call it.
constexpr std::array kOtherWords{
    OtherWord{"ls", "list", ""},
    OtherWord{"rm", "destroy", ""},
    OtherWord{"delete", "destroy", ""},
    OtherWord{"inspect", "info", ""},
    OtherWord{"mv", "rename", ""},
    OtherWord{"stats", "top", ""},
    OtherWord{"attach", "console", ""},
    OtherWord{"pause", "freeze", ""},
    OtherWord{"unpause", "thaw", ""},
    OtherWord{"enter", "shell", ""},
    OtherWord{"login", "shell", ""},
    OtherWord{"help", "", "userns-run --help lists all, userns-run VERB --help says more of one"},
    OtherWord{"version", "", "userns-run --version shows it"},
    OtherWord{"run", "", "userns-run --image REF -- COMMAND runs one in a throw-away container"},
    OtherWord{"launch", "",
              "userns-run create NAME --image REF makes a container, start NAME starts it"},
    OtherWord{"init", "", "userns-run create NAME --template debian makes a container"},
    OtherWord{"copy", "", "userns-run create NEW --from NAME copies a container, cp copies files"},
    OtherWord{"clone", "", "userns-run create NEW --from NAME copies a container"},
    OtherWord{"import", "", "userns-run create NAME --import FILE makes a container of an archive"},
    OtherWord{"load", "",
              "userns-run create NAME --tar FILE takes what podman save and docker save write"},
    OtherWord{"port", "", "userns-run info NAME shows published ports, --publish publishes one"},
    OtherWord{"build", "",
              "podman and buildah build images; userns-run create NAME --image oci:DIR takes them"},
    OtherWord{"compose", "",
              "podman-compose and docker compose are for that; here --group NAME labels "
              "containers, and start --group NAME starts those"},
    OtherWord{"set", "", "userns-run config NAME KEY=VALUE sets it"},
};

}  // namespace

std::span<const Verb> verbs() { return kVerbs; }
std::span<const OtherWord> other_words() { return kOtherWords; }

}  // namespace userns::frontend
