#include "frontend/shift/walk.h"

#include <dirent.h>
#include <linux/openat2.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "policy/text.h"
#include "policy/try.h"

namespace userns::shift {

// Its fd is open as long as names in it wait to be walked, within the budget.
class Branch {
 public:
  Branch(std::shared_ptr<Branch> parent, std::string name, const Facts& facts,
         std::shared_ptr<const Fd> fd)
      : parent_(std::move(parent)),
        name_(std::move(name)),
        seen_{.key = facts.key, .modified = facts.modified},
        fd_(std::move(fd)) {}
  Branch(const Branch&) = delete;
  Branch& operator=(const Branch&) = delete;
  ~Branch() {
    // One after the other: a chain of them is as long as the tree is deep.
    for (auto next = std::move(parent_); next && next.use_count() == 1;)
      next = std::exchange(next->parent_, nullptr);
  }

  [[nodiscard]] const Branch* parent() const { return parent_.get(); }
  [[nodiscard]] const std::shared_ptr<Branch>& shared_parent() const { return parent_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] InodeKey key() const { return seen_.key; }
  [[nodiscard]] const Seen& seen() const { return seen_; }
  [[nodiscard]] std::shared_ptr<const Fd> open_fd() const {
    const std::scoped_lock lock(mutex_);
    return fd_;
  }
  void keep(std::shared_ptr<const Fd> fd) {
    const std::scoped_lock lock(mutex_);
    fd_ = std::move(fd);
  }
  // How many still need the fd.
  std::atomic<std::size_t> waiting{1};

 private:
  std::shared_ptr<Branch> parent_;
  std::string name_;
  Seen seen_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Fd> fd_;
};

namespace {

std::string path_of(const Branch* parent, std::string_view name) {
  std::string path(name);
  for (; parent != nullptr && parent->parent() != nullptr; parent = parent->parent())
    path = concat(parent->name(), "/", path);
  return path.empty() ? "." : path;
}

constexpr std::size_t kBatch = 256;  // names that one thread takes of a large directory
constexpr std::size_t kEntries = std::size_t{32} * 1024;  // of getdents64(2), bytes
constexpr std::size_t kStride = 64;         // levels between those of a long way that are kept open
constexpr std::size_t kLongestPath = 4000;  // PATH_MAX is 4096
constexpr int kMoved = ESTALE;
constexpr auto kTick = std::chrono::milliseconds(100);

struct Name {
  std::string text;
  std::uint64_t inode = 0;
};

struct Item {
  std::shared_ptr<Branch> branch;
  std::vector<Name> names;
  bool is_directory = false;  // as far as its directory says
};

class Walk {
 public:
  Walk(const Fd& root, const WalkWishes& wishes, const WalkHooks& hooks)
      : root_(root), wishes_(wishes), hooks_(hooks), budget_(fd_budget()) {}
  bool run();

 private:
  static std::size_t fd_budget();
  void work();
  bool work_alone();
  bool work_with(unsigned jobs);
  bool take(Item& item);
  void give(Item item);
  void do_item(const Item& item);
  void do_name(const std::shared_ptr<Branch>& branch, int directory, const Name& listed,
               bool may_enter);
  [[nodiscard]] bool is_done(const Branch& branch, int directory, const Name& listed) const;
  void enter(const std::shared_ptr<Branch>& parent, const std::string& name, const Facts& facts,
             const Fd& held);
  void read(const std::shared_ptr<Branch>& branch, const Fd& fd);
  Result<std::shared_ptr<const Fd>> open_again(const std::shared_ptr<Branch>& branch);
  std::shared_ptr<const Fd> counted(Fd fd);
  void keep(const std::shared_ptr<Branch>& branch, std::shared_ptr<const Fd> fd);
  static void release(Branch& branch);
  void failed(const Branch* parent, std::string_view name, const Error& error) const;

  const Fd& root_;
  const WalkWishes& wishes_;
  const WalkHooks& hooks_;
  const std::size_t budget_;
  std::atomic<std::size_t> kept_{0};
  std::mutex keeping_mutex_;
  std::deque<std::weak_ptr<Branch>> keeping_;  // the oldest first
  std::uint64_t mount_ = 0;
  std::uint64_t dev_ = 0;

  std::mutex mutex_;
  std::condition_variable more_;  // for the threads
  std::condition_variable over_;  // for the one that waits for them
  std::vector<Item> items_;       // the last first: deep before wide
  std::size_t busy_ = 0;          // threads that may still add items
  bool ended_ = false;
};

std::size_t Walk::fd_budget() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 64;
  return static_cast<std::size_t>(std::clamp<rlim_t>(limit.rlim_cur / 2, 8, 512));
}

void Walk::failed(const Branch* parent, std::string_view name, const Error& error) const {
  if (error.code == ENOENT || error.code == kMoved) return hooks_.gone();
  hooks_.failed(path_of(parent, name), error);
}

// fds of directories are counted as long as anybody has them.
std::shared_ptr<const Fd> Walk::counted(Fd fd) {
  kept_.fetch_add(1);
  return {new Fd(std::move(fd)), [this](const Fd* one) {
            kept_.fetch_sub(1);
            delete one;
          }};
}

// Above the budget the oldest ones go: the walk is deep where it is new.
void Walk::keep(const std::shared_ptr<Branch>& branch, std::shared_ptr<const Fd> fd) {
  branch->keep(std::move(fd));
  const std::scoped_lock lock(keeping_mutex_);
  keeping_.push_back(branch);
  while (kept_.load() > budget_ && keeping_.size() > 1) {
    if (const auto oldest = keeping_.front().lock()) oldest->keep(nullptr);
    keeping_.pop_front();
  }
  if (keeping_.size() > 4 * budget_)
    std::erase_if(keeping_, [](const std::weak_ptr<Branch>& weak) {
      const auto one = weak.lock();
      return !one || !one->open_fd();
    });
}

// By names from the nearest directory that is open. Some on the way stay open: the next one is
// mostly near.
Result<std::shared_ptr<const Fd>> Walk::open_again(const std::shared_ptr<Branch>& branch) {
  std::vector<std::shared_ptr<Branch>> chain;
  std::shared_ptr<const Fd> at;
  for (auto one = branch; one && !at; one = one->shared_parent()) {
    at = one->open_fd();
    if (!at) chain.push_back(one);
  }
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  if (!wishes_.cross_mounts) how.resolve |= RESOLVE_NO_XDEV;
  while (!chain.empty()) {
    std::string path;
    std::shared_ptr<Branch> to;
    for (std::size_t levels = 0; !chain.empty() && levels < kStride; ++levels) {
      if (path.size() + chain.back()->name().size() >= kLongestPath) break;
      path += path.empty() ? "" : "/";
      path += chain.back()->name();
      to = std::move(chain.back());
      chain.pop_back();
    }
    Fd next(static_cast<int>(::syscall(SYS_openat2, at->get(), path.c_str(), &how, sizeof how)));
    if (!next.valid()) return fail_errno("cannot be opened again");
    const auto facts = TRY(look({next.get(), ""}));
    if (facts.key != to->key()) return fail({}, "was moved while it was worked on", kMoved);
    at = counted(std::move(next));
    keep(to, at);
  }
  return at;
}

void Walk::release(Branch& branch) {
  if (branch.waiting.fetch_sub(1) == 1 && branch.parent() != nullptr) branch.keep(nullptr);
}

void Walk::give(Item item) {
  item.branch->waiting.fetch_add(1);
  const std::scoped_lock lock(mutex_);
  items_.push_back(std::move(item));
  more_.notify_one();
}

bool Walk::take(Item& item) {
  std::unique_lock lock(mutex_);
  --busy_;
  more_.wait(lock, [&] { return ended_ || !items_.empty() || busy_ == 0; });
  if (ended_ || items_.empty()) {
    ended_ = true;
    more_.notify_all();
    over_.notify_all();
    return false;
  }
  ++busy_;
  item = std::move(items_.back());
  items_.pop_back();
  return true;
}

// What is opened for reading stays this directory, whatever becomes of its name.
void Walk::enter(const std::shared_ptr<Branch>& parent, const std::string& name, const Facts& facts,
                 const Fd& held) {
  Fd opened(::openat(held.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened.valid()) {
    const int code = errno;
    failed(parent.get(), name,
           {.rule = {}, .code = code, .text = "cannot be opened, and what is in it is not done"});
    return;
  }
  const auto fd = counted(std::move(opened));
  const auto branch = std::make_shared<Branch>(parent, name, facts, nullptr);
  keep(branch, fd);
  read(branch, *fd);
  release(*branch);
}

// Without `may_enter` a directory becomes an item: a name that was a file's when it was read may be
// one by now.
void Walk::do_name(const std::shared_ptr<Branch>& branch, int directory, const Name& listed,
                   bool may_enter) {
  const auto& name = listed.text;
  Fd held;
  Spot spot{.at = directory, .name = name.c_str()};
  const auto grab = [&]() -> Result<void> {
    auto fd = TRY(hold(directory, name.c_str()));
    held = std::move(fd);
    spot = {.at = held.get(), .name = ""};
    return {};
  };
  if (wishes_.hold)
    if (auto grabbed = grab(); !grabbed) return failed(branch.get(), name, grabbed.error());
  auto facts = look(spot);
  if (facts && S_ISDIR(facts->mode) && !held.valid()) {
    if (auto grabbed = grab(); !grabbed) return failed(branch.get(), name, grabbed.error());
    facts = look(spot);
  }
  if (!facts) return failed(branch.get(), name, facts.error());
  if (S_ISDIR(facts->mode) && !may_enter)
    return give({.branch = branch, .names = {listed}, .is_directory = true});
  // Not the device where there are mounts to tell: an overlay's files are on other devices than its
  // directories.
  const bool other_mount = mount_ != 0 ? facts->mount != mount_ : facts->key.dev != dev_;
  if (other_mount && !wishes_.cross_mounts) return hooks_.mount(path_of(branch.get(), name));
  hooks_.found({.spot = spot,
                .named = {.at = directory, .name = name.c_str()},
                .facts = *facts,
                .parent = branch.get(),
                .name = name,
                .listed = listed.inode});
  if (S_ISDIR(facts->mode) && held.valid()) enter(branch, name, *facts, held);
}

bool Walk::is_done(const Branch& branch, int directory, const Name& listed) const {
  return hooks_.quick && hooks_.quick({.directory = directory,
                                       .name = listed.text.c_str(),
                                       .key = {.dev = branch.key().dev, .ino = listed.inode}});
}

void Walk::read(const std::shared_ptr<Branch>& branch, const Fd& fd) {
  std::vector<Name> files;
  alignas(dirent64) std::array<char, kEntries>
      buffer;  // NOLINT(*-member-init): filled by the kernel
  while (true) {
    const auto got = ::syscall(SYS_getdents64, fd.get(), buffer.data(), buffer.size());
    if (got < 0) {
      const int code = errno;
      failed(branch->parent(), branch->name(),
             {.rule = {}, .code = code, .text = "cannot be read to its end"});
    }
    if (got <= 0) break;
    for (long at = 0; at < got;) {
      const auto* const entry = reinterpret_cast<const dirent64*>(buffer.data() + at);
      at += entry->d_reclen;
      const std::string_view name(entry->d_name);
      if (name == "." || name == "..") continue;
      if (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN) {
        give(
            {.branch = branch, .names = {{std::string(name), entry->d_ino}}, .is_directory = true});
      } else {
        files.emplace_back(std::string(name), entry->d_ino);
        if (files.size() == kBatch) give({.branch = branch, .names = std::exchange(files, {})});
      }
    }
  }
  for (const auto& name : files)
    if (!is_done(*branch, fd.get(), name)) do_name(branch, fd.get(), name, false);
}

void Walk::do_item(const Item& item) {
  auto fd = item.branch->open_fd();
  if (!fd) {
    auto again = open_again(item.branch);
    if (!again) return failed(item.branch->parent(), item.branch->name(), again.error());
    fd = std::move(*again);
  }
  for (const auto& name : item.names)
    if (item.is_directory || !is_done(*item.branch, fd->get(), name))
      do_name(item.branch, fd->get(), name, true);
}

void Walk::work() {
  // A loop, and not a recursion of enter(): directories become items.
  for (Item item; take(item); item = {}) {
    do_item(item);
    release(*item.branch);
  }
}

bool Walk::run() {
  const auto facts = look({root_.get(), ""});
  if (!facts) {
    hooks_.failed(".", facts.error());
    return true;
  }
  mount_ = facts->mount;
  dev_ = facts->key.dev;
  busy_ = 1;
  const auto root = std::make_shared<Branch>(
      nullptr, "", *facts, std::shared_ptr<const Fd>(&root_, [](const Fd*) { /* the caller's */ }));
  hooks_.found({.spot = {root_.get(), ""},
                .named = {root_.get(), ""},
                .facts = *facts,
                .parent = nullptr,
                .name = "",
                .listed = 0});
  (void)::lseek(root_.get(), 0, SEEK_SET);
  read(root, root_);
  return wishes_.jobs < 2 ? work_alone() : work_with(wishes_.jobs);
}

// Without a thread: the kernel's dealings with fds are cheaper where nobody shares them.
bool Walk::work_alone() {
  auto next = std::chrono::steady_clock::now();
  for (Item item; take(item); item = {}) {
    if (const auto now = std::chrono::steady_clock::now(); now >= next) {
      next = now + kTick;
      if (hooks_.stop()) return false;
    }
    do_item(item);
    release(*item.branch);
  }
  return true;
}

bool Walk::work_with(unsigned jobs) {
  std::vector<std::thread> threads;
  busy_ = jobs;
  for (unsigned i = 0; i < jobs; ++i) threads.emplace_back([this] { work(); });
  bool stopped = false;
  std::unique_lock lock(mutex_);
  while (!over_.wait_for(lock, kTick, [&] { return ended_; })) {
    lock.unlock();
    stopped = hooks_.stop();
    lock.lock();
    if (stopped) ended_ = true;
  }
  more_.notify_all();
  lock.unlock();
  for (auto& thread : threads) thread.join();
  return !stopped;
}

}  // namespace

std::string Found::path() const { return path_of(parent, name); }

Seen Found::directory() const {
  return S_ISDIR(facts.mode) ? Seen{.key = facts.key, .modified = facts.modified} : parent->seen();
}

std::string Found::directory_path() const {
  return S_ISDIR(facts.mode) ? path() : path_of(parent->parent(), parent->name());
}

bool walk(const Fd& root, const WalkWishes& wishes, const WalkHooks& hooks) {
  return Walk(root, wishes, hooks).run();
}

}  // namespace userns::shift
