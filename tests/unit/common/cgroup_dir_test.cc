// On a tmpfs: what is told of directories holds there as in a cgroup hierarchy, and no cgroup of
// the machine is touched.
#include "common/cgroup_dir.h"

#include <sys/file.h>
#include <sys/time.h>

#include <algorithm>
#include <csignal>

#include "tests/unit/expect.h"
#include "tests/unit/private_files.h"

namespace userns {
namespace {

using test::in_mnt;

Fd mnt() { return Fd(::open("/mnt", O_RDONLY | O_DIRECTORY | O_CLOEXEC)); }

void put(const std::string& path, std::string_view text) {
  const Fd file(::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
  ASSERT_TRUE(file.valid() && write_all(file, text)) << path;
}

TEST(CgroupDir, IsMadeListedCountedAndRemoved) {
  SKIP_WITHOUT_ROOT();
  in_mnt([] {
    const Fd top = mnt();
    ASSERT_TRUE(make_cgroup(top, "a"));
    const auto again = make_cgroup(top, "a");
    ASSERT_TRUE(again) << "what is there is opened";
    ASSERT_TRUE(make_cgroup(*again, "b") && make_cgroup(*again, "c"));
    put("/mnt/a/pids.max", "max\n");
    EXPECT_EQ(count_children(*again), 2U);
    auto names = child_cgroups(*again).value();
    std::ranges::sort(names);
    EXPECT_EQ(names, (std::vector<std::string>{"b", "c"}));
    EXPECT_EQ(interface_files(*again).value(), std::vector<std::string>{"pids.max"});
    EXPECT_EQ(read_cgroup_file(*again, "pids.max").value(), "max\n");
    ASSERT_EQ(::unlink("/mnt/a/pids.max"), 0);
    EXPECT_FALSE(remove_cgroups(top, "a", 0)) << "it has children";
    EXPECT_TRUE(remove_cgroups(top, "a", 1));
    EXPECT_TRUE(remove_cgroups(top, "a", 1)) << "gone is gone";
    EXPECT_EQ(open_cgroup(top, "a").error().code, ENOENT);
    EXPECT_FALSE(is_cgroup(top, CgroupVersion::kV1) || is_cgroup(top, CgroupVersion::kV2));
    EXPECT_EQ(count_children(Fd()), SIZE_MAX) << "more than any limit";
  });
}

TEST(CgroupDir, IsReachedThroughNoLinkMountOrParent) {
  SKIP_WITHOUT_ROOT();
  in_mnt([] {
    const Fd top = mnt();
    // Before the first bracket, which leaves nothing effective.
    for (const char* const name : {"/mnt/a", "/mnt/elsewhere", "/mnt/mounted"})
      ASSERT_EQ(::mkdir(name, 0755), 0);
    ASSERT_EQ(::symlink("../elsewhere", "/mnt/a/link"), 0);
    ASSERT_EQ(::symlink("/etc/passwd", "/mnt/a/file"), 0);
    ASSERT_EQ(::mount("tmpfs", "/mnt/mounted", "tmpfs", 0, ""), 0);
    const auto a = open_cgroup(top, "a");
    ASSERT_TRUE(a);
    for (const char* const name : {"link", "..", "../elsewhere", "/mnt/elsewhere"})
      EXPECT_FALSE(open_cgroup(*a, name)) << name;
    EXPECT_FALSE(open_cgroup(top, "mounted"));
    EXPECT_FALSE(read_cgroup_file(*a, "file"));
    EXPECT_FALSE(write_cgroup_file(*a, "file", "0"));
    EXPECT_TRUE(child_cgroups(*a)->empty());
  });
}

TEST(CgroupDir, SaysWhatItCouldNotWriteWhere) {
  SKIP_WITHOUT_ROOT();
  in_mnt([] {
    const Fd top = mnt();
    const auto failed = write_cgroup_file(top, "pids.max", "5");
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, ENOENT);
    EXPECT_TRUE(test::contains(failed.error().text, "cannot write '5' to pids.max"));
    put("/mnt/pids.max", "");
    ASSERT_TRUE(write_cgroup_file(top, "pids.max", "5"));
    EXPECT_EQ(read_cgroup_file(top, "pids.max").value(), "5");
    put("/mnt/plain", "");
    EXPECT_FALSE(make_cgroup(top, "plain"));
    EXPECT_FALSE(make_cgroup(top, "no/such"));
    EXPECT_FALSE(lock_cgroup(top, "no/such", true));
  });
}

TEST(CgroupDir, OfAUserIsLockedAndCanOnlyBePassedThrough) {
  SKIP_WITHOUT_ROOT();
  in_mnt([] {
    const Fd top = mnt();
    EXPECT_EQ(lock_cgroup(top, "1000", false).error().code, ENOENT);
    const auto locked = lock_cgroup(top, "1000", true);
    ASSERT_TRUE(locked);
    struct stat facts{};
    ASSERT_EQ(::fstat(locked->get(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 07777, 0711U);
    EXPECT_EQ(facts.st_uid, 0U);
    const auto other = open_cgroup(top, "1000");
    ASSERT_TRUE(other);
    EXPECT_NE(::flock(other->get(), LOCK_EX | LOCK_NB), 0);
  });
}

// Interrupts every pause, so that a thousand of them are over soon.
void interrupt_sleep() {
  struct sigaction nothing{};
  nothing.sa_handler = [](int) {};
  ASSERT_EQ(::sigaction(SIGALRM, &nothing, nullptr), 0);
  const itimerval often{{0, 50}, {0, 50}};
  ASSERT_EQ(::setitimer(ITIMER_REAL, &often, nullptr), 0);
}

// Rule CG-BUSY.
TEST(CgroupDir, ThatAnotherHasLockedIsRefusedInTheEnd) {
  SKIP_WITHOUT_ROOT();
  in_mnt([] {
    const Fd top = mnt();
    const auto locked = lock_cgroup(top, "1000", true);
    ASSERT_TRUE(locked);
    interrupt_sleep();
    EXPECT_EQ(test::rule_of(lock_cgroup(top, "1000", false)), "CG-BUSY");
    ASSERT_EQ(::flock(locked->get(), LOCK_UN), 0);
    EXPECT_TRUE(lock_cgroup(top, "1000", false));
  });
}

TEST(CgroupDir, IsHandedOverWithThreeFilesAndNoOther) {
  SKIP_WITHOUT_ROOT();
  in_mnt([] {
    const auto box = make_cgroup(mnt(), "box");
    ASSERT_TRUE(box);
    for (const char* const name : {"cgroup.procs", "cgroup.threads", "cgroup.subtree_control",
                                   "cgroup.freeze", "memory.max"})
      put(concat("/mnt/box/", name), "");
    ASSERT_TRUE(hand_over(*box, Uid{1234}, Gid{1235}));
    struct stat facts{};
    for (const char* const name :
         {"", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"}) {
      ASSERT_EQ(::stat(concat("/mnt/box/", name).c_str(), &facts), 0);
      EXPECT_TRUE(facts.st_uid == 1234 && facts.st_gid == 1235) << name;
    }
    for (const char* const name : {"cgroup.freeze", "memory.max"}) {
      ASSERT_EQ(::stat(concat("/mnt/box/", name).c_str(), &facts), 0);
      EXPECT_EQ(facts.st_uid, 0U) << name;
    }
    const auto bare = make_cgroup(mnt(), "bare");
    ASSERT_TRUE(bare);
    EXPECT_FALSE(hand_over(*bare, Uid{1234}, Gid{1235})) << "a file is missing";
  });
}

}  // namespace
}  // namespace userns
