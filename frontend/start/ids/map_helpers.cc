#include "frontend/start/ids/map_helpers.h"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <optional>
#include <utility>

#include "common/config.h"
#include "common/fd.h"
#include "frontend/run/apparmor.h"
#include "frontend/run/helper.h"
#include "policy/idmap.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

struct Half {
  const ChosenMap* map;
  const char* program;
  std::string_view file;  // "uid_map"
};

Result<bool> is_written(pid_t target, std::string_view file) {
  const auto map = TRY(open_at(AT_FDCWD, concat("/proc/", target, "/", file).c_str(), O_RDONLY));
  char one = 0;
  const auto got = TRY(read_some(map, {&one, 1}));
  return got > 0;
}

Result<void> write_file(pid_t target, std::string_view file, std::string_view text) {
  const auto path = concat("/proc/", target, "/", file);
  const auto opened = open_at(AT_FDCWD, path.c_str(), O_WRONLY);
  const auto written =
      opened ? write_once(*opened, text) : Result<void>(std::unexpected(opened.error()));
  if (!written)
    return fail({}, concat("cannot write the container's ", file), written.error().code);
  return {};
}

Result<void> write_directly(const Half& half, pid_t target) {
  const auto map = TRY(IdMap::from_extents(half.map->extents));
  return write_file(target, half.file, map.kernel_text());
}

// What is left to do by a helper that now runs; nothing where it was done at once.
Result<std::optional<Helper>> begin(const ChosenIds& ids, const Half& half, pid_t target,
                                    bool keep_written) {
  if (half.map->writer == MapWriter::kNobody) return std::nullopt;
  if (keep_written) {
    const auto written = TRY(is_written(target, half.file));
    if (written) return std::nullopt;
  }
  if (half.map->writer == MapWriter::kHelper) {
    std::vector<std::string> words{concat(target)};
    std::ranges::move(helper_words(*half.map), std::back_inserter(words));
    auto helper = TRY(Helper::start(half.program, words));
    return std::optional(std::move(helper));
  }
  if (ids.deny_setgroups && half.file == "gid_map") TRY(write_file(target, "setgroups", "deny"));
  TRY(write_directly(half, target));
  return std::nullopt;
}

}  // namespace

Result<void> map_ids(const ChosenIds& ids, pid_t target, const MapWork& how) {
  auto uids = TRY(begin(ids, {&ids.uids, kNewuidmapPath, "uid_map"}, target, how.keep_written));
  auto gids = TRY(begin(ids, {&ids.gids, kNewgidmapPath, "gid_map"}, target, how.keep_written));
  auto done = how.meanwhile ? how.meanwhile() : Result<void>{};
  if (uids && done) done = uids->finish();
  if (gids && done) done = gids->finish();
  return done;
}

std::vector<std::string> helper_words(const ChosenMap& map) {
  std::vector<std::string> words;
  if (map.writer != MapWriter::kHelper) return words;
  words.reserve(map.extents.size() * 3);
  for (const auto& extent : map.extents) {
    words.push_back(concat(extent.inside().first()));
    words.push_back(concat(extent.outside().first()));
    words.push_back(concat(extent.count()));
  }
  return words;
}

}  // namespace userns::frontend
