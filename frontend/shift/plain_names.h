// The names of a tree's plain inodes: those of which chown(2) takes nothing but owner and group,
// because the survey found neither special bits nor ACLs nor capabilities.
//
// The survey writes them down, directory by directory, so that the change reads no directory again.
// What becomes of them meanwhile is not known here: a name is where to look, never what is there.
#pragma once

#include <atomic>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "frontend/shift/state.h"
#include "policy/error.h"

namespace userns::shift {

struct Owner {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  friend auto operator<=>(const Owner&, const Owner&) = default;
};

class PlainNames {
 public:
  struct Plain {
    Owner owner;
    std::uint64_t inode = 0;
    std::string_view name;  // good until the next one is written down
  };
  // Names of one directory, in the order in which they were met.
  struct Run {
    std::string path;  // from the tree's own directory on; "." for itself
    Seen directory;
    std::size_t begin = 0;  // in the text
    std::size_t count = 0;
    std::size_t first_mark = 0;
  };

  // Called by several threads. `path` is asked for only where a directory begins. What finds no
  // room, or would need a path that is too long, is not written down.
  void add(const Seen& directory, const std::function<std::string()>& path, const Plain& plain);

  // --- when all are written down ---
  [[nodiscard]] std::size_t count() const;
  [[nodiscard]] std::map<Owner, std::size_t> owners() const;
  // The marks of a fork are seen here. Fails where there is no memory for them.
  Result<void> share();
  [[nodiscard]] std::size_t runs() const;
  // Calls `one` with each name of the run and the number of its mark, until it returns false. An
  // empty name: the directory itself.
  bool each(std::size_t run,
            const std::function<bool(const Plain& plain, std::size_t mark)>& one) const;
  [[nodiscard]] const Run& run(std::size_t number) const;
  void set_changed(std::size_t mark) { marks()[mark].store(true, std::memory_order_relaxed); }
  // The inode numbers of those that are marked, sorted.
  [[nodiscard]] std::vector<std::uint64_t> changed() const;

  // What a fork that changes them says meanwhile, and is told.
  struct News {
    std::atomic<std::uint64_t> changed;
    std::atomic<bool> left;  // something was met that was not changed
    std::atomic<bool> stop;
  };
  [[nodiscard]] News& news() { return *reinterpret_cast<News*>(shared_.get()); }

 private:
  struct Part {  // of one thread
    std::thread::id thread;
    std::string text;  // for each name: owner's place, inode number, name, NUL
    std::vector<Run> runs;
    std::vector<std::pair<Owner, std::size_t>> owners;
  };
  struct Unmap {
    std::size_t size;
    void operator()(std::byte* memory) const;
  };
  static constexpr std::size_t kHead = 64;
  static_assert(sizeof(News) <= kHead && std::atomic<bool>::is_always_lock_free);
  Part& part_of_this_thread();
  [[nodiscard]] std::pair<const Part*, const Run*> find(std::size_t run) const;
  [[nodiscard]] std::atomic<bool>* marks() const {
    return reinterpret_cast<std::atomic<bool>*>(shared_.get() + kHead);
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<Part>> parts_;
  std::unique_ptr<std::byte, Unmap> shared_{nullptr, Unmap{0}};
};

}  // namespace userns::shift
