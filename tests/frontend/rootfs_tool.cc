// The functions of frontend/rootfs on a command line, for the tests: each as a user with
// subordinate ids calls it.
//
//   rootfs_tool [--max-size N] [--max-cpu S] FIRST:COUNT archive FILE DIR | remove PARENT NAME |
//   copy FIRST:COUNT,LAYER... DIR |
//     busybox - DIR | debian SUITE DIR
//
// Prints what was counted, or the error as userns-run does, with status 125.
#include <fcntl.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "common/report.h"
#include "frontend/cli/terminal.h"
#include "frontend/rootfs/fill.h"
#include "frontend/rootfs/remove.h"
#include "policy/text.h"

using namespace userns;
using namespace userns::frontend;

namespace {

ChosenMap map_of(std::string_view text, std::uint32_t own) {
  const auto first = parse_decimal(take_until(text, ':')).value_or(0);
  const auto count = parse_decimal(text).value_or(0);
  return {.extents = {*Extent::make(0, first, count)},
          .writer = first == own && count == 1 ? MapWriter::kSelf : MapWriter::kHelper};
}

ChosenIds ids_of(std::string_view text) {
  ChosenIds ids{.uids = map_of(text, ::geteuid()), .gids = map_of(text, ::getegid())};
  ids.deny_setgroups = ids.gids.writer == MapWriter::kSelf;
  return ids;
}

int say(const Result<Filled>& filled) {
  if (!filled) return own_failure(filled.error());
  const auto& counts = filled->counts;
  std::string text = concat("entries=", counts.entries, " bytes=", counts.bytes,
                            " devices=", counts.devices, " attributes=", counts.attributes, "\n");
  for (const auto& variable : filled->image.env)
    text += concat("env=", variable.name, "=", variable.value, "\n");
  for (const auto& word : filled->image.entrypoint) text += concat("entrypoint=", word, "\n");
  for (const auto& word : filled->image.cmd) text += concat("cmd=", word, "\n");
  if (!filled->image.cwd.empty()) text += concat("cwd=", filled->image.cwd, "\n");
  if (!filled->image.user.empty()) text += concat("user=", filled->image.user, "\n");
  return print(text);
}

Result<Filled> copy(const ChosenIds& ids, const Fd& directory, std::string_view text,
                    const FillHow& how) {
  const auto from_ids = ids_of(take_until(text, ','));
  std::vector<Fd> layers;
  while (!text.empty()) {
    auto layer =
        open_at(AT_FDCWD, std::string(take_until(text, ',')).c_str(), O_PATH | O_DIRECTORY);
    if (!layer) return std::unexpected(layer.error());
    layers.push_back(std::move(*layer));
  }
  return fill_from_copy(ids, directory, from_ids, layers, how);
}

int say(const Result<void>& done) { return done ? 0 : own_failure(done.error()); }

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  FillHow how;
  if (words.size() > 2 && words[0] == "--max-size") {
    how.max_bytes = parse_decimal(words[1]);
    words.erase(words.begin(), words.begin() + 2);
  }
  if (words.size() > 2 && words[0] == "--max-cpu") {
    how.max_cpu = std::chrono::seconds(parse_decimal(words[1]).value_or(0));
    words.erase(words.begin(), words.begin() + 2);
  }
  if (words.size() != 4) return 2;
  const auto ids = ids_of(words[0]);
  const auto directory =
      open_at(AT_FDCWD, words[words[1] == "remove" ? 2 : 3].c_str(), O_PATH | O_DIRECTORY);
  if (!directory) return own_failure(directory.error());
  if (words[1] == "archive") return say(fill_from_archive(ids, *directory, words[2], how));
  if (words[1] == "copy") return say(copy(ids, *directory, words[2], how));
  if (words[1] == "busybox") return say(fill_from_busybox(ids, *directory));
  how.on_stage = [](std::string_view text) { (void)print(concat("stage=", text, "\n")); };
  if (words[1] == "debian")
    return say(fill_from_debian(ids, *directory, {.suite = words[2], .packages = {}}, how));
  if (words[1] == "remove") return say(remove_tree(ids, *directory, words[3]));
  return 2;
}
