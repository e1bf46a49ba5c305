#include "frontend/store/store.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <thread>

#include "frontend/spec/nearest.h"
#include "frontend/spec/options.h"
#include "frontend/spec/tell.h"
#include "frontend/store/base_trees.h"
#include "frontend/store/files.h"
#include "frontend/store/processes.h"
#include "frontend/store/user_dirs.h"
#include "policy/cgroup_rules.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::string_view kForContainers =
    ", where containers are to be kept (--path names another place)";
constexpr unsigned long long kBelow = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
constexpr int kDirectory = O_RDONLY | O_DIRECTORY;
constexpr int kDeepestInclude = 8;
constexpr std::chrono::milliseconds kSoon{1000};
constexpr std::chrono::milliseconds kLookEvery{20};

// --- locks --------------------------------------------------------------------------------------

std::unexpected<Error> was_destroyed(const Container& container) {
  return fail({}, concat("the container ", container.name(), " was destroyed meanwhile"));
}

// In a store that cannot be written to any more the directory itself is locked.
Result<Fd> open_lock(const Container& container) {
  auto file = open_at(container.dir().get(), "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK,
                      kBelow, 0600);
  if (!file && file.error().code == EROFS)
    return open_at(container.dir().get(), ".", O_RDONLY | O_DIRECTORY);
  if (file) return file;
  if (file.error().code == ENOENT) return was_destroyed(container);
  return fail(
      {}, concat("cannot lock the container ", container.name(), " (", container.path(), "/lock)"),
      file.error().code);
}

// Who waited may have waited for the end of the container.
Result<Lock> checked(Fd file, const Container& container) {
  struct stat facts{};
  if (::fstat(file.get(), &facts) != 0) return fail_errno("cannot look at the lock");
  if (facts.st_nlink == 0) return was_destroyed(container);
  return Lock(std::move(file));
}

// --- config files -------------------------------------------------------------------------------

Result<std::vector<Setting>> parse_file(std::string_view text, std::string_view path) {
  const auto file = TRY(ConfigFile::parse(text, path));
  return file.settings();
}

std::string directory_of(const std::string& path) { return path.substr(0, path.rfind('/') + 1); }

// The settings of the included files, the deepest first, then these.
Result<void> add_with_includes(std::vector<std::vector<Setting>>& files,
                               std::vector<Setting> settings, const std::string& path, int depth) {
  for (const auto& setting : settings) {
    if (setting.key != "include") continue;
    const auto where = concat(path, ":", setting.line, ":1: include ");
    if (depth == kDeepestInclude)
      return fail({}, concat(where, "goes too deep: do files include each other?"));
    const auto included =
        setting.value.starts_with('/') ? setting.value : directory_of(path) + setting.value;
    const auto text = read_file_at(AT_FDCWD, included.c_str(), kLargestConfig);
    if (!text)
      return fail({}, concat(where, quoted(setting.value), ": ", text.error().text),
                  text.error().code);
    auto inner = TRY(parse_file(*text, included));
    if (auto added = add_with_includes(files, std::move(inner), included, depth + 1); !added)
      return added;
  }
  files.push_back(std::move(settings));
  return {};
}

Result<std::string> default_conf() {
  const auto directory = user_config_dir();
  if (!directory) return directory;
  return concat(*directory, "/userns/default.conf");
}

Result<void> add_defaults(std::vector<std::vector<Setting>>& files) {
  const auto path = default_conf();
  if (!path) return {};  // without a home there is no such file
  const auto text = read_file_at(AT_FDCWD, path->c_str(), kLargestConfig);
  if (!text && text.error().code == ENOENT) return {};
  if (!text) return std::unexpected(text.error());
  auto settings = TRY(parse_file(*text, *path));
  return add_with_includes(files, std::move(settings), *path, 0);
}

// From the most general file to the container's own.
Result<std::vector<std::vector<Setting>>> files_of(const ConfigFile& own, const std::string& path) {
  std::vector<std::vector<Setting>> files;
  TRY(add_defaults(files));
  TRY(add_with_includes(files, own.settings(), path, 0));
  return files;
}

std::vector<Setting> as_settings(std::span<const std::string> words) {
  std::vector<Setting> settings;
  for (std::string_view word : words) {
    const auto key = take_until(word, '=');
    settings.push_back(
        {.key = std::string(key.substr(std::min(key.find_first_not_of('-'), key.size()))),
         .value = std::string(word)});
  }
  return settings;
}

std::optional<std::string> base_of(const ConfigFile& config) {
  const auto settings = config.settings();
  const auto base = std::ranges::find(settings, "base", &Setting::key);
  return base == settings.end() ? std::nullopt : std::optional(base->value);
}

// What differs from the base. A snapshot that never ran has none yet.
void add_changes(Spec& spec, const Container& container) {
  if (::faccessat(container.dir().get(), "upper", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
    spec.layers.push_back(concat(container.path(), "/upper"));
}

// An overlay over the trees that it stands on, which have ids of their own.
Result<void> place_on_trees(Spec& spec, const Container& container, const ConfigFile& own) {
  const auto store =
      Store::open(std::string_view(container.path()).substr(0, container.path().rfind('/')));
  const auto trees = store ? trees_of(*store, own) : std::unexpected(store.error());
  if (!trees)
    return fail({}, concat("container ", container.name(), ": ", trees.error().text),
                trees.error().code);
  if (trees->empty()) {
    spec.rootfs = concat(container.path(), "/rootfs");
    return {};
  }
  if (spec.read_only || spec.overlay)
    add_changes(spec, container);
  else
    spec.changes = container.path();
  spec.layer_blocks.resize(spec.layers.size());
  for (const auto& tree : *trees) {
    spec.layers.push_back(tree.path);
    spec.layer_blocks.push_back(tree.block);
  }
  spec.rootfs = spec.layers.back();
  spec.layers.pop_back();
  return {};
}

// What a snapshot's ground is made of itself.
void add_ground(Spec& spec, const Container& container, const Spec& ground) {
  spec.rootfs = ground.rootfs;
  if (!ground.changes.empty()) add_changes(spec, container);
  if (ground.layer_blocks.empty()) return;
  spec.layer_blocks.resize(spec.layers.size());
  spec.layers.insert(spec.layers.end(), ground.layers.begin(), ground.layers.end());
  spec.layer_blocks.insert(spec.layer_blocks.end(), ground.layer_blocks.begin(),
                           ground.layer_blocks.end());
}

// Where the root file system is that a container does not name itself.
Result<void> place_root(Spec& spec, const Container& container, const ConfigFile& own) {
  if (!spec.rootfs.empty()) return {};
  if (base_tree_of(own)) return place_on_trees(spec, container, own);
  const auto bases = TRY(container.bases(own));
  if (bases.empty()) {
    spec.rootfs = concat(container.path(), "/rootfs");
    return {};
  }
  const auto ground = bases.back().spec();
  if (!ground)
    return fail({}, concat("container ", container.name(), " is a snapshot: ", ground.error().text),
                ground.error().code);
  if (spec.read_only || spec.overlay)
    add_changes(spec, container);
  else
    spec.changes = container.path();
  for (auto base = bases.begin(); base + 1 != bases.end(); ++base) add_changes(spec, *base);
  add_ground(spec, bases.back(), *ground);
  return {};
}

// --- directories --------------------------------------------------------------------------------

Result<std::string> absolute(std::string_view path) {
  if (path.empty()) return fail({}, "--path is empty: name a directory");
  if (std::ranges::any_of(path,
                          [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }))
    return fail({}, concat("--path ", quoted(path), ": a control character is in the name"));
  return absolute_path(path);
}

// The whole way, each new directory for the caller alone.
Result<void> make_directories(const std::string& path) {
  for (std::size_t at = 1; at != std::string::npos;) {
    at = path.find('/', at + 1);
    const auto part = path.substr(0, at);
    if (::mkdir(part.c_str(), 0700) != 0 && errno != EEXIST && errno != EISDIR && errno != EROFS &&
        errno != EACCES)
      return fail_errno(concat("cannot make ", part, kForContainers));
    struct stat facts{};
    if (::stat(part.c_str(), &facts) == 0) continue;
    if (errno == ENOENT && ::mkdir(part.c_str(), 0700) == 0) continue;
    return fail_errno(concat("cannot make ", part, kForContainers));
  }
  return {};
}

// Another user who could write here could make the caller start or delete files of that user.
Result<void> check_owner(const Fd& dir, const std::string& path) {
  struct stat facts{};
  if (::fstat(dir.get(), &facts) != 0) return fail_errno(concat("cannot look at ", path));
  if (facts.st_uid != ::geteuid())
    return fail({},
                concat(path, " belongs to uid ", facts.st_uid, ", not to you (uid ", ::geteuid(),
                       "): containers are kept in a directory of one's own; --path names another"));
  if ((facts.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return fail({}, concat("others can write in ", path,
                           ", and could put files of theirs into containers: chmod go-w ", path));
  return {};
}

Result<std::string> name_of_fd(const Fd& fd) {
  std::array<char, PATH_MAX> name{};
  const auto size =
      ::readlink(concat("/proc/self/fd/", fd.get()).c_str(), name.data(), name.size());
  if (size <= 0) return fail_errno("cannot find the path of a directory (is /proc mounted?)");
  return std::string(name.data(), static_cast<std::size_t>(size));
}

}  // namespace

// --- Container ----------------------------------------------------------------------------------

Result<Container> Container::beside(std::string_view name) const {
  const auto store = Store::open(std::string_view(path_).substr(0, path_.rfind('/')));
  return store ? store->find(name) : std::unexpected(store.error());
}

Result<std::vector<Container>> Container::bases(const ConfigFile& own) const {
  const auto about = [&](std::string_view why) {
    return fail({}, concat("container ", name_, " is a snapshot: ", why));
  };
  std::vector<Container> bases;
  for (auto base = base_of(own); base;) {
    if (bases.size() == kMostBases)
      return about(concat(
          "it stands on more than ", kMostBases,
          " others, one on the other: begin anew with a copy (userns-run create --from without "
          "--snapshot)"));
    auto shown = beside(*base);
    const auto config = shown ? shown->config() : std::unexpected(shown.error());
    if (!config) return about(config.error().text);
    bases.push_back(std::move(*shown));
    base = base_of(*config);
  }
  return bases;
}

Result<Lock> Container::lock() const {
  auto soon = TRY(lock_within(kSoon));
  if (soon) return std::move(*soon);
  auto file = TRY(open_lock(*this));
  const auto holder = holder_of_lock(file);
  tell("userns-run",
       {.rule = {},
        .code = 0,
        .text = concat("waiting for ", holder ? concat("process ", *holder) : "a process",
                       ", which holds ", name_)});
  while (::flock(file.get(), LOCK_EX) != 0)
    if (errno != EINTR) return fail_errno(concat("cannot lock the container ", name_));
  return checked(std::move(file), *this);
}

Result<std::optional<Lock>> Container::lock_within(std::chrono::milliseconds time) const {
  const auto until = std::chrono::steady_clock::now() + time;
  while (true) {
    auto lock = try_lock();
    if (!lock || *lock || std::chrono::steady_clock::now() >= until) return lock;
    std::this_thread::sleep_for(kLookEvery);
  }
}

Result<std::optional<Lock>> Container::try_lock() const {
  auto file = TRY(open_lock(*this));
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return std::nullopt;
    return fail_errno(concat("cannot lock the container ", name_));
  }
  return checked(std::move(file), *this);
}

Result<ConfigFile> Container::config() const {
  const auto text = read_file_at(dir().get(), "config", kLargestConfig);
  if (!text)
    return fail(
        {},
        concat("cannot read the config of ", name_, " (", path_, "/config): ", text.error().text),
        text.error().code);
  return ConfigFile::parse(*text, concat(path_, "/config"));
}

Result<ContainerConfig> Container::settings() const {
  const auto own = config();
  return own ? settings(*own) : std::unexpected(own.error());
}

Result<ContainerConfig> Container::settings(const ConfigFile& own) const {
  return settings_of(own, concat(path_, "/config"));
}

Result<void> Container::write_config(const Lock& /*proof*/, const ConfigFile& config) const {
  const auto text = config.text();
  if (text.size() > kLargestConfig)
    return fail({}, concat("the config of ", name_, " would be too long"));
  // Whoever wrote it waited for the disk.
  if (read_file_at(dir().get(), "config", kLargestConfig) == text) return {};
  return replace_file(dir(), "config", text);
}

Result<Spec> Container::spec(std::span<const std::string> extra) const {
  const auto own = config();
  return own ? spec(*own, extra) : std::unexpected(own.error());
}

Result<Spec> Container::spec(const ConfigFile& own, std::span<const std::string> extra) const {
  auto spec = spec_of(own, concat(path_, "/config"), extra);
  if (!spec)
    return fail(spec.error().rule, concat("container ", name_, ": ", spec.error().text),
                spec.error().code);
  TRY(place_root(*spec, *this, own));
  if (!spec->hostname && (spec->namespaces & CLONE_NEWUTS) != 0) spec->hostname = name_;
  return spec;
}

Result<ContainerConfig> settings_of(const ConfigFile& own, const std::string& path) {
  const auto files = TRY(files_of(own, path));
  return merge(files);
}

Result<Spec> spec_of(const ConfigFile& own, const std::string& path,
                     std::span<const std::string> extra) {
  auto files = TRY(files_of(own, path));
  files.push_back(as_settings(extra));
  const auto merged = merge(files);
  std::vector<std::string_view> words(merged.words.begin(), merged.words.end());
  // A container always has a root file system; what asks for one, as --boot does, need not be told
  // where.
  const bool is_named =
      std::ranges::any_of(words, [](auto word) { return word.starts_with("--rootfs="); });
  if (!is_named) words.emplace_back("--rootfs=/");
  auto spec = parse_options(words);
  if (!spec) return spec;
  if (!is_named) spec->rootfs.clear();
  spec->command = merged.command;
  return spec;
}

// --- Store --------------------------------------------------------------------------------------

Result<std::string> container_name(std::string_view text) {
  const auto name = ContainerName::parse(text);
  if (!name) return fail({}, name.error().text);
  return name->text();
}

Result<std::string> default_store_path() {
  const auto data = user_data_dir();
  if (!data) return data;
  return concat(*data, "/userns");
}

Result<Store> Store::open(std::optional<std::string_view> path) {
  auto whole = TRY(path ? absolute(*path) : default_store_path());
  auto dir = open_at(AT_FDCWD, whole.c_str(), kDirectory);
  if (!dir && dir.error().code == ENOENT) return Store(std::move(whole), Fd());
  if (!dir)
    return fail({}, concat("cannot open ", whole, ", where containers are kept"), dir.error().code);
  TRY(check_owner(*dir, whole));
  auto canonical = name_of_fd(*dir);
  if (canonical) canonical = absolute(*canonical);
  if (!canonical) return std::unexpected(canonical.error());
  return Store(std::move(*canonical), std::move(*dir));
}

Result<Store> Store::open_or_make(std::optional<std::string_view> path) {
  auto store = open(path);
  if (!store || store->dir().valid()) return store;
  TRY(make_directories(store->path()));
  return open(store->path());
}

Result<std::vector<std::string>> Store::names() const {
  auto all = directories();
  if (all) std::erase_if(*all, [](const std::string& name) { return name.starts_with('.'); });
  if (all)
    std::erase_if(*all, [&](const std::string& name) {
      return ::faccessat(dir().get(), concat(name, "/config").c_str(), F_OK, AT_SYMLINK_NOFOLLOW) !=
             0;
    });
  return all;
}

Result<std::vector<std::string>> Store::directories() const {
  if (!dir().valid()) return std::vector<std::string>{};
  auto all = list_directory(dir());
  if (!all) return fail({}, concat("cannot list ", path_), all.error().code);
  std::erase_if(*all, [&](const std::string& name) {
    const std::string_view rest = name;
    return !ContainerName::parse(rest.starts_with('.') ? rest.substr(1, rest.find('.', 1) - 1)
                                                       : rest);
  });
  return all;
}

Result<Container> Store::open_unfinished(std::string_view name,
                                         const std::string& directory) const {
  auto opened = dir().valid()
                    ? open_at(dir().get(), directory.c_str(), kDirectory | O_NOFOLLOW, kBelow)
                    : Result<Fd>(fail({}, "", ENOENT));
  if (!opened) return fail({}, concat("cannot open ", path_, "/", directory), opened.error().code);
  auto path = concat(path_, "/", directory);
  TRY(check_owner(*opened, path));
  return Container(std::string(name), std::move(path), std::move(*opened));
}

bool Store::is_free(std::string_view name) const {
  const auto good = container_name(name);
  if (!good) return false;
  struct stat facts{};
  return !dir().valid() ||
         (::fstatat(dir().get(), good->c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0 &&
          errno == ENOENT);
}

Result<Container> Store::find(std::string_view name) const {
  const auto good = TRY(container_name(name));
  auto container = open_unfinished(good, good);
  if (container || !is_free(good)) return container;
  std::vector<std::string_view> known;
  const auto all = names();
  if (all) known.assign(all->begin(), all->end());
  const auto meant = did_you_mean(name, known);
  return fail({}, concat("there is no container ", quoted(name), " in ", path_,
                         meant.empty() ? "; userns-run list shows which there are" : meant));
}

}  // namespace userns::frontend
