#include "frontend/start/plan/init_kind.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace userns::frontend {
namespace {

namespace fs = std::filesystem;

TEST(InitKind, IsKnownByTheProgramsName) {
  EXPECT_EQ(init_kind("systemd", ""), InitKind::kSystemd);
  EXPECT_EQ(init_kind("busybox", ""), InitKind::kBusybox);
  EXPECT_EQ(init_kind("openrc-init", ""), InitKind::kOpenrc);
  EXPECT_EQ(init_kind("runit-init", ""), InitKind::kRunit);
}

TEST(InitKind, OfAPlainInitIsKnownByItsContent) {
  EXPECT_EQ(init_kind("init", "..INIT_VERSION=sysvinit-3.06.."), InitKind::kSysvinit);
  EXPECT_EQ(init_kind("init", "..BusyBox v1.35.0.."), InitKind::kBusybox);
  EXPECT_EQ(init_kind("init", "#!/bin/sh"), InitKind::kOther);
}

TEST(InitKind, OfAnythingElseIsOther) {
  EXPECT_EQ(init_kind("", ""), InitKind::kOther);
  EXPECT_EQ(init_kind("systemd2", "sysvinit"), InitKind::kOther);
}

TEST(StopSignal, IsTheOneThatEachInitKnows) {
  EXPECT_EQ(stop_signal(InitKind::kSystemd), SIGRTMIN + 3);
  EXPECT_EQ(stop_signal(InitKind::kBusybox), SIGUSR2);
  EXPECT_EQ(stop_signal(InitKind::kSysvinit), SIGINT);
  EXPECT_EQ(stop_signal(InitKind::kRunit), SIGCONT);
  EXPECT_EQ(stop_signal(InitKind::kOpenrc), SIGTERM);
  EXPECT_EQ(stop_signal(InitKind::kOther), SIGTERM);
}

class ARootfs : public testing::Test {
 protected:
  ARootfs() {
    char name[] = "/tmp/init_kind.XXXXXX";
    top_ = ::mkdtemp(name);
  }
  ~ARootfs() override { fs::remove_all(top_); }
  void file(const std::string& path, const std::string& text, unsigned mode = 0755) {
    fs::create_directories((top_ + path).substr(0, (top_ + path).rfind('/')));
    std::ofstream(top_ + path) << text;
    ::chmod((top_ + path).c_str(), mode);
  }
  void link(const std::string& path, const std::string& target) {
    fs::create_directories((top_ + path).substr(0, (top_ + path).rfind('/')));
    fs::create_symlink(target, top_ + path);
  }
  Result<FoundInit> find() {
    return find_init(*open_at(AT_FDCWD, top_.c_str(), O_PATH | O_DIRECTORY));
  }
  std::string top_;
};

TEST_F(ARootfs, HasItsInitFoundThroughAbsoluteLinksWithinIt) {
  file("/usr/lib/systemd/systemd", "");
  link("/usr/sbin/init", "/lib/systemd/systemd");
  link("/lib", "usr/lib");
  link("/sbin", "/usr/sbin");
  const auto found = find();
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->kind, InitKind::kSystemd);
  EXPECT_EQ(found->path, "/sbin/init");
}

TEST_F(ARootfs, IsNotLeftThroughALink) {
  link("/sbin/init", "/usr/lib/systemd/systemd");  // dangling inside, whatever the host has
  link("/bin/init", "../../../../../../../bin/busybox");
  EXPECT_FALSE(find().has_value());
}

TEST_F(ARootfs, HasNoInitWhereItIsNoProgram) {
  file("/sbin/init", "sysvinit", 0644);
  fs::create_directories(top_ + "/bin/init");
  fs::create_directories(top_ + "/etc");
  ASSERT_EQ(::mkfifo((top_ + "/etc/init").c_str(), 0755), 0);
  const auto found = find();
  ASSERT_FALSE(found.has_value());
  EXPECT_NE(found.error().text.find("/sbin/init"), std::string::npos);
}

TEST_F(ARootfs, HasItsSysvinitKnownByContent) {
  file("/sbin/init", std::string(100000, 'x') + "sysvinit");
  EXPECT_EQ(find()->kind, InitKind::kSysvinit);
}

}  // namespace
}  // namespace userns::frontend
