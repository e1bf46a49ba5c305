#include "frontend/policy_tool/directory.h"

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>
#include <system_error>

#include "frontend/policy_tool/host_facts.h"
#include "frontend/policy_tool/tool.h"
#include "policy/conf_line.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

// Names and ids that are known from elsewhere.
struct Known {
  std::set<std::string, std::less<>> users, groups;
  struct Home {
    std::string path;
    std::uint32_t uid = 0, gid = 0;
  };
  std::vector<Home> homes;
};

void add_owners(Known& known, std::string_view subid_text) {
  while (!subid_text.empty()) {
    auto line = take_until(subid_text, '\n');
    if (line.contains(':')) known.users.emplace(take_until(line, ':'));
  }
}

void add_words(Known& known, std::string_view conf_text) {
  (void)each_conf_line({}, conf_text, {}, [&](std::string_view who, ConfLine&) -> Result<void> {
    if (who.starts_with('@'))
      known.groups.emplace(who.substr(1));
    else if (who != "*")
      known.users.emplace(who);
    return {};
  });
}

// Directories in /home, and those in a directory there that root owns (/home/DOMAIN/NAME).
void add_homes(Known& known, const std::string& directory, int levels) {
  std::error_code gone;
  for (const auto& entry : std::filesystem::directory_iterator(directory, gone)) {
    struct stat facts{};
    if (::lstat(entry.path().c_str(), &facts) != 0 || !S_ISDIR(facts.st_mode)) continue;
    if (facts.st_uid != 0)
      known.homes.push_back({entry.path(), facts.st_uid, facts.st_gid});
    else if (levels > 1)
      add_homes(known, entry.path(), levels - 1);
  }
}

Known known_in(const std::string& root, const IdsConf& conf) {
  Known known;
  for (const auto kind : {PolicyFile::kSubuid, PolicyFile::kSubgid})
    add_owners(known, text_of(installed_path(kind), root));
  for (const auto kind : {PolicyFile::kNet, PolicyFile::kCgroup})
    for (const auto& path : installed_paths(kind, root)) add_words(known, text_of(path, root));
  known.users.insert(conf.user_names.begin(), conf.user_names.end());
  add_homes(known, concat(root, "/home"), 2);
  return known;
}

std::optional<Account> ask_user(const std::string& word) {
  const auto number = parse_decimal(word);
  if (number)
    return *number <= kLargestId ? ask_id(IdKind::kUid, static_cast<std::uint32_t>(*number))
                                 : std::nullopt;
  const auto* const entry = ::getpwnam(word.c_str());
  return entry == nullptr ? std::nullopt
                          : std::optional(Account{entry->pw_name, entry->pw_uid, entry->pw_gid});
}

// Takes each id once.
class Adder {
 public:
  Adder(Accounts& all, bool ask) : all_(all), ask_(ask) {
    for (const auto& user : all.users) names_.insert(user.name), uids_.insert(user.id);
    for (const auto& group : all.groups) {
      group_names_.insert(group.account.name);
      gids_.insert(group.account.id);
    }
  }
  void add_user(const std::string& word) {
    const auto number = parse_decimal(word);
    if (!ask_ || names_.contains(word) || (number && uids_.contains(*number))) return;
    if (const auto user = ask_user(word)) take(*user);
  }
  void add_group(const std::string& name) {
    if (!ask_ || group_names_.contains(name)) return;
    if (const auto* const entry = ::getgrnam(name.c_str()))
      take_group({entry->gr_name, entry->gr_gid, 0});
  }
  void add_home(const Known::Home& home) {
    const auto user =
        ask_ && !uids_.contains(home.uid) ? ask_id(IdKind::kUid, home.uid) : std::nullopt;
    take(user.value_or(Account{home.path, home.uid, home.gid}));
  }

 private:
  void take(const Account& user) {
    if (uids_.insert(user.id).second) all_.users.push_back(user);
    if (gids_.contains(user.group)) return;
    const auto group = ask_ ? ask_id(IdKind::kGid, user.group) : std::nullopt;
    take_group(group.value_or(Account{user.name, user.group, 0}));
  }
  void take_group(const Account& group) {
    if (gids_.insert(group.id).second) all_.groups.push_back({group, true});
  }

  Accounts& all_;
  bool ask_;
  std::set<std::string, std::less<>> names_, group_names_;
  std::set<std::uint64_t> uids_, gids_;
};

}  // namespace

std::vector<std::string> quiet_sources(std::string_view nsswitch) {
  constexpr std::array<std::string_view, 4> kListing{"files", "compat", "db", "systemd"};
  std::vector<std::string> quiet;
  (void)each_conf_line({}, nsswitch, {}, [&](std::string_view key, ConfLine& line) -> Result<void> {
    if (key != "passwd:" && key != "group:") return {};
    for (auto word = line.next(); !word.empty(); word = line.next())
      if (!word.starts_with('[') && !contains(kListing, word) && !contains(quiet, word))
        quiet.emplace_back(word);
    return {};
  });
  return quiet;
}

std::optional<Account> ask_id(IdKind kind, std::uint32_t id) {
  if (kind == IdKind::kUid) {
    const auto* const user = ::getpwuid(id);
    return user == nullptr ? std::nullopt
                           : std::optional(Account{user->pw_name, user->pw_uid, user->pw_gid});
  }
  const auto* const group = ::getgrgid(id);
  return group == nullptr ? std::nullopt : std::optional(Account{group->gr_name, group->gr_gid, 0});
}

void add_unlisted(Accounts& accounts, const std::string& root, const IdsConf& conf, bool ask) {
  const auto known = known_in(root, conf);
  Adder adder(accounts, ask);
  for (const auto& name : known.users) adder.add_user(name);
  for (const auto& name : known.groups) adder.add_group(name);
  for (const auto& home : known.homes) adder.add_home(home);
}

}  // namespace userns::frontend
