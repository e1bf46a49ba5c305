#include "frontend/policy_tool/check_around.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "common/list_directory.h"
#include "common/policy_files.h"
#include "common/subid_source.h"
#include "frontend/policy_tool/check/checks.h"
#include "frontend/policy_tool/check/free_range.h"
#include "frontend/policy_tool/check/living_ids.h"
#include "frontend/policy_tool/check/subid_change.h"
#include "frontend/policy_tool/host_facts.h"
#include "frontend/policy_tool/lock.h"
#include "frontend/policy_tool/tool.h"
#include "frontend/spec/user_database.h"
#include "policy/idmap.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

struct Around {
  const std::string& root;
  const HostFacts& facts;
  std::vector<Finding> found;

  void say(Severity severity, std::string_view id, std::string file, std::string what,
           std::string why, std::string fix) {
    auto& f = found.emplace_back();
    f.severity = severity;
    f.id = id;
    f.file = std::move(file);
    f.what = std::move(what);
    f.why = std::move(why);
    f.fix = std::move(fix);
  }

  [[nodiscard]] bool is_there(PolicyFile kind) const {
    const auto file = open_below(root, installed_path(kind));
    return file || file.error().code != ENOENT;
  }

  void check_pair() {
    const bool has_uids = is_there(PolicyFile::kSubuid), has_gids = is_there(PolicyFile::kSubgid);
    if (has_uids == has_gids) return;
    const auto missing =
        concat(root, installed_path(has_uids ? PolicyFile::kSubgid : PolicyFile::kSubuid));
    say(Severity::kWarning, "missing", missing, "is not there, and the other of the two is",
        concat("nobody has ", has_uids ? "gids" : "uids", ", and a container needs both"),
        concat("touch ", missing, " && chmod 644 ", missing, ", then userns-policy grant"));
  }

  // The helpers' own question, for whoever runs check.
  void check_source() {
    if (!root.empty() || nss_subid_source(text_of("/etc/nsswitch.conf")) == "files") return;
    const Uid uid{::getuid()};
    const auto asked = find_subids(IdKind::kUid, login_name(uid).value_or(""), uid);
    if (!asked)
      say(Severity::kError, "source", "/etc/nsswitch.conf", asked.error().text,
          concat("newuidmap and newgidmap refuse everybody (", asked.error().rule, ")"),
          "install the module, or write subid: files");
  }

  // Of the size that useradd gives.
  void check_room(const IdFacts& ids, IdKind kind) {
    if (ids.deterministic || ids.block == 0) return;
    const auto path =
        installed_path(kind == IdKind::kUid ? PolicyFile::kSubuid : PolicyFile::kSubgid);
    const auto text = text_of(path, root);
    auto taken = taken_ids(ids, text, kind);
    std::ranges::move(ranges_by_shadow(text), std::back_inserter(taken));
    if (find_free(ids.block, ids.delegable, std::move(taken))) return;
    say(Severity::kWarning, "exhausted", concat(root, path),
        concat("no ", ids.block, " ids in a row are free in ", to_text(ids.delegable), ", ",
               ids.delegable_name),
        "the next user gets none from userns-policy grant, and may get another's from useradd",
        concat("widen ", ids.delegable_name,
               " in login.defs, or revoke ids of users who are gone"));
  }

  void check_leftovers(PolicyFile kind) {
    const auto path = installed_path(kind);
    const auto directory = path.substr(0, path.rfind('/')), name = path.substr(path.rfind('/') + 1);
    const auto at = open_below(root, directory);
    const std::unique_ptr<DIR, int (*)(DIR*)> entries(
        at ? ::fdopendir(::fcntl(at->get(), F_DUPFD_CLOEXEC, 3)) : nullptr, &::closedir);
    while (const dirent* const entry = entries ? ::readdir(entries.get()) : nullptr) {
      const std::string_view other(static_cast<const char*>(entry->d_name));
      const auto what = leftover_kind(name, other);
      const auto there = concat(root, directory, "/", other);
      if (what == "a lock")
        check_lock(there, path);
      else if (!what.empty())
        say(Severity::kWarning, "leftover", there, concat("is ", what, ", which nobody reads"),
            concat("who looks for a line there believes that it counts; ", path, " alone does"),
            concat("compare them (diff ", root, path, " ", there, "), and remove it"));
    }
  }

  // MAC addresses of hosts that have one machine-id are the same for the same users and containers.
  void check_machine_id() {
    bool needs_id = false;
    for (const auto& net_path : installed_paths(PolicyFile::kNet, root)) {
      const auto text = text_of(net_path, root);
      for (const auto& [line, parsed] : net_entries(net_path, text, nullptr))
        needs_id = needs_id ||
                   (parsed.count > 0 && parsed.terms.salt.empty() && parsed.terms.blocks.empty());
    }
    if (!needs_id) return;
    const auto path = concat(root, "/etc/machine-id");
    const auto id_text = text_of("/etc/machine-id", root);
    std::string_view rest = id_text;
    const auto id = take_until(rest, '\n');
    constexpr auto kFix =
        "write salt= with a word of this host's own to each line of net.conf, or run "
        "\"systemd-machine-id-setup\"";
    if (id.size() != 32 || id.find_first_not_of("0123456789abcdef") != std::string_view::npos ||
        id.find_first_not_of('0') == std::string_view::npos) {
      if (root.empty() || (!id.empty() && id != "uninitialized"))
        say(Severity::kWarning, "machine-id", path, "holds no id of this machine",
            "every such host gives the same MAC addresses to the same users' containers, and two "
            "on one network disturb each other",
            kFix);
      return;
    }
    if (!root.empty())
      say(Severity::kWarning, "machine-id", path, "is set in the image of a system",
          "hosts that are made from the image give the same MAC addresses to the same users' "
          "containers, and two on one network disturb each other",
          concat("empty the file in the image (: > ", path,
                 "), or write salt= with a word of its own into net.conf of each host"));
  }

  [[nodiscard]] std::string owner_of(IdRange range) const {
    const auto path = installed_path(PolicyFile::kSubuid);
    const auto text = text_of(path);
    for (const auto& entry : subid_entries(path, text, IdKind::kUid, nullptr))
      if (entry.parsed.range.overlaps(range)) return std::string(entry.parsed.owner);
    return {};
  }

  // Processes outlive the account of who started them, and then their ids go to somebody else.
  void check_ids_of_the_gone() {
    if (!root.empty() || is_other_root() || ::geteuid() != 0) return;
    std::set<std::pair<std::uint32_t, std::uint64_t>> told;
    for (const auto& living : living_ids(IdKind::kUid)) {
      if (!living.maker || facts.user_by_uid(*living.maker)) continue;
      if (!told.insert({*living.maker, living.range.first()}).second) continue;
      const auto owner = owner_of(living.range);
      say(owner.empty() ? Severity::kWarning : Severity::kError, "living-ids",
          installed_path(PolicyFile::kSubuid),
          concat("process ", living.pid, " (", quoted(living.command), ") has ids of ",
                 to_text(living.range), ", and uid ", *living.maker,
                 ", which started it, has no account any more"),
          owner.empty() ? "whoever gets these ids next can end it and read its files"
                        : concat("they are ", quoted(owner),
                                 "'s now: that user can end it and read its files"),
          concat("end it: kill ", living.pid));
    }
  }

  // Whoever puts a file there means it to count.
  void check_unread(PolicyFile kind) {
    const auto directory = concat(installed_path(kind), ".d");
    auto at = open_below(root, directory);
    const auto names = at ? names_in(std::move(*at), DT_UNKNOWN) : std::unexpected(at.error());
    for (const auto& name : names.value_or(std::vector<std::string>{})) {
      std::vector<std::string> counts{name};
      keep_conf_names(counts);
      if (counts.empty())
        say(Severity::kWarning, "leftover", concat(root, directory, "/", name),
            name.starts_with('.') ? "has a name that begins with a dot, so nobody reads it"
                                  : "has a name that does not end in .conf, so nobody reads it",
            "who looks for a line there believes that it counts",
            "rename it to NAME.conf, or remove it");
    }
  }

  void check_lock(const std::string& lock, const std::string& path) {
    if (!root.empty() || !PolicyLock::is_stale(lock)) return;
    say(Severity::kWarning, "leftover", lock, "is the lock of a process that is gone",
        "a program of another kind may wait for it; userns-policy and shadow's take it over",
        concat("rm ", lock, " (or let userns-policy change ", path, ")"));
  }
};

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

std::string_view leftover_kind(std::string_view name, std::string_view other) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 13> kEnds{
      {{".lock", "a lock"},
       {".dpkg-dist", "a package's version"},
       {".dpkg-new", "a package's version"},
       {".dpkg-old", "an older version"},
       {".ucf-dist", "a package's version"},
       {".rpmnew", "a package's version"},
       {".rpmsave", "an older version"},
       {".rpmorig", "an older version"},
       {".bak", "a copy"},
       {".orig", "a copy"},
       {".old", "a copy"},
       {"~", "an editor's copy"},
       {".userns-policy", "a text that a killed userns-policy left"}}};
  if (!other.starts_with(name)) return {};
  other.remove_prefix(name.size());
  for (const auto& [end, kind] : kEnds)
    if (other == end) return kind;
  return other.starts_with('.') && is_number(other.substr(1)) ? "a killed program's half of a lock"
                                                              : "";
}

std::vector<Finding> check_around(const std::string& root, const HostFacts& facts) {
  Around around{root, facts, {}};
  around.check_pair();
  around.check_source();
  around.check_room(facts.uids, IdKind::kUid);
  around.check_room(facts.gids, IdKind::kGid);
  for (const auto kind :
       {PolicyFile::kSubuid, PolicyFile::kSubgid, PolicyFile::kNet, PolicyFile::kCgroup})
    around.check_leftovers(kind);
  around.check_machine_id();
  for (const auto kind : {PolicyFile::kNet, PolicyFile::kCgroup}) around.check_unread(kind);
  around.check_ids_of_the_gone();
  return std::move(around.found);
}

}  // namespace userns::frontend
