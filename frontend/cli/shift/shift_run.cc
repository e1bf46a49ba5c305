#include "frontend/cli/shift/shift_run.h"
#include "frontend/start/make_plan.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "frontend/run/signals.h"
#include "frontend/spec/options.h"
#include "frontend/spec/printable.h"
#include "frontend/spec/tell.h"
#include "frontend/start/ids/in_map.h"
#include "frontend/start/mounts/source_path.h"
#include "frontend/start/plan/plan.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr unsigned kMostJobs = 64;

// One line that is written over; nothing where stderr is not a terminal.
void show(std::string_view text) {
  static const bool terminal = ::isatty(STDERR_FILENO) == 1;
  if (!terminal) return;
  const auto line = concat("\r\033[K", printable(text));
  [[maybe_unused]] const auto put = ::write(STDERR_FILENO, line.data(), line.size());
}

void warn(const Error& error) {
  show({});
  tell("userns-run", error);
}

Result<unsigned> jobs_of(const Words& words) {
  const auto given = words.one("jobs");
  if (!given) return std::clamp(std::thread::hardware_concurrency(), 1U, 4U);
  const auto number = parse_decimal(*given);
  if (!number || *number == 0 || *number > kMostJobs)
    return fail({}, concat("--jobs ", quoted(*given), " is not a number from 1 to ", kMostJobs));
  return static_cast<unsigned>(*number);
}

Result<std::string> as_root(const std::vector<std::string>& directories,
                            const shift::ShiftWishes& wishes) {
  const auto signals = TRY(Signals::take({SIGINT, SIGTERM, SIGHUP, SIGQUIT}));
  const SignalsAgain again(signals);
  auto done = shift_trees(directories, wishes, {.warn = warn, .progress = show, .interrupted = [&] {
                                                  return signals.next().has_value();
                                                }});
  while (signals.next())
    continue;  // one that came too late must not keep us from saying that all is done
  return done;
}

ChosenMap chosen(std::vector<Extent> extents) {
  const bool only_own = extents.size() == 1;
  return {.extents = std::move(extents),
          .writer = only_own ? MapWriter::kSelf : MapWriter::kHelper};
}

Result<ChosenIds> ids_for(const shift::ShiftWishes& wishes) {
  auto uids = TRY(shift::map_for(wishes.shift.uids, wishes.own_uid, "uid"));
  auto gids = TRY(shift::map_for(wishes.shift.gids, wishes.own_gid, "gid"));
  ChosenIds ids{.uids = chosen(std::move(uids)), .gids = chosen(std::move(gids))};
  ids.deny_setgroups = ids.gids.writer == MapWriter::kSelf;
  return ids;
}

Result<std::string> in_namespace(const std::vector<std::string>& directories,
                                 shift::ShiftWishes wishes) {
  wishes.in_namespace = true;
  wishes.own_uid = ::geteuid();
  wishes.own_gid = ::getegid();
  const auto ids = TRY(ids_for(wishes));
  auto done = in_map(ids,
                     [&](const Outside& outside) {
                       return shift_trees(
                           directories, wishes,
                           {.warn = warn,
                            .progress = [&](std::string_view text) { outside.progress(text); },
                            .interrupted = {}});
                     },
                     {.on_progress = show});
  if (done || done.error().code != EINTR) return done;
  show({});
  return fail(
      {}, concat(done.error().text,
                 ": what was begun goes on with userns-run shift --resume, or back with --undo"));
}

}  // namespace

Result<shift::ShiftWishes> common_wishes(const Words& words) {
  const auto jobs = TRY(jobs_of(words));
  return shift::ShiftWishes{.cross_mounts = words.has("cross-mounts"),
                            .strict = words.has("strict"),
                            .dry_run = words.has("dry-run"),
                            .jobs = jobs,
                            .log = std::string(words.one("log").value_or(""))};
}

Result<ChosenIds> ids_of_spec(const Result<Spec>& spec) {
  if (!spec) return std::unexpected(spec.error());
  auto plan = TRY(make_plan(*spec));
  return std::move(plan.ids);
}

Result<ChosenIds> ids_of_map(const Words& words) {
  std::vector<std::string> options;
  for (const auto map : words.all("map")) options.push_back(concat("--map=", map));
  const std::vector<std::string_view> views(options.begin(), options.end());
  return ids_of_spec(parse_options(views));
}

Result<shift::Shift> into_container(const ChosenIds& ids) {
  return shift::shift_of_maps(ids.uids.extents, ids.gids.extents);
}

Result<std::string> shift_as_caller(const std::vector<std::string>& directories,
                                    shift::ShiftWishes wishes) {
  if (!wishes.log.empty() && directories.size() > 1)
    return fail(
        {}, "--log names one file, and each directory has a log of its own: shift them one by one");
  std::vector<std::string> plain;
  for (const auto& directory : directories) {
    auto path = TRY(plain_source(directory, {}));
    plain.push_back(std::move(path));
  }
  return ::geteuid() == 0 ? as_root(plain, wishes) : in_namespace(plain, std::move(wishes));
}

}  // namespace userns::frontend
