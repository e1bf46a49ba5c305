// Named containers on disk. A store is a directory of the caller's; each container is a directory
// in it:
//
//   PATH/NAME/       mode 0700, the caller's: the container's own root cannot get here
//     config         see frontend/spec/config_file.h
//     rootfs/        the container's root file system, owned by its ids; none where `rootfs = DIR`
//     was adopted upper/ work/   of a snapshot, instead: what differs from its base's files lock
//     flock(2): verbs that change something take turns state log socket   the monitor's
//   PATH/.NAME.new-XXXXXX    being made       both are litter where their lock is free
//   PATH/.NAME.gone-XXXXXX   being deleted    (frontend/store/unfinished.h)
//
// PATH is --path, or $XDG_DATA_HOME/userns, or ~/.local/share/userns.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/fd.h"
#include "frontend/spec/config_file.h"
#include "frontend/spec/spec.h"
#include "policy/error.h"

namespace userns::frontend {

// The one verb that may change the container now. Freed when the last process that has the fd
// closes it: it is close-on-exec, and a fork that lives on (the monitor) says leave() first.
class Lock {
 public:
  explicit Lock(Fd file) : file_(std::move(file)) {}
  // Gives it up; in a fork: the lock is the parent's alone.
  void leave() { file_.reset(); }
  [[nodiscard]] const Fd& file() const { return file_; }

 private:
  Fd file_;
};

// A snapshot of a snapshot, and so on. One layer of an overlay each.
inline constexpr std::size_t kMostBases = 8;

class Container {
 public:
  [[nodiscard]] const std::string& name() const { return name_; }
  // Absolute; for messages, and for what has to be opened anew by name. Files are reached by dir().
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const Fd& dir() const { return *dir_; }  // O_DIRECTORY, not O_PATH

  // Another one of the same store.
  [[nodiscard]] Result<Container> beside(std::string_view name) const;

  // Waits for its turn; after a second it says on stderr who has it. Fails where the container was
  // destroyed meanwhile.
  [[nodiscard]] Result<Lock> lock() const;
  // Nothing where another has it for longer than that.
  [[nodiscard]] Result<std::optional<Lock>> lock_within(std::chrono::milliseconds time) const;
  [[nodiscard]] Result<std::optional<Lock>> try_lock() const;

  // Its own file, without what is included.
  [[nodiscard]] Result<ConfigFile> config() const;
  // With what it includes and the user's $XDG_CONFIG_HOME/userns/default.conf.
  [[nodiscard]] Result<ContainerConfig> settings() const;
  // The holder of the lock may. Nothing is checked but that it can be read back.
  [[nodiscard]] Result<void> write_config(const Lock& lock, const ConfigFile& config) const;

  // What the config would come to if it were its own.
  [[nodiscard]] Result<ContainerConfig> settings(const ConfigFile& own) const;
  [[nodiscard]] Result<Spec> spec(const ConfigFile& own,
                                  std::span<const std::string> extra = {}) const;

  // The containers whose files a snapshot shows, the nearest first; the last one is not a snapshot.
  // None where it is none itself. Fails where there are too many.
  [[nodiscard]] Result<std::vector<Container>> bases(const ConfigFile& own) const;

  // What to start: settings() and `extra` words ("--key=value") over them. Without a `rootfs` of
  // its own the root file system is that in path(), or, of a snapshot, the bases' with the changes
  // in path(); without a `hostname`, the host name is the container's. spec.command is that of the
  // config file: empty where that has none.
  [[nodiscard]] Result<Spec> spec(std::span<const std::string> extra = {}) const;

 private:
  friend class Store;
  Container(std::string name, std::string path, Fd dir)
      : name_(std::move(name)),
        path_(std::move(path)),
        dir_(std::make_shared<Fd>(std::move(dir))) {}
  std::string name_;
  std::string path_;
  std::shared_ptr<const Fd> dir_;  // a Container is copied like a name
};

// What a config would come to for a container that is not there yet; what it includes is beside
// `path`.
Result<ContainerConfig> settings_of(const ConfigFile& own, const std::string& path);
Result<Spec> spec_of(const ConfigFile& own, const std::string& path,
                     std::span<const std::string> extra = {});

// "web", or why not.
Result<std::string> container_name(std::string_view text);

class Store {
 public:
  // `path`: --path. Makes nothing: where the directory is missing, the store is empty.
  static Result<Store> open(std::optional<std::string_view> path);
  // The same, made where it is missing.
  static Result<Store> open_or_make(std::optional<std::string_view> path);

  [[nodiscard]] const std::string& path() const { return path_; }  // absolute
  [[nodiscard]] const Fd& dir() const {
    return *dir_;
  }  // not valid() where the directory is missing

  [[nodiscard]] Result<Container> find(std::string_view name) const;
  // Neither a container nor anything else has this name, which is one for a container.
  [[nodiscard]] bool is_free(std::string_view name) const;
  // Sorted.
  [[nodiscard]] Result<std::vector<std::string>> names() const;
  // The names of all containers and of those that are unfinished (frontend/store/unfinished.h).
  [[nodiscard]] Result<std::vector<std::string>> directories() const;
  // A directory of the store that is not a finished container (".web.new-x4Gk2a").
  [[nodiscard]] Result<Container> open_unfinished(std::string_view name,
                                                  const std::string& directory) const;

 private:
  Store(std::string path, Fd dir)
      : path_(std::move(path)), dir_(std::make_shared<Fd>(std::move(dir))) {}
  std::string path_;
  std::shared_ptr<const Fd> dir_;
};

// $XDG_DATA_HOME/userns or ~/.local/share/userns.
Result<std::string> default_store_path();

}  // namespace userns::frontend
