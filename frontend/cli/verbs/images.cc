#include "frontend/cli/verbs/images.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "frontend/cli/table.h"
#include "frontend/cli/terminal.h"
#include "frontend/cli/verbs/select.h"
#include "frontend/container/destroy.h"
#include "frontend/images/commit_image.h"
#include "frontend/store/base_trees.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr VerbOption kTransferOptions[]{kAuthOption, kCertOption, kPlainOption};
constexpr VerbOption kListOptions[]{{"json", "", "for programs"}, {"names", "", "names only"}};
constexpr VerbOption kCommitOptions[]{kPathOption};
constexpr VerbOption kPruneOptions[]{
    {"all", "", "trees of images that are still there, too, if no container stands on them"},
    kPathOption};

Result<StoredImage> one_image(const ImageStore& store, std::string_view name) {
  auto found = TRY(store.find(name));
  if (found) return std::move(*found);
  return fail({}, concat("there is no image ", quoted(name), ": userns-run images lists them"));
}

int pull_verb(const Words& words) {
  if (words.names.empty())
    return own_failure(
        {.rule = {}, .code = 0, .text = "which image? userns-run pull docker://HOST/NAME:TAG"});
  auto store = ImageStore::open();
  if (!store) return own_failure(store.error());
  for (const auto& reference : words.names) {
    const auto image = store->pull(reference, transfer_of(words, "src"));
    if (!image) return own_failure(image.error());
    if (const int status = print(concat(image->name, " ", image->digest, "\n")); status != 0)
      return status;
  }
  return 0;
}

int push_verb(const Words& words) {
  if (words.names.size() != 2)
    return own_failure({.rule = {},
                        .code = 0,
                        .text = "push takes an image and where to: userns-run push NAME "
                                "docker://HOST/NAME:TAG"});
  const auto store = ImageStore::open();
  const auto image =
      store ? one_image(*store, words.names.front()) : std::unexpected(store.error());
  if (!image) return own_failure(image.error());
  const auto pushed = store->push(*image, words.names.back(), transfer_of(words, "dest"));
  return pushed ? 0 : own_failure(pushed.error());
}

int commit_verb(const Words& words) {
  if (words.names.size() != 2)
    return own_failure(
        {.rule = {},
         .code = 0,
         .text = "commit takes a container and a name: userns-run commit NAME IMAGE"});
  auto images = ImageStore::open();
  const auto store = images ? store_of(words) : std::unexpected(images.error());
  const auto container = store ? store->find(words.names.front()) : std::unexpected(store.error());
  if (!container) return own_failure(container.error());
  const auto image = commit_image(*images, *container, words.names.back());
  if (!image) return own_failure(image.error());
  return print(concat(image->name, " ", image->digest, "\n"));
}

std::string to_json(const ImageStore& store, const std::vector<StoredImage>& images) {
  auto list = nlohmann::json::array();
  for (const auto& image : images)
    list.push_back({{"name", image.name},
                    {"digest", image.digest},
                    {"bytes", store.size_of(image)},
                    {"tree_bytes", store.tree_size_of(image)},
                    {"is_tree_alone", image.is_tree_alone}});
  return list.dump(1, ' ', true, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string to_text(const ImageStore& store, const std::vector<StoredImage>& images) {
  std::vector<std::vector<std::string>> rows{{"NAME", "DIGEST", "SIZE", "UNPACKED"}};
  for (const auto& image : images) {
    const auto tree = store.tree_size_of(image);
    rows.push_back({image.name, image.digest.substr(7, 12), size_for_people(store.size_of(image)),
                    tree == 0 ? "-" : size_for_people(tree)});
  }
  return to_table(std::move(rows));
}

int images_verb(const Words& words) {
  const auto store = ImageStore::open();
  const auto images = store ? store->images() : std::unexpected(store.error());
  if (!images) return own_failure(images.error());
  if (words.has("json")) return print(to_json(*store, *images));
  if (!words.has("names")) return print(to_text(*store, *images));
  std::string names;
  for (const auto& image : *images) names += concat(image.name, "\n");
  return print(names);
}

// One that a run of now shows is left alone. One that cannot be deleted is told about, and the
// others have their turn.
Result<std::uint64_t> remove_bases(const Store& store, std::vector<std::string> kept, int& status) {
  std::uint64_t count = 0;
  if (!store.dir().valid()) return count;
  while (true) {
    const auto unused = TRY(unused_bases(store));
    const auto before = count;
    for (const auto& id : unused) {
      if (std::ranges::find(kept, id) != kept.end()) continue;
      const auto removed = remove_unused_base(store, id);
      if (!removed) status = own_failure(removed.error());
      if (!removed) kept.push_back(id);
      count += removed && *removed ? 1U : 0U;
    }
    if (count == before) return count;
  }
}

std::vector<std::string> bases_of(const std::vector<StoredImage>& images) {
  std::vector<std::string> ids;
  for (const auto& image : images) ids.push_back(base_id_of(image));
  return ids;
}

int rmi_verb(const Words& words) {
  if (words.names.empty())
    return own_failure(
        {.rule = {}, .code = 0, .text = "which image? userns-run images lists them"});
  auto store = ImageStore::open();
  if (!store) return own_failure(store.error());
  for (const auto& name : words.names) {
    const auto image = one_image(*store, name);
    const auto removed = image ? store->remove(*image) : std::unexpected(image.error());
    if (!removed) return own_failure(removed.error());
  }
  const auto collected = store->collect();
  return collected ? 0 : own_failure(collected.error());
}

int prune_verb(const Words& words) {
  auto images = ImageStore::open();
  const auto store = store_of(words);
  const auto all = images ? images->images() : std::unexpected(images.error());
  if (!all || !store) return own_failure(all ? store.error() : all.error());
  // It may stand on base trees, too.
  const auto left = remove_litter(*store);
  if (!left) return own_failure(left.error());
  int status = 0;
  for (const auto& error : *left) status = own_failure(error);
  const auto bases =
      remove_bases(*store, words.has("all") ? std::vector<std::string>{} : bases_of(*all), status);
  if (!bases) return own_failure(bases.error());
  const auto collected = images->collect();
  if (!collected) return own_failure(collected.error());
  const int put =
      print(concat("deleted ", collected->blobs, " blobs (", size_for_people(collected->bytes),
                   ") and ", *bases, " base trees\n"));
  return put != 0 ? put : status;
}

}  // namespace

constinit const Verb kPullVerb{
    .name = "pull",
    .arguments = "REF... [OPTIONS]",
    .summary = "Fetches images (docker://, oci:, docker- and oci-archive:, dir:)",
    .options = kTransferOptions,
    .run = pull_verb,
    .kind = VerbKind::kImages};
constinit const Verb kPushVerb{.name = "push",
                               .arguments = "NAME REF [OPTIONS]",
                               .summary = "Sends an image to a registry",
                               .options = kTransferOptions,
                               .run = push_verb,
                               .kind = VerbKind::kImages};
constinit const Verb kCommitVerb{.name = "commit",
                                 .arguments = "NAME IMAGE [OPTIONS]",
                                 .summary = "Makes an image of a container's files and settings",
                                 .options = kCommitOptions,
                                 .run = commit_verb,
                                 .kind = VerbKind::kImages};
constinit const Verb kImagesVerb{.name = "images",
                                 .arguments = "[OPTIONS]",
                                 .summary = "Lists the images that were fetched",
                                 .options = kListOptions,
                                 .run = images_verb,
                                 .kind = VerbKind::kImages};
constinit const Verb kRmiVerb{.name = "rmi",
                              .arguments = "NAME...",
                              .summary = "Deletes images; containers made of them stay",
                              .options = {},
                              .run = rmi_verb,
                              .kind = VerbKind::kImages};
constinit const Verb kPruneVerb{.name = "prune",
                                .arguments = "[OPTIONS]",
                                .summary = "Deletes what no image and no container has any more",
                                .options = kPruneOptions,
                                .run = prune_verb,
                                .kind = VerbKind::kImages};

Result<ImageInUse> use_image(std::string_view reference, const Words& words, const Store& store) {
  auto images = TRY(ImageStore::open());
  auto image = TRY(images.have(reference, transfer_of(words, "src"), store));
  return ImageInUse{std::move(images), std::move(image)};
}

}  // namespace userns::frontend
