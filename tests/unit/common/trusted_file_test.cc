#include "common/trusted_file.h"

#include <sys/stat.h>

#include "policy/text.h"
#include "tests/unit/expect.h"
#include "tests/unit/private_files.h"

namespace userns {
namespace {

using test::in_mnt;

void put(const char* path, mode_t mode = 0644, uid_t owner = 0) {
  const Fd fd(::open(path, O_CREAT | O_EXCL | O_WRONLY, mode));
  ASSERT_TRUE(fd.valid()) << path;
  ASSERT_TRUE(write_all(fd, "text"));
  ASSERT_EQ(::fchown(fd.get(), owner, 0), 0);
}

void dir(const char* path, mode_t mode = 0755, uid_t owner = 0) {
  ASSERT_EQ(::mkdir(path, mode), 0);
  ASSERT_EQ(::chown(path, owner, 0), 0);
}

void link(const char* to, const char* path, uid_t owner = 0) {
  ASSERT_EQ(::symlink(to, path), 0);
  ASSERT_EQ(::lchown(path, owner, 0), 0);
}

// "text" where it was opened, "absent", or the rule that refuses it.
std::string verdict(const char* path) {
  const auto file = open_trusted_file(path);
  if (!file) return std::string(file.error().rule);
  if (!*file) return "absent";
  const auto text = read_all(**file, 100);
  return text ? *text : "unreadable";
}

TEST(TrustedFile, OpensARootsFileInRootsDirectories) {
  SKIP_WITHOUT_ROOT();
  in_mnt([] {
    dir("/mnt/a");
    put("/mnt/a/f");
    for (const char* path : {"/mnt/a/f", "//mnt//a/f", "/mnt/./a/../a/f", "/mnt/a/f"})
      EXPECT_EQ(verdict(path), "text") << path;
    for (const char* path : {"/mnt/a/g", "/mnt/b/f", "/mnt/a/../f"})
      EXPECT_EQ(verdict(path), "absent") << path;
  });
}

// Rule TF-FILE.
TEST(TrustedFile, RefusesAFileThatIsNotRootsAlone) {
  SKIP_WITHOUT_ROOT();
  in_mnt([] {
    put("/mnt/group", 0664);
    put("/mnt/others", 0646);
    put("/mnt/owned", 0644, 1000);
    put("/mnt/readonly", 0400);
    dir("/mnt/dir");
    ASSERT_EQ(::mkfifo("/mnt/fifo", 0644), 0);
    for (const char* path :
         {"/mnt/group", "/mnt/others", "/mnt/owned", "/mnt/dir", "/mnt/fifo", "/mnt/dir/", "/"})
      EXPECT_EQ(verdict(path), "TF-FILE") << path;
    EXPECT_EQ(verdict("/mnt/readonly"), "text");
  });
}

// Rule TF-PATH.
TEST(TrustedFile, RefusesAPathThatOthersCouldBend) {
  SKIP_WITHOUT_ROOT();
  in_mnt([] {
    dir("/mnt/open", 01777);
    dir("/mnt/group", 0775);
    dir("/mnt/owned", 0755, 1000);
    for (const char* path : {"/mnt/open/f", "/mnt/group/f", "/mnt/owned/f"}) {
      put(path);
      EXPECT_EQ(verdict(path), "TF-PATH") << path;
    }
    put("/mnt/f");
    EXPECT_EQ(verdict("/mnt/owned/../f"), "TF-PATH");
    EXPECT_EQ(verdict("/mnt/f/x"), "TF-PATH") << "a file is not a directory";
  });
}

TEST(TrustedFile, FollowsRootsSymlinksAndNobodyElses) {
  SKIP_WITHOUT_ROOT();
  in_mnt([] {
    dir("/mnt/real");
    put("/mnt/real/f");
    dir("/mnt/open", 01777);
    put("/mnt/open/f");
    link("/mnt/real/f", "/mnt/absolute");
    link("real/f", "/mnt/relative");
    link("real", "/mnt/directory");
    link("/mnt/relative", "/mnt/twice");
    link("real/f", "/mnt/users", 1000);
    link("open/f", "/mnt/through");
    link("/mnt/loop", "/mnt/loop");
    link("nowhere", "/mnt/dangling");
    for (const char* path : {"/mnt/absolute", "/mnt/relative", "/mnt/directory/f", "/mnt/twice"})
      EXPECT_EQ(verdict(path), "text") << path;
    for (const char* path : {"/mnt/users", "/mnt/through", "/mnt/loop"})
      EXPECT_EQ(verdict(path), "TF-PATH") << path;
    EXPECT_EQ(verdict("/mnt/dangling"), "absent");
  });
}

TEST(TrustedDirectory, IsADirectoryThatOnlyRootCanBend) {
  SKIP_WITHOUT_ROOT();
  in_mnt([] {
    dir("/mnt/dir");
    dir("/mnt/open", 01777);
    put("/mnt/file");
    const auto opened = open_trusted_directory("/mnt/dir");
    ASSERT_TRUE(opened && *opened) << test::text_of(opened);
    EXPECT_TRUE(open_at((**opened).get(), "../file", O_RDONLY))
        << "it is the directory that was named";
    EXPECT_EQ(test::rule_of(open_trusted_directory("/mnt/file")), "TF-FILE");
    EXPECT_EQ(test::rule_of(open_trusted_directory("/mnt/open")), "TF-PATH");
    const auto absent = open_trusted_directory("/mnt/absent");
    EXPECT_TRUE(absent && !*absent);
  });
}

TEST(TrustedFile, FollowsAsManySymlinksAsTheKernel) {
  SKIP_WITHOUT_ROOT();
  in_mnt([] {
    put("/mnt/0");
    for (int i = 1; i <= 41; ++i) link(concat(i - 1).c_str(), concat("/mnt/", i).c_str());
    EXPECT_EQ(verdict("/mnt/40"), "text");
    EXPECT_EQ(verdict("/mnt/41"), "TF-PATH");
  });
}

TEST(TrustedFile, RefusesASymlinkTooLongToRead) {
  SKIP_WITHOUT_ROOT();
  in_mnt([] {
    link(std::string(4095, 'x').c_str(), "/mnt/long");
    EXPECT_NE(verdict("/mnt/long"), "text");
  });
}

}  // namespace
}  // namespace userns
