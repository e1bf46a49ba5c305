#include "frontend/shift/session.h"

#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <mutex>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "common/report.h"
#include "frontend/shift/inode.h"
#include "frontend/shift/log_text.h"
#include "frontend/shift/narrow.h"
#include "frontend/shift/plain_names.h"
#include "frontend/shift/undo_log.h"
#include "frontend/shift/walk.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::shift {
namespace {

using Act = ShiftWishes::Act;

constexpr std::uint32_t kSpecialBits = S_ISUID | S_ISGID;
constexpr int kMostPasses = 5;
// Of a tree in which fewer have the same owner, a walk of their own does not pay.
constexpr std::size_t kFewest = 64;
constexpr std::size_t kSmallestShare = 4;
constexpr std::size_t kMostShown = 10;  // failures that get a line of their own

struct KeyHash {
  std::size_t operator()(const InodeKey& key) const {
    return static_cast<std::size_t>(key.ino * 0x9e3779b97f4a7c15U ^ key.dev);
  }
};

// How many, and where the first is.
class Count {
 public:
  void add(const std::function<std::string()>& path) {
    const std::scoped_lock lock(mutex_);
    if (count_++ == 0) first_ = path();
  }
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] std::string first() const { return quoted(first_); }

 private:
  std::mutex mutex_;
  std::uint64_t count_ = 0;
  std::string first_;
};

// Going on is of no use: every further inode would fail as well.
bool is_fatal(int code) { return code == ENOSPC || code == EDQUOT || code == EROFS || code == EIO; }

std::string many(std::uint64_t count, std::string_view what) {
  return concat(count, " ", what, count == 1 ? "" : "s");
}

class Tree {
 public:
  Tree(std::string directory, const ShiftWishes& wishes, const ShiftHooks& hooks)
      : directory_(std::move(directory)), wishes_(wishes), hooks_(hooks) {}

  // Locks it and looks whether an earlier shift is unfinished.
  Result<void> open();
  // Fails where it could not be shifted wholly.
  Result<void> survey();
  Result<std::string> change();
  [[nodiscard]] std::string what_would_be() const;

 private:
  Result<void> open_log();
  Result<void> adopt(const LogContent& log);
  Result<void> lock_root();
  bool run(bool hold, const std::function<void(const Found&)>& found, std::string_view verb);
  bool should_stop(std::string_view verb, std::uint64_t met) const;
  bool claim(const Found& found);
  bool leaves(const Found& found);
  void fails(const std::string& path, const Error& error);

  void look_at(const Found& found);
  void look_closely(const Found& found, Attributes which);
  void note(const Found& found, const Facts& facts, const InodeState& state, const Shifted& after);
  [[nodiscard]] std::string_view impossible(const Facts& facts, const InodeState& state,
                                            const Shifted& after) const;
  void count_links();
  Result<void> verdict() const;

  void remember_plain(const Found& found, const InodeState& plain);
  bool change_plain();
  bool change_plain_of(const Owner& owner);
  [[nodiscard]] bool is_changed_plain(const Listed& listed) const;
  void do_one(const Found& found);
  Result<void> go(const Found& found, const InodeState& state);
  Result<void> go_back(const Found& found, const InodeState& state);
  Result<InodeState> aim(const InodeState& state, const OldState* old) const;
  Result<InodeState> aim_back(const InodeState& state, const OldState* old) const;
  Result<void> log_old(const Found& found, const InodeState& state);
  Result<void> log_done(const InodeKey& key);
  [[nodiscard]] const OldState* find_old(const Facts& facts) const;
  Result<void> begin();
  [[nodiscard]] std::string remarks() const;
  Result<std::string> finish(bool completed);
  [[nodiscard]] bool stays(const Error& error, const Facts& facts) const;

  std::string directory_;
  const ShiftWishes& wishes_;
  const ShiftHooks& hooks_;
  Shift host_shift_;  // as asked for
  Shift shift_;       // as seen here
  bool cross_mounts_ = false;
  Fd root_;
  Facts root_facts_;
  std::string log_path_;
  std::optional<UndoLog> log_;

  mutable std::mutex log_mutex_;
  std::map<InodeKey, OldState> old_;

  std::mutex links_mutex_;
  struct Links {
    std::uint64_t seen = 0;
    std::uint64_t all = 0;
  };
  std::unordered_map<InodeKey, Links, KeyHash> links_;

  std::mutex attributes_mutex_;
  std::unordered_set<InodeKey, KeyHash> with_attributes_;
  bool surveyed_ = false;

  // On the tree's own device, with nothing else to be changed.
  PlainNames plain_;
  std::vector<std::uint64_t> changed_plain_;  // numbers, sorted
  // Directories list what stat(2) says: their numbers can be relied on.
  std::atomic<bool> lists_numbers_{true};
  bool all_plain_ = false;  // each inode that there was is changed
  std::uint64_t with_names_elsewhere_ = 0;

  std::atomic<std::uint64_t> gone_{0};
  std::atomic<std::uint64_t> met_{0};
  std::atomic<std::uint64_t> to_change_{0};
  std::atomic<std::uint64_t> changed_{0};
  std::uint64_t total_ = 0;
  std::int64_t begun_ = 0;  // the survey; ns since the epoch
  Count foreign_;
  Count given_;
  Count devices_;
  Count mounts_;
  Count blocked_;
  std::string why_blocked_;
  std::mutex sample_mutex_;
  std::vector<std::string> sample_;

  std::mutex failure_mutex_;
  std::uint64_t failures_ = 0;
  std::string first_failure_;
  std::atomic<bool> fatal_{false};
};

// --- before anything --------------------------------------------------------------------------

// A shift that was killed holds its lock until its process in the narrow namespace has ended, too.
bool lock_soon(const Fd& directory) {
  constexpr int kTries = 50;
  for (int i = 0; i < kTries; ++i) {
    if (::flock(directory.get(), LOCK_EX | LOCK_NB) == 0) return true;
    if (errno != EWOULDBLOCK) return false;
    (void)::usleep(20'000);
  }
  errno = EWOULDBLOCK;
  return false;
}

Result<void> Tree::lock_root() {
  auto root = open_at(AT_FDCWD, directory_.c_str(), O_RDONLY | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
  if (!root && root.error().code == ENOTDIR)
    return fail({}, concat(quoted(directory_), " is not a directory"));
  if (!root) return fail({}, concat("cannot open ", quoted(directory_)), root.error().code);
  root_ = std::move(*root);
  auto facts = TRY(look({root_.get(), ""}));
  root_facts_ = facts;
  if (wishes_.dry_run) return {};
  if (!lock_soon(root_))
    return errno == EWOULDBLOCK ? fail({}, concat("another shift of ", quoted(directory_),
                                                  " is running, or someone holds a lock on it"))
                                : fail_errno(concat("cannot lock ", quoted(directory_)));
  struct statvfs system{};
  if (::fstatvfs(root_.get(), &system) == 0 && (system.f_flag & ST_RDONLY) != 0)
    return fail({}, concat(quoted(directory_), " is on a file system that is mounted read-only"));
  return {};
}

// The numbers of an interrupted shift are those to go on with.
Result<void> Tree::adopt(const LogContent& log) {
  const auto& head = log.head;
  if (head.root.ino != root_facts_.key.ino || head.root_born != root_facts_.born)
    return fail({}, concat("the undo log ", quoted(log_path_), " is of another directory than ",
                           quoted(directory_)));
  if (head.own_uid != wishes_.own_uid || head.own_gid != wishes_.own_gid)
    return fail({}, concat("the shift of ", quoted(directory_), " was begun by uid ", head.own_uid,
                           ", gid ", head.own_gid, ": only the same can go on or back"));
  host_shift_ = head.shift;
  cross_mounts_ = head.cross_mounts;
  for (const auto& [key, old] : log.old) {
    // A device may have another number after a reboot.
    const InodeKey now{.dev = key.dev == head.root.dev ? root_facts_.key.dev : key.dev,
                       .ino = key.ino};
    old_.insert_or_assign(now, old);
  }
  return {};
}

Result<void> Tree::open_log() {
  auto content = TRY(read_log(log_path_));
  if (wishes_.act == Act::kShift && content)
    return fail({}, concat("an earlier shift of ", quoted(directory_),
                           " is not finished: go on with userns-run shift --resume, "
                           "or back with --undo"));
  if (wishes_.act != Act::kShift && !content)
    return fail({}, concat("there is no unfinished shift of ", quoted(directory_), " (",
                           quoted(log_path_), " is not there)"));
  if (content)
    if (auto adopted = adopt(*content); !adopted) return adopted;
  if (wishes_.dry_run) return {};
  auto log = TRY(UndoLog::at(log_path_));
  const auto below = TRY(log.is_below(root_facts_.key));
  if (below)
    return fail({}, concat("the undo log ", quoted(log_path_),
                           " would be in the tree that is shifted: name another place with "
                           "--log FILE"));
  log_.emplace(std::move(log));
  return content ? log_->reopen(content->sound_bytes) : Result<void>{};
}

Result<void> Tree::open() {
  host_shift_ = wishes_.shift;
  cross_mounts_ = wishes_.cross_mounts;
  log_path_ = wishes_.log;
  if (auto locked = lock_root(); !locked) return locked;
  if (log_path_.empty()) {
    auto path = TRY(log_path(directory_, wishes_.in_namespace ? wishes_.own_uid : ::geteuid()));
    log_path_ = std::move(path);
  }
  if (auto opened = open_log(); !opened) return opened;
  shift_ = host_shift_;
  if (wishes_.in_namespace) {
    shift_.uids = as_seen(host_shift_.uids, wishes_.own_uid);
    shift_.gids = as_seen(host_shift_.gids, wishes_.own_gid);
  }
  return {};
}

// --- both walks -------------------------------------------------------------------------------

// False where it did not come to its end.
bool Tree::run(bool hold, const std::function<void(const Found&)>& found, std::string_view verb) {
  met_ = 0;
  gone_ = 0;
  links_.clear();
  const WalkHooks hooks{
      .quick = changed_plain_.empty()
                   ? std::function<bool(const Listed&)>{}
                   : [this](const Listed& listed) { return is_changed_plain(listed); },
      .found = found,
      .failed = [this](const std::string& path, const Error& error) { fails(path, error); },
      .mount =
          [this](const std::string& path) {
            if (!surveyed_) mounts_.add([&] { return path; });
          },
      .gone = [this] { gone_.fetch_add(1, std::memory_order_relaxed); },
      .stop = [&] { return should_stop(verb, met_); },
  };
  const bool ended =
      walk(root_, {.jobs = wishes_.jobs, .cross_mounts = cross_mounts_, .hold = hold}, hooks);
  if (hooks_.progress) hooks_.progress({});
  return ended && !fatal_;
}

bool Tree::should_stop(std::string_view verb, std::uint64_t met) const {
  if (hooks_.progress)
    hooks_.progress(concat(verb, " ", quoted(directory_), ": ", met,
                           total_ == 0 ? std::string{} : concat(" of ", total_)));
  return fatal_.load() || (hooks_.interrupted && hooks_.interrupted());
}

// Whether this is the first name of the inode.
bool Tree::claim(const Found& found) {
  if (found.facts.links < 2 || S_ISDIR(found.facts.mode)) {
    met_.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  const std::scoped_lock lock(links_mutex_);
  auto& links = links_[found.facts.key];
  links.all = found.facts.links;
  if (++links.seen > 1) return false;
  met_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

// A device is the host's: it is given to no id of a container's. Back it goes whatever an earlier
// version has made of it.
bool Tree::leaves(const Found& found) {
  if (!found.facts.device || wishes_.act == Act::kUndo) return false;
  if (!surveyed_) devices_.add([&] { return found.path(); });
  return true;
}

void Tree::fails(const std::string& path, const Error& error) {
  const std::scoped_lock lock(failure_mutex_);
  if (failures_++ == 0) first_failure_ = concat(quoted(path), ": ", to_text(error));
  if (failures_ <= kMostShown)
    hooks_.warn(
        {.rule = error.rule, .code = error.code, .text = concat(quoted(path), ": ", error.text)});
  if (is_fatal(error.code)) fatal_ = true;
}

// --- the survey -------------------------------------------------------------------------------

void Tree::look_at(const Found& found) {
  if (!claim(found) || leaves(found)) return;
  const auto& facts = found.facts;
  const auto which = attributes(found.spot, facts.mode);
  if (!which) {
    if (which.error().code != ENOENT) fails(found.path(), which.error());
    return;
  }
  const InodeState plain{.uid = facts.uid, .gid = facts.gid, .mode = facts.mode};
  if (which->any() || plain.is_fragile() || shift_.uids.gives(facts.uid) ||
      shift_.gids.gives(facts.gid))
    return look_closely(found, *which);
  const auto after = shifted(plain, shift_);
  if (!after) return;
  note(found, facts, plain, *after);
  if (after->state != plain && !wishes_.dry_run) remember_plain(found, plain);
}

void Tree::remember_plain(const Found& found, const InodeState& plain) {
  if (found.facts.key.dev != root_facts_.key.dev) return;
  if (found.listed != 0 && found.listed != found.facts.key.ino) lists_numbers_ = false;
  plain_.add(found.directory(), [&] { return found.directory_path(); },
             {.owner = {.uid = plain.uid, .gid = plain.gid},
              .inode = found.facts.key.ino,
              .name = S_ISDIR(plain.mode) ? "" : found.name});
}

// What goes into the log is read of one inode, and not of whatever has its name.
void Tree::look_closely(const Found& found, Attributes which) {
  const auto held = hold(found.named.at, found.named.name[0] == '\0' ? "." : found.named.name);
  const auto facts = held ? look({held->get(), ""}) : Result<Facts>(std::unexpected(held.error()));
  if (!facts || facts->key != found.facts.key)
    return;  // it was replaced: the change will look again
  const auto state = read_state({held->get(), ""}, *facts, which);
  if (!state && stays(state.error(), *facts)) return foreign_.add([&] { return found.path(); });
  const auto after =
      state ? shifted(*state, shift_) : Result<Shifted>(std::unexpected(state.error()));
  if (!after) return fails(found.path(), after.error());
  if (which.any()) {
    const std::scoped_lock lock(attributes_mutex_);
    with_attributes_.insert(facts->key);
  }
  note(found, *facts, *state, *after);
  const bool is_fragile = state->is_fragile() && !state->same_owner(after->state);
  if (after->tally.given == 0 && !is_fragile) return;
  const std::scoped_lock lock(log_mutex_);
  old_.insert_or_assign(facts->key, OldState{.born = facts->born, .state = *state, .done = false});
}

// Capabilities that can't be read, of a file that is not ours to change anyway.
bool Tree::stays(const Error& error, const Facts& facts) const {
  return error.code == EOVERFLOW && shift_.uids.of(facts.uid) == facts.uid &&
         shift_.gids.of(facts.gid) == facts.gid;
}

std::string_view Tree::impossible(const Facts& facts, const InodeState& state,
                                  const Shifted& after) const {
  if (facts.fixed)
    return "is immutable or append-only (lsattr(1) shows it): take that away with chattr -i -a "
           "first";
  if (!wishes_.in_namespace) return {};
  const auto mapped = [](const IdShift& ids, std::uint32_t id) {
    return id == 0 || ids.takes(id) || ids.gives(id);
  };
  if (!mapped(shift_.uids, state.uid) || !mapped(shift_.gids, state.gid))
    return "has an owner or a group that is not among the ids of this shift: only root can change "
           "the other";
  if (after.tally.unmapped > 0)
    return "has an ACL with ids that are not the caller's: only root can change it";
  return {};
}

void Tree::note(const Found& found, const Facts& facts, const InodeState& state,
                const Shifted& after) {
  if (after.tally.foreign + after.tally.unmapped > 0) foreign_.add([&] { return found.path(); });
  if (after.tally.given > 0) given_.add([&] { return found.path(); });
  if (after.state == state) return;
  to_change_.fetch_add(1, std::memory_order_relaxed);
  if (const auto why = impossible(facts, state, after); !why.empty())
    blocked_.add([&] {
      why_blocked_ = why;
      return found.path();
    });
  if (!wishes_.dry_run) return;
  const std::scoped_lock lock(sample_mutex_);
  if (sample_.size() < kMostShown)
    sample_.push_back(concat("  ", quoted(found.path()), " ", state.uid, ":", state.gid, " -> ",
                             after.state.uid, ":", after.state.gid));
}

Result<void> Tree::verdict() const {
  if (failures_ > 0)
    return fail(
        {}, concat("nothing was changed: of ", quoted(directory_), " ", many(failures_, "place"),
                   " could not be looked at, the first is ", first_failure_));
  if (blocked_.count() > 0)
    return fail({}, concat("nothing was changed: ", many(blocked_.count(), "inode"), " of ",
                           quoted(directory_), " cannot be shifted; ", blocked_.first(), " ",
                           why_blocked_));
  if (wishes_.strict && foreign_.count() + given_.count() > 0)
    return fail({},
                concat("nothing was changed: ", many(foreign_.count() + given_.count(), "inode"),
                       " of ", quoted(directory_), " with ids outside of --from, the first is ",
                       foreign_.count() > 0 ? foreign_.first() : given_.first(),
                       "; without --strict they are left alone"));
  return {};
}

Result<void> Tree::survey() {
  begun_ = std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()).count();
  if (!run(false, [this](const Found& found) { look_at(found); }, "looking at") && !fatal_)
    return fail({}, concat("interrupted: nothing was changed in ", quoted(directory_)), EINTR);
  surveyed_ = true;
  total_ = met_;
  count_links();
  return verdict();
}

// Of inodes with more names than were met.
void Tree::count_links() {
  for (const auto& [key, links] : links_)
    if (links.seen < links.all) ++with_names_elsewhere_;
}

// --- the change -------------------------------------------------------------------------------

Result<void> Tree::begin() {
  const LogHead head{.own_uid = wishes_.own_uid,
                     .own_gid = wishes_.own_gid,
                     .cross_mounts = cross_mounts_,
                     .shift = host_shift_,
                     .root = root_facts_.key,
                     .root_born = root_facts_.born};
  std::string text = print_head(head, old_.size());
  for (const auto& [key, old] : old_) text += print_old(key, old);
  return log_->create(text);
}

const OldState* Tree::find_old(const Facts& facts) const {
  const std::scoped_lock lock(log_mutex_);
  const auto found = old_.find(facts.key);
  // References to elements stay good; each inode is one thread's (claim()).
  return found == old_.end() || found->second.born != facts.born ? nullptr : &found->second;
}

Result<void> Tree::log_old(const Found& found, const InodeState& state) {
  const std::scoped_lock lock(log_mutex_);
  OldState old{.born = found.facts.born, .state = state, .done = false};
  if (auto kept = log_->append(print_old(found.facts.key, old), true); !kept) return kept;
  old_.insert_or_assign(found.facts.key, std::move(old));
  return {};
}

Result<void> Tree::log_done(const InodeKey& key) {
  const std::scoped_lock lock(log_mutex_);
  if (auto kept = log_->append(print_done(key), false); !kept) return kept;
  old_[key].done = true;
  return {};
}

// Where the owner has changed and nothing says that the rest was given back, the log knows better.
Result<InodeState> Tree::aim(const InodeState& state, const OldState* old) const {
  auto after = TRY(shifted(state, shift_));
  if (old == nullptr || old->done || !old->state.is_fragile()) return std::move(after.state);
  const auto meant = TRY(shifted(old->state, shift_));
  if (old->state.same_owner(meant.state) || !state.same_owner(meant.state))
    return std::move(after.state);
  after.state.mode = (state.mode & ~kSpecialBits) | (old->state.mode & kSpecialBits);
  after.state.capability = meant.state.capability;
  return std::move(after.state);
}

Result<void> Tree::go(const Found& found, const InodeState& state) {
  const auto* old = find_old(found.facts);
  const auto target = TRY(aim(state, old));
  const bool logged = old != nullptr && old->state.is_fragile();
  if (target == state)
    return logged && !old->done && !state.same_owner(old->state) ? log_done(found.facts.key)
                                                                 : Result<void>{};
  const bool chowns = !state.same_owner(target);
  const bool fragile = chowns && state.is_fragile();
  if (fragile && (!logged || old->done || old->state != state))
    if (auto kept = log_old(found, state); !kept) return kept;
  if (auto made = make(found.spot, state, target); !made) return made;
  changed_.fetch_add(1, std::memory_order_relaxed);
  return fragile || logged ? log_done(found.facts.key) : Result<void>{};
}

Result<InodeState> Tree::aim_back(const InodeState& state, const OldState* old) const {
  auto before = shifted(state, shift_.reversed());
  if (!before || old == nullptr)
    return before ? Result<InodeState>(std::move(before->state)) : std::unexpected(before.error());
  const auto meant = TRY(shifted(old->state, shift_));
  const bool ours = (state.uid == old->state.uid || state.uid == meant.state.uid) &&
                    (state.gid == old->state.gid || state.gid == meant.state.gid);
  if (!ours)
    return fail({},
                "has another owner than it had, or than the shift gave it: it is left as it is");
  InodeState target = old->state;
  target.mode = state.mode;
  // An ACL that was changed since is nobody's old one.
  if (state.access_acl != old->state.access_acl && state.access_acl != meant.state.access_acl)
    target.access_acl = before->state.access_acl;
  if (state.default_acl != old->state.default_acl && state.default_acl != meant.state.default_acl)
    target.default_acl = before->state.default_acl;
  if (!old->done) target.mode = (state.mode & ~kSpecialBits) | (old->state.mode & kSpecialBits);
  if (old->done && state.capability.empty()) target.capability.clear();
  return target;
}

Result<void> Tree::go_back(const Found& found, const InodeState& state) {
  const auto* const old = find_old(found.facts);
  const auto target = TRY(aim_back(state, old));
  if (target == state) return {};
  const bool fragile = !state.same_owner(target) && target.is_fragile();
  if (fragile && (old == nullptr || old->done || old->state != target))
    if (auto kept = log_old(found, target); !kept) return kept;
  if (auto made = make(found.spot, state, target); !made) return made;
  changed_.fetch_add(1, std::memory_order_relaxed);
  return {};
}

// Most of a tree has one owner. In a tree with devices or mounts, a name must be looked at: neither
// may be changed, not even if it is moved meanwhile.
bool Tree::change_plain() {
  if (devices_.count() > 0 || mounts_.count() > 0 || !plain_.share()) return true;
  for (const auto& [owner, count] : plain_.owners())
    if (count >= std::max(kFewest, total_ / kSmallestShare) && !change_plain_of(owner)) {
      changed_ = plain_.news().changed.load();
      return false;
    }
  changed_ = plain_.news().changed.load();
  all_plain_ = !plain_.news().left && changed_ == total_;
  if (!all_plain_ && lists_numbers_) changed_plain_ = plain_.changed();
  return true;
}

bool Tree::change_plain_of(const Owner& owner) {
  const NarrowWork work{.from = owner,
                        .to = {.uid = shift_.uids.of(owner.uid), .gid = shift_.gids.of(owner.gid)},
                        .begun = begun_,
                        .jobs = wishes_.jobs};
  const auto stop = [this] { return should_stop("shifting", plain_.news().changed.load()); };
  const auto done = change_in_narrow_namespace(root_, work, plain_, stop);
  if (!done) plain_.news().left = true;  // the careful way does all of it
  return !done || *done;
}

bool Tree::is_changed_plain(const Listed& listed) const {
  return listed.key.dev == root_facts_.key.dev &&
         std::ranges::binary_search(changed_plain_, listed.key.ino);
}

void Tree::do_one(const Found& found) {
  if (!claim(found) || leaves(found)) return;
  const auto& facts = found.facts;
  // By name is faster, and enough to find that there are none where the survey has found none
  // either.
  auto which = surveyed_ && !S_ISDIR(facts.mode) ? attributes(found.named, facts.mode)
                                                 : attributes(found.spot, facts.mode);
  bool closely = !which || which->any();
  if (surveyed_ && !closely && !S_ISDIR(facts.mode)) {
    const std::scoped_lock lock(attributes_mutex_);
    closely = with_attributes_.contains(facts.key);
  }
  if (closely) which = attributes(found.spot, facts.mode);
  if (!which) return fails(found.path(), which.error());
  const auto state = read_state(found.spot, facts, *which);
  if (!state && stays(state.error(), facts)) return;
  if (!state) return fails(found.path(), state.error());
  const auto done = wishes_.act == Act::kUndo ? go_back(found, *state) : go(found, *state);
  if (!done) fails(found.path(), done.error());
}

Result<std::string> Tree::finish(bool completed) {
  const bool back = wishes_.act == Act::kUndo;
  const std::string_view how = "go on with userns-run shift --resume, or back with --undo";
  if (!completed && !fatal_)
    return fail({},
                concat("interrupted: ", many(changed_, "inode"), " of ", quoted(directory_), " ",
                       changed_ == 1 ? "is" : "are", back ? " shifted back" : " shifted",
                       ", others not; ", how),
                EINTR);
  if (failures_ > 0)
    return fail({},
                concat(quoted(directory_), " is shifted only in part: ", many(failures_, "failure"),
                       ", the first is ", first_failure_, "; once the cause is gone, ", how));
  if (gone_ > 0)
    return fail({},
                concat(quoted(directory_), " kept changing: in each of ", kMostPasses,
                       " passes something was moved or taken away; stop what uses it, then ", how));
  if (log_->device() != root_facts_.key.dev && ::syncfs(root_.get()) != 0)
    return fail_errno(concat("cannot write ", quoted(directory_), " to its disk; ", how));
  TRY(log_->remove());
  return concat(quoted(directory_), ": ", many(changed_, "inode"),
                back ? " shifted back" : " shifted", remarks(), "\n");
}

Result<std::string> Tree::change() {
  if (surveyed_ && to_change_ == 0) return what_would_be();
  if (surveyed_) TRY(begin());
  const auto one = [this](const Found& found) { do_one(found); };
  bool completed = !surveyed_ || change_plain();
  if (hooks_.progress) hooks_.progress({});
  if (!completed || all_plain_) return finish(completed);
  // Again where something was moved: what is done already is not done twice.
  for (int pass = 0; pass < kMostPasses; ++pass) {
    completed = run(true, one, wishes_.act == Act::kUndo ? "shifting back" : "shifting");
    if (!completed || failures_ > 0 || gone_ == 0) break;
  }
  return finish(completed);
}

// What is worth knowing beside the number of those that were to be shifted.
std::string Tree::remarks() const {
  std::string text;
  if (given_.count() > 0)
    text += concat(", ", given_.count(), " with ids of --to before (", given_.first(), ")");
  if (foreign_.count() > 0)
    text += concat(", ", foreign_.count(), " with ids outside of --from left alone (",
                   foreign_.first(), ")");
  if (devices_.count() > 0)
    text += concat(", ", many(devices_.count(), "device"), " left alone (", devices_.first(), ")");
  if (mounts_.count() > 0)
    text += concat(", ", many(mounts_.count(), "mount"), " not entered (", mounts_.first(), ")");
  if (with_names_elsewhere_ > 0)
    text += concat(", ", with_names_elsewhere_, " with hard links outside of it");
  return text;
}

std::string Tree::what_would_be() const {
  std::string text =
      concat(quoted(directory_), ": ", many(total_, "inode"), ", ", to_change_.load(),
             wishes_.dry_run ? " would be shifted" : " to shift", remarks(), "\n");
  for (const auto& line : sample_) text += line + "\n";
  if (wishes_.dry_run && to_change_ > sample_.size()) text += "  ...\n";
  return text;
}

}  // namespace

Result<std::string> shift_trees(const std::vector<std::string>& directories,
                                const ShiftWishes& wishes, const ShiftHooks& hooks) {
  std::vector<std::unique_ptr<Tree>> trees;
  const bool surveys = wishes.act == Act::kShift || wishes.dry_run;
  for (const auto& directory : directories) {
    trees.push_back(std::make_unique<Tree>(directory, wishes, hooks));
    TRY(trees.back()->open());
  }
  for (const auto& tree : trees) TRY(surveys ? tree->survey() : Result<void>{});
  std::string text;
  for (const auto& tree : trees) {
    auto done = TRY(wishes.dry_run ? Result<std::string>(tree->what_would_be()) : tree->change());
    text += done;
  }
  return text;
}

}  // namespace userns::shift
