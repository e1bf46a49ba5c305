#include "frontend/cli/shift/shift.h"

#include <algorithm>
#include <array>

#include "frontend/cli/shift/shift_run.h"
#include "frontend/cli/terminal.h"
#include "frontend/shift/undo_log.h"
#include "frontend/store/state.h"
#include "frontend/store/store.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::array kOptions{
    VerbOption{.name = "from",
               .value = "[u:|g:]FIRST:COUNT",
               .help = "the host's ids that files have now",
               .many = true},
    VerbOption{.name = "to",
               .value = "[u:|g:]FIRST:COUNT",
               .help = "the host's ids that they are to have",
               .many = true},
    VerbOption{.name = "in",
               .value = "",
               .help = "from what a container calls its ids to the host's ids of them"},
    VerbOption{.name = "out", .value = "", .help = "the other way"},
    VerbOption{.name = "by-config",
               .value = "NAME",
               .help = "the container whose ids --in and --out mean"},
    VerbOption{.name = "map",
               .value = "MAP",
               .help = "or its map; default: auto, the caller's block",
               .many = true},
    VerbOption{.name = "path", .value = "DIR", .help = "where containers are kept"},
    VerbOption{.name = "cross-mounts", .value = "", .help = "what is mounted below, too"},
    VerbOption{
        .name = "strict", .value = "", .help = "change nothing where an id is outside of --from"},
    VerbOption{.name = "dry-run", .value = "", .help = "only count, and show some"},
    VerbOption{
        .name = "jobs", .value = "N", .help = "threads; default: as many as CPUs, at most 4"},
    VerbOption{.name = "log", .value = "FILE", .help = "the undo log, instead of the place for it"},
    VerbOption{.name = "resume", .value = "", .help = "go on with a shift that was interrupted"},
    VerbOption{.name = "undo", .value = "", .help = "go back to before it"},
};

struct Asked {
  std::vector<std::string> directories;
  shift::ShiftWishes wishes;
};

Result<void> only_one_of(const Words& words, std::span<const std::string_view> options) {
  std::string_view first;
  for (const auto option : options) {
    if (!words.one(option)) continue;
    if (!first.empty())
      return fail({}, concat("--", first, " and --", option, " do not go together"));
    first = option;
  }
  return {};
}

Result<void> check(const Words& words) {
  using Pair = std::array<std::string_view, 2>;
  if (words.has_command) return fail({}, "shift runs no command: leave out the --");
  for (const auto& pair :
       {Pair{"in", "out"}, Pair{"in", "from"}, Pair{"in", "to"}, Pair{"out", "from"},
        Pair{"out", "to"}, Pair{"by-config", "map"}, Pair{"by-config", "from"}, Pair{"map", "from"},
        Pair{"resume", "undo"}, Pair{"undo", "dry-run"}, Pair{"resume", "dry-run"}})
    if (auto good = only_one_of(words, pair); !good) return good;
  for (const std::string_view act : {"resume", "undo"})
    for (const std::string_view option :
         {"from", "to", "in", "out", "by-config", "map", "strict", "cross-mounts"})
      if (words.has(act) && words.one(option))
        return fail({}, concat("--", option, " does not go with --", act,
                               ": the undo log knows what was begun"));
  return {};
}

// Without a directory it is the container's own root file system.
Result<ChosenIds> ids_of_container(const Words& words, std::string_view name,
                                   std::vector<std::string>& directories) {
  const auto store = TRY(Store::open(words.one("path")));
  const auto container = TRY(store.find(name));
  const auto state = read_state(container.dir());
  if (state && *state)
    return fail({}, concat("the container ", name, " is running: stop it first"));
  const auto spec = container.spec();
  if (spec && directories.empty()) directories.push_back(spec->rootfs);
  return ids_of_spec(spec);
}

Result<shift::Shift> wanted(const Words& words, std::vector<std::string>& directories) {
  if (words.one("from") || words.one("to"))
    return shift::make_shift(words.all("from"), words.all("to"));
  const auto name = words.one("by-config");
  if (!name && !words.has("in") && !words.has("out"))
    return fail({},
                "it is not said which ids become which: --from FIRST:COUNT --to FIRST:COUNT, or "
                "--in or --out for those "
                "of a container");
  const auto ids = TRY(name ? ids_of_container(words, *name, directories) : ids_of_map(words));
  auto in = TRY(into_container(ids));
  return words.has("out") ? in.reversed() : std::move(in);
}

// The ids are needed before the tree can be opened: they are what it is opened with.
Result<shift::Shift> begun(const Asked& asked) {
  std::optional<shift::Shift> all;
  for (const auto& directory : asked.directories) {
    const auto path = TRY(asked.wishes.log.empty() ? shift::log_path(directory, ::geteuid())
                                                   : Result<std::string>(asked.wishes.log));
    const auto log = TRY(shift::read_log(path));
    if (!log)
      return fail({}, concat("there is no unfinished shift of ", quoted(directory), " (no ",
                             quoted(path), ")"));
    if (all && *all != log->head.shift)
      return fail({},
                  "these directories were being shifted by different ids: take them one by one");
    all = log->head.shift;
  }
  return *all;
}

Result<Asked> asked_for(const Words& words) {
  using Act = shift::ShiftWishes::Act;
  TRY(check(words));
  auto wishes = TRY(common_wishes(words));
  Asked asked{.directories = words.names, .wishes = std::move(wishes)};
  asked.wishes.act = words.has("resume") ? Act::kResume
                     : words.has("undo") ? Act::kUndo
                                         : Act::kShift;
  if (asked.directories.empty() && !words.one("by-config"))
    return fail({}, "no directory to shift is named");
  auto shift =
      TRY(asked.wishes.act == Act::kShift ? wanted(words, asked.directories) : begun(asked));
  asked.wishes.shift = std::move(shift);
  return asked;
}

}  // namespace

std::span<const VerbOption> shift_options() { return kOptions; }

int shift_verb(const Words& words) {
  const auto asked = asked_for(words);
  if (!asked) return own_failure(asked.error());
  const auto done = shift_as_caller(asked->directories, asked->wishes);
  return done ? print(*done) : own_failure(done.error());
}

}  // namespace userns::frontend
