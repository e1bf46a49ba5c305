#include "frontend/store/store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "frontend/store/files.h"
#include "tests/unit/expect.h"

namespace userns::frontend {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::text_of;

class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/store-test-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern), nullptr);
    top_ = pattern;
    ::setenv("HOME", top_.c_str(), 1);
    ::unsetenv("XDG_DATA_HOME");
    ::unsetenv("XDG_CONFIG_HOME");
  }
  void TearDown() override { fs::remove_all(top_); }

  void write(const std::string& path, std::string_view text) {
    fs::create_directories(fs::path(top_ + "/" + path).parent_path());
    std::ofstream(top_ + "/" + path) << text;
  }
  void make(const std::string& name, std::string_view config = "") {
    write("boxes/" + name + "/config", config);
    fs::permissions(top_ + "/boxes", fs::perms::owner_all);
    fs::permissions(top_ + "/boxes/" + name, fs::perms::owner_all);
  }
  Store store() {
    auto opened = Store::open(top_ + "/boxes");
    EXPECT_EQ(text_of(opened), "");
    return *opened;
  }
  std::string top_;
};

TEST_F(StoreTest, AMissingStoreIsEmptyUntilItIsMade) {
  const auto store = Store::open(std::nullopt);
  ASSERT_TRUE(store) << text_of(store);
  EXPECT_EQ(store->path(), top_ + "/.local/share/userns");
  EXPECT_TRUE(store->names()->empty());
  EXPECT_TRUE(contains(text_of(store->find("web")), "there is no container 'web'"));
  EXPECT_FALSE(fs::exists(store->path()));
  ASSERT_EQ(text_of(Store::open_or_make(std::nullopt)), "");
  EXPECT_EQ(fs::status(store->path()).permissions(), fs::perms::owner_all);
}

TEST_F(StoreTest, TheEnvironmentNamesIt) {
  ::setenv("XDG_DATA_HOME", (top_ + "/data").c_str(), 1);
  EXPECT_EQ(*default_store_path(), top_ + "/data/userns");
  ::setenv("XDG_DATA_HOME", "relative", 1);
  EXPECT_EQ(*default_store_path(), top_ + "/.local/share/userns");
  ::unsetenv("HOME");
  EXPECT_EQ(text_of(default_store_path()), "");
}

TEST_F(StoreTest, OnlyContainersAreListed) {
  make("web");
  make("a-1_b");
  make(".web.new-123456");
  make("Big");
  fs::create_directories(top_ + "/boxes/nothing");
  write("boxes/file", "");
  EXPECT_EQ(*store().names(), (std::vector<std::string>{"a-1_b", "web"}));
}

TEST_F(StoreTest, ABadNameIsRefusedBeforeItIsOpened) {
  make("web");
  for (const auto* const name :
       {"", ".", "..", "../web", "we/b", "Web", "-web", "a234567890123456789012345678901234"})
    EXPECT_TRUE(contains(text_of(store().find(name)), "is not a container name")) << name;
  EXPECT_TRUE(contains(text_of(store().find("wbe")), "did you mean web?"));
}

TEST_F(StoreTest, ALinkIsNoContainer) {
  make("web");
  fs::create_directory_symlink(top_ + "/boxes/web", top_ + "/boxes/link");
  EXPECT_FALSE(store().find("link"));
}

TEST_F(StoreTest, WhatOthersCanWriteIsRefused) {
  make("web");
  fs::permissions(top_ + "/boxes/web", fs::perms::group_write, fs::perm_options::add);
  EXPECT_TRUE(contains(text_of(store().find("web")), "others can write"));
  fs::permissions(top_ + "/boxes", fs::perms::others_write, fs::perm_options::add);
  EXPECT_TRUE(contains(text_of(Store::open(top_ + "/boxes")), "chmod go-w"));
}

TEST_F(StoreTest, WhatBelongsToAnotherIsRefused) {
  SKIP_WITHOUT_ROOT();
  make("web");
  ASSERT_EQ(::chown((top_ + "/boxes").c_str(), 12345, 12345), 0);
  EXPECT_TRUE(contains(text_of(Store::open(top_ + "/boxes")), "belongs to uid 12345"));
}

TEST_F(StoreTest, LocksAreTakenInTurn) {
  make("web");
  make("db");
  const auto web = store().find("web");
  ASSERT_TRUE(web);
  {
    const auto lock = web->lock();
    ASSERT_TRUE(lock) << text_of(lock);
    EXPECT_FALSE(web->try_lock()->has_value());
    EXPECT_TRUE(store().find("db")->try_lock()->has_value());
    EXPECT_EQ(::fcntl(lock->file().get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  }
  EXPECT_TRUE(web->try_lock()->has_value());
}

TEST_F(StoreTest, ALockOfADestroyedContainerIsNone) {
  make("web");
  const auto web = store().find("web");
  ASSERT_TRUE(web);
  fs::remove_all(top_ + "/boxes/web");
  EXPECT_TRUE(contains(text_of(web->lock()), "was destroyed meanwhile"));
}

TEST_F(StoreTest, AConfigComesToASpec) {
  make("web", "memory = 1G\ninclude = more.conf\nbind = /c:/c\ncommand = /bin/sh -c 'a b'\n");
  write("boxes/web/more.conf", "memory = 2G\npids = 7\nbind = /b:/b\n");
  write(".config/userns/default.conf", "pids = 5\ncpus = 3\nbind = /a:/a\n");
  const auto web = store().find("web");
  ASSERT_TRUE(web);
  const auto spec = web->spec();
  ASSERT_TRUE(spec) << text_of(spec);
  EXPECT_EQ(spec->rootfs, top_ + "/boxes/web/rootfs");
  EXPECT_EQ(spec->hostname, "web");
  EXPECT_EQ(spec->command, (std::vector<std::string>{"/bin/sh", "-c", "a b"}));
  ASSERT_EQ(spec->limits.size(), 3U);
  EXPECT_EQ(spec->limits[0].option, "--cpus 3");
  EXPECT_EQ(spec->limits[1].option, "--pids 7");
  EXPECT_EQ(spec->limits[2].option, "--memory 1G");
  EXPECT_EQ(spec->mounts.size(), 3U);
  const std::vector<std::string> typed{"--memory=3G", "--rootfs=/other", "--hostname=box"};
  const auto other = web->spec(typed);
  ASSERT_TRUE(other) << text_of(other);
  EXPECT_EQ(other->rootfs, "/other");
  EXPECT_EQ(other->hostname, "box");
  EXPECT_EQ(other->limits.back().option, "--memory 3G");
}

TEST_F(StoreTest, HostileConfigsAreErrorsThatNameTheFile) {
  make("web", "include = config\n");
  const auto web = store().find("web");
  ASSERT_TRUE(web);
  EXPECT_TRUE(contains(text_of(web->settings()), "goes too deep"));
  write("boxes/web/config", "include = /dev/zero\n");
  EXPECT_TRUE(contains(text_of(web->settings()),
                       "web/config:1:1: include '/dev/zero': /dev/zero is not a regular file"));
  write("boxes/web/config", "include = /nowhere\n");
  EXPECT_TRUE(contains(text_of(web->settings()), "cannot open /nowhere"));
  write("boxes/web/config", std::string(kLargestConfig + 1, '#'));
  EXPECT_TRUE(contains(text_of(web->settings()), "is longer than"));
  fs::remove(top_ + "/boxes/web/config");
  fs::create_symlink("/etc/passwd", top_ + "/boxes/web/config");
  EXPECT_TRUE(contains(text_of(web->settings()), "cannot read the config of web"));
  fs::remove(top_ + "/boxes/web/config");
  ASSERT_EQ(::mkfifo((top_ + "/boxes/web/config").c_str(), 0600), 0);
  EXPECT_TRUE(contains(text_of(web->settings()), "is not a regular file"));
}

TEST_F(StoreTest, AConfigIsReplacedWhole) {
  make("web", "# mine\nmemory = 1G\n");
  const auto web = store().find("web");
  ASSERT_TRUE(web);
  const auto lock = web->lock();
  auto config = web->config();
  ASSERT_TRUE(lock && config);
  ASSERT_EQ(text_of(config->set("memory", std::vector<std::string>{"2G"})), "");
  ASSERT_EQ(text_of(web->write_config(*lock, *config)), "");
  EXPECT_EQ(*read_file_at(web->dir().get(), "config", 100), "# mine\nmemory = 2G\n");
  EXPECT_EQ(fs::status(top_ + "/boxes/web/config").permissions(),
            fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_EQ(std::distance(fs::directory_iterator(top_ + "/boxes/web"), {}), 2);
}

}  // namespace
}  // namespace userns::frontend
