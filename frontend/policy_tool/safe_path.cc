#include "frontend/policy_tool/safe_path.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>

#include "common/trusted_file.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr int kMostLinks = 40;
constexpr mode_t kOthersWrite = S_IWGRP | S_IWOTH;

struct Walker {
  std::string root, asked;
  std::vector<Finding> found;

  void say(std::string_view id, const std::string& file, std::string what, std::string why,
           std::string fix) {
    auto& f = found.emplace_back();
    f.id = id;
    f.file = file;
    f.what = std::move(what);
    f.why = std::move(why);
    f.fix = std::move(fix);
  }

  void judge(const std::string& path, const struct stat& facts) {
    const bool is_file = S_ISREG(facts.st_mode);
    const std::string_view rule = is_file ? "TF-FILE" : "TF-PATH",
                           id = is_file ? "unsafe-file" : "unsafe-path";
    const auto why = concat("a user who can change it can write policy, so the helpers refuse ",
                            asked, " (", rule, ")");
    if (facts.st_uid != 0)
      say(id, path, concat("is owned by uid ", facts.st_uid, ", not by root"), why,
          concat("chown root ", path));
    if (!S_ISLNK(facts.st_mode) && (facts.st_mode & kOthersWrite) != 0)
      say(id, path, "can be written by its group or by others", why, concat("chmod go-w ", path));
  }

  // Readable with the rights of the user who asks: cgroup.conf alone is read as root.
  void judge_end(const std::string& path, const struct stat& facts, PolicyFile kind) {
    if (!S_ISREG(facts.st_mode)) {
      say("unsafe-file", path, "is not a regular file",
          concat("the helpers refuse ", asked, " (TF-FILE)"), "put a text file there");
    } else if (kind != PolicyFile::kCgroup && (facts.st_mode & S_IROTH) == 0) {
      say("unreadable", path, "can not be read by everyone",
          "the helpers read it with the rights of the user who asks", concat("chmod a+r ", path));
    }
  }

  // The end of the walk: true where the file is there.
  bool walk(PolicyFile kind) {
    std::string at, rest = asked.substr(root.size());
    struct stat facts{};
    int links = 0;
    if (root.empty() && ::lstat("/", &facts) == 0) judge("/", facts);
    while (rest.find_first_not_of('/') != std::string::npos) {
      std::string_view tail = rest;
      const std::string name(take_until(tail, '/'));
      rest = std::string(tail);
      if (name.empty() || name == ".") continue;
      if (name == "..") {
        at.resize(at.empty() ? 0 : at.rfind('/'));
        continue;
      }
      const auto here = concat(root, at, "/", name);
      if (::lstat(here.c_str(), &facts) != 0) {
        if (errno != ENOENT)
          say("unsafe-path", here, "can not be examined",
              "who reads the policy must be able to reach it",
              "make its directory accessible: chmod a+x");
        return false;
      }
      judge(here, facts);
      if (!S_ISLNK(facts.st_mode)) {
        at += concat("/", name);
        continue;
      }
      std::array<char, PATH_MAX> target{};
      const auto length = ::readlink(here.c_str(), target.data(), target.size());
      if (length <= 0 || ++links > kMostLinks) {
        say("unsafe-path", here, "is a symbolic link that can not be followed",
            "the helpers refuse it (TF-PATH)", "correct the link");
        return false;
      }
      rest = concat(std::string_view(target.data(), static_cast<std::size_t>(length)), "/", rest);
      if (rest.starts_with('/')) at.clear();
    }
    judge_end(asked, facts, kind);
    return true;
  }
};

}  // namespace

std::vector<Finding> check_path(const std::string& root, const std::string& path, PolicyFile kind) {
  Walker walker{.root = root, .asked = path, .found = {}};
  const bool is_there = walker.walk(kind);
  // The helpers' own word, should it be another.
  if (root.empty() && is_there && walker.found.empty())
    if (const auto opened = open_trusted_file(path); !opened && opened.error().code != EACCES)
      walker.say("unsafe-path", path, opened.error().text, "the helpers refuse it", "");
  return std::move(walker.found);
}

}  // namespace userns::frontend
