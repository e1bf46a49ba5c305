// A mount namespace of a test's own, in a child: files of the host's are replaced for it alone.
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <functional>
#include <string>
#include <string_view>

#include "common/fd.h"
#include "policy/text.h"
#include "tests/unit/expect.h"

namespace userns::test {

// Runs `act` in a mount namespace of its own with an empty tmpfs on /mnt. Needs root.
inline void in_mnt(const std::function<void()>& act) {
  in_child([&] {
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_EQ(::mount("tmpfs", "/mnt", "tmpfs", 0, "mode=0755"), 0);
    ::umask(0);
    act();
  });
}

// In in_mnt(): `path`, which must be there, is root's file of this text from now on.
inline void replace_file(const std::string& path, std::string_view text) {
  std::string name = path;
  for (auto& c : name) c = c == '/' ? '_' : c;
  const auto copy = concat("/mnt/", name);
  const Fd file(::open(copy.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644));
  ASSERT_TRUE(file.valid() && write_all(file, text)) << copy;
  ASSERT_EQ(::mount(copy.c_str(), path.c_str(), nullptr, MS_BIND, nullptr), 0) << path;
}

}  // namespace userns::test
