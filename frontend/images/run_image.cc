#include "frontend/images/run_image.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "frontend/container/make/image_settings.h"
#include "frontend/container/make/instant.h"
#include "frontend/spec/options.h"
#include "frontend/spec/shell_words.h"
#include "frontend/start/ids/callers_ids.h"
#include "frontend/start/ids/tree_ids.h"
#include "frontend/store/base_trees.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

// What was typed, so that the image decides the rest only. What is for one start alone stands in
// no config, and no image has a word for it.
ConfigFile typed_settings(const Words& words) {
  ConfigFile config;
  for (std::string_view word : words.container) {
    const auto key = take_until(word, '=').substr(2);
    (void)config.add(key, word);
  }
  if (words.has_command) (void)config.set("command", std::vector{join_words(words.command)});
  return config;
}

bool was_typed(const Words& words, const Setting& setting) {
  return std::ranges::find(words.container, concat("--", setting.key, "=", setting.value)) !=
         words.container.end();
}

Result<Spec> to_spec(const Words& words, const ConfigFile& config, const std::string& rootfs) {
  std::vector<std::string> all{concat("--rootfs=", rootfs), "--overlay=yes"};
  all.insert(all.end(), words.container.begin(), words.container.end());
  std::vector<std::string> command = words.command;
  for (const auto& setting : config.settings()) {
    if (setting.key == "command" && !words.has_command)
      command = split_words(setting.value).value_or(std::vector<std::string>{});
    if (setting.key != "command" && !was_typed(words, setting))
      all.push_back(concat("--", setting.key, "=", setting.value));
  }
  const std::vector<std::string_view> views(all.begin(), all.end());
  auto spec = parse_options(views);
  if (!spec) return spec;
  spec->command = command;
  if (command.empty() && !spec->boot) spec->command = {"/bin/sh"};
  return spec;
}

Result<Container> unpacked(const ImageStore& images, const StoredImage& image, const Store& store) {
  const auto parts = images.parts(image);
  return parts ? base_of_image(store, *parts, {}) : std::unexpected(parts.error());
}

std::vector<MapWish> wishes_of(const BlockIds& block) {
  std::vector<MapWish> wishes;
  for (const auto& extent : block.uids) wishes.push_back({MapWish::Which::kUid, extent});
  for (const auto& extent : block.gids) wishes.push_back({MapWish::Which::kGid, extent});
  return wishes;
}

// Where no tree can be shown with other ids, the container has those of the base tree.
Result<void> choose_ids_for(ImageRun& run, const Container& base, const BlockIds& block) {
  run.spec.layer_blocks = {block};
  const auto ids = TRY(find_ids(run.spec));
  const auto same = block_as(block, ids);
  if (same && !*same) return {};
  const auto can = try_idmap(base.dir(), ids);
  if (can || !std::holds_alternative<MapAuto>(run.spec.mapping)) return can;
  run.notes.push_back(concat("the container has the ids of the image's files: ", can.error().text));
  run.spec.mapping = wishes_of(block);
  return {};
}

}  // namespace

Result<ImageRun> spec_of_image(const std::string& reference, const Words& words) {
  auto images = ImageStore::open();
  const auto store =
      TRY(images ? Store::open_or_make(std::nullopt) : std::unexpected(images.error()));
  const auto image = TRY(images->have(reference, transfer_of(words, "src"), store));
  const auto base = unpacked(*images, image, store);
  auto held = TRY(base ? hold_base(*base) : std::unexpected(base.error()));
  TRY(images->drop_layers(image));
  ConfigFile stands;
  TRY(stands.set("base-tree", std::vector{base->name()}));
  const auto trees = TRY(trees_of(store, stands));
  if (trees.empty()) return fail({}, concat("the base tree of ", image.name, " is empty"));
  const auto said = TRY(read_image_file(*base));
  ImageRun run{.spec = {}, .notes = {}, .held = std::move(held)};
  auto config = typed_settings(words);
  if (said) TRY(take_image_config(config, *said, run.notes));
  auto spec = TRY(to_spec(words, config, trees.front().path));
  run.spec = std::move(spec);
  TRY(choose_ids_for(run, *base, trees.front().block));
  const auto ids = find_ids(run.spec);
  if (ids && said) TRY(check_user_fits(config, *said, *ids));
  return run;
}

}  // namespace userns::frontend
