#include "frontend/policy_tool/subid_library.h"

#include <dlfcn.h>
#include <shadow/subid.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cstdio>

#include "frontend/policy_tool/checks.h"

namespace userns::frontend {
namespace {

using Change = bool (*)(subordinate_range*, bool reuse);
using Undo = bool (*)(subordinate_range*);

}  // namespace

bool is_plain_for_library(std::string_view text, const std::string& path) {
  const auto entries = subid_entries({}, text, IdKind::kUid, nullptr);
  const bool all_are_entries =
      entries.size() == lines_of(text).size() && (text.empty() || text.ends_with('\n'));
  const bool sorted = std::ranges::is_sorted(
      entries, {}, [](const SubidEntry& e) { return e.parsed.range.first(); });
  return all_are_entries && sorted && ::listxattr(path.c_str(), nullptr, 0) <= 0;
}

bool grant_by_library(IdKind kind, const std::string& owner, IdRange range) {
  void* const library =
      ::dlopen("libsubid.so.4", RTLD_NOW | RTLD_LOCAL);  // for the rest of this short life
  if (library == nullptr) return false;
  const bool is_uid = kind == IdKind::kUid;
  const auto change = reinterpret_cast<Change>(
      ::dlsym(library, is_uid ? "subid_grant_uid_range" : "subid_grant_gid_range"));
  const auto undo = reinterpret_cast<Undo>(
      ::dlsym(library, is_uid ? "subid_ungrant_uid_range" : "subid_ungrant_gid_range"));
  const auto init =
      reinterpret_cast<bool (*)(const char*, std::FILE*)>(::dlsym(library, "subid_init"));
  // What it would say is said by whoever tries next.
  if (change == nullptr || undo == nullptr || init == nullptr || !init("userns-policy", nullptr))
    return false;
  subordinate_range wish{.owner = owner.c_str(), .start = range.first(), .count = range.count()};
  if (!change(&wish, false)) return false;
  if (wish.start == range.first() && wish.count == range.count()) return true;
  (void)undo(&wish);
  return false;
}

}  // namespace userns::frontend
