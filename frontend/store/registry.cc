#include "frontend/store/registry.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "frontend/spec/values.h"
#include "frontend/store/base_trees.h"
#include "frontend/store/files.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kLargestIndex = std::size_t{16} << 20;
constexpr std::string_view kHead = "# userns-run: where containers are, and which ids they hold\n";

std::string to_text(const std::vector<IdRange>& ranges) {
  std::string text;
  for (const auto& range : ranges)
    text += concat(text.empty() ? "" : ",", range.first(), ":", range.count());
  return text.empty() ? "-" : text;
}

std::vector<IdRange> parse_ranges(std::string_view text) {
  std::vector<IdRange> ranges;
  while (!text.empty()) {
    auto one = take_until(text, ',');
    const auto first = parse_decimal(take_until(one, ':'));
    const auto count = parse_decimal(one);
    const auto range = first && count ? IdRange::make(*first, *count) : std::nullopt;
    if (range) ranges.push_back(*range);
  }
  return ranges;
}

bool is_in(std::string_view container, std::string_view store) {
  return container.starts_with(store) && container.substr(store.size()).starts_with('/');
}

Result<Index> read_index(const Store& home) {
  if (!home.dir().valid()) return Index{};
  const auto text = read_file_at(home.dir().get(), ".index", kLargestIndex);
  if (!text && text.error().code == ENOENT) return Index{};
  if (!text)
    return fail({}, concat("cannot read ", home.path(), "/.index: ", text.error().text),
                text.error().code);
  return parse_index(*text);
}

bool is_known(const Index& index, const Holder& own) {
  return std::ranges::any_of(index.holders, [&](const Holder& other) {
    return other.path == own.path && other.uids == own.uids && other.gids == own.gids;
  });
}

Holder held_here(std::string path, std::string_view config_text) {
  return without_own(held_by(std::move(path), config_text), ::geteuid(), ::getegid());
}

void add_once(std::vector<std::string>& all, const std::string& one) {
  if (std::ranges::find(all, one) == all.end()) all.push_back(one);
}

}  // namespace

Index parse_index(std::string_view text) {
  Index index;
  while (!text.empty()) {
    auto line = take_until(text, '\n');
    const auto kind = take_until(line, ' ');
    if (kind == "store" && line.starts_with('/')) add_once(index.stores, std::string(line));
    if (kind != "held") continue;
    auto uids = parse_ranges(take_until(line, ' '));
    auto gids = parse_ranges(take_until(line, ' '));
    if (line.starts_with('/'))
      index.holders.push_back({std::string(line), std::move(uids), std::move(gids)});
  }
  return index;
}

std::string to_text(const Index& index) {
  std::string text(kHead);
  for (const auto& store : index.stores) text += concat("store ", store, "\n");
  for (const auto& holder : index.holders)
    text +=
        concat("held ", to_text(holder.uids), " ", to_text(holder.gids), " ", holder.path, "\n");
  return text;
}

Result<Registry> Registry::lock(const Store& store) {
  auto home = Store::open_or_make(std::nullopt);
  if (!home)
    return fail({}, concat("cannot write down which ids are taken: ", home.error().text),
                home.error().code);
  auto file = open_at(home->dir().get(), ".lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK,
                      RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, 0600);
  if (!file)
    return fail({},
                concat("cannot write down in ", home->path(),
                       " which ids are taken (XDG_DATA_HOME names another place)"),
                file.error().code);
  while (::flock(file->get(), LOCK_EX) != 0)
    if (errno != EINTR) return fail_errno(concat("cannot lock ", home->path(), "/.lock"));
  Registry registry(std::move(*home), std::move(*file));
  const auto index = TRY(read_index(registry.home_));
  registry.stores_ = index.stores;
  add_once(registry.stores_, registry.home_.path());
  add_once(registry.stores_, store.path());
  registry.look(index.holders);
  registry.remembered_ = index.holders;
  return registry;
}

void Registry::look(const std::vector<Holder>& remembered) {
  for (const auto& path : stores_) look_at(path, remembered);
  // Of a store that is out of reach and holds nothing there is nothing to remember.
  std::erase_if(stores_, [&](const std::string& path) {
    const auto store = Store::open(path);
    return (!store || !store->dir().valid()) &&
           std::ranges::none_of(holders_,
                                [&](const Holder& holder) { return is_in(holder.path, path); });
  });
}

namespace {

// ".web.gone-abcdef" was web.
std::string_view container_of(std::string_view directory) {
  if (!directory.starts_with('.')) return directory;
  directory.remove_prefix(1);
  return directory.substr(0, directory.find('.'));
}

void add_once(std::vector<IdRange>& all, const std::vector<IdRange>& more) {
  for (const auto& range : more)
    if (std::ranges::find(all, range) == all.end()) all.push_back(range);
}

// What a config says, and what was known of the place before: a file that is damaged, or does not
// say it any more, frees nothing for as long as the files are there.
Holder held_with(const std::vector<Holder>& remembered, Holder holder, std::string_view place) {
  for (const auto& other : remembered) {
    if (other.path != holder.path && other.path != place) continue;
    add_once(holder.uids, other.uids);
    add_once(holder.gids, other.gids);
  }
  return holder;
}

}  // namespace

void Registry::look_at(const std::string& path, const std::vector<Holder>& remembered) {
  const auto store = Store::open(path);
  const auto directories =
      store && store->dir().valid() ? store->directories() : std::unexpected(Error{});
  if (!directories) {
    std::ranges::copy_if(remembered, std::back_inserter(holders_),
                         [&](const Holder& holder) { return is_in(holder.path, path); });
    return;
  }
  for (const auto& name : *directories) {
    if (base_id(name)) continue;
    const auto text =
        read_file_at(store->dir().get(), concat(name, "/config").c_str(), kLargestConfig);
    auto place = concat(path, "/", container_of(name));
    // Its name may be another container's by now.
    if (name.starts_with('.') && !store->is_free(container_of(name))) place.clear();
    const auto config = text ? std::string_view(*text) : std::string_view{};
    auto holder =
        without_own(held_with(remembered, held_by(concat(path, "/", name), config), place),
                    ::geteuid(), ::getegid());
    if (text || !holder.uids.empty() || !holder.gids.empty()) holders_.push_back(std::move(holder));
  }
}

Holder held_in(const Container& container) {
  const auto text = read_file_at(container.dir().get(), "config", kLargestConfig);
  const auto home = Store::open(std::nullopt);
  const auto index = home ? read_index(*home) : Result<Index>(Index{});
  const auto slash = container.path().rfind('/');
  return held_with(index ? index->holders : std::vector<Holder>{},
                   held_by(container.path(), text ? *text : std::string_view{}),
                   concat(container.path().substr(0, slash), "/", container.name()));
}

Result<void> check_ids_in(const Container& container, const ConfigFile& config) {
  bool any = false;
  for (const auto& setting : config.settings()) {
    if (setting.key == "map-self") return {};
    if (setting.key != "map") continue;
    any = true;
    if (const auto map = parse_map(setting.value); !map)
      return fail({}, concat(container.path(), "/config:", setting.line, ":1: ", map.error().text));
  }
  if (any) return {};
  const auto held = held_in(container);
  if (held.uids.empty() && held.gids.empty()) return {};
  return fail({}, concat(container.path(), "/config says no longer which ids ", container.name(),
                         " has: write its lines \"map = u:0:",
                         held.uids.empty() ? 0 : held.uids.front().first(), ":",
                         held.uids.empty() ? 0 : held.uids.front().count(),
                         "\" and the same with g:, or destroy it"));
}

Result<void> Registry::add(std::vector<Holder> fresh) {
  for (auto& holder : fresh) {
    std::erase_if(holders_, [&](const Holder& other) { return other.path == holder.path; });
    holders_.push_back(without_own(std::move(holder), ::geteuid(), ::getegid()));
  }
  return save();
}

bool Registry::knows(const Holder& holder) const {
  return is_known({.stores = {}, .holders = remembered_}, holder);
}

Result<void> register_place(const Container& container) {
  const auto text = read_file_at(container.dir().get(), "config", kLargestConfig);
  const auto own = held_here(container.path(), text ? *text : std::string_view{});
  if (const auto home = Store::open(std::nullopt))
    if (const auto index = read_index(*home); index && is_known(*index, own)) return {};
  const auto store =
      TRY(Store::open(std::string_view(container.path()).substr(0, container.path().rfind('/'))));
  auto registry = TRY(Registry::lock(store));
  if (registry.knows(own)) return {};
  for (const auto& other : registry.holders())
    if (other.path != own.path && share_ids(other, own))
      return fail({}, concat(container.name(), " was brought to ", container.path(),
                             " by hand, and ", other.path,
                             " has the same ids: neither would be safe from the other; move it "
                             "back, or make a copy with ids of its own: userns-run create NEW "
                             "--from ",
                             container.name()));
  return registry.add({own});
}

Result<void> Registry::save() const {
  return replace_file(home_.dir(), ".index", to_text(Index{stores_, holders_}));
}

Result<std::vector<std::string>> known_stores() {
  const auto home = TRY(Store::open(std::nullopt));
  const auto index = TRY(read_index(home));
  std::vector<std::string> all{home.path()};
  for (const auto& store : index.stores) add_once(all, store);
  return all;
}

}  // namespace userns::frontend
