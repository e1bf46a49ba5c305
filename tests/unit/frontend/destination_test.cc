#include "frontend/start/mounts/destination.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "common/fd.h"

namespace userns::frontend {
namespace {

// A directory that is removed at the end.
struct Tree {
  Tree() { EXPECT_NE(::mkdtemp(path.data()), nullptr); }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;
  Tree(Tree&&) = delete;
  Tree& operator=(Tree&&) = delete;
  ~Tree() { std::filesystem::remove_all(path); }

  std::string path = std::filesystem::temp_directory_path() / "place-XXXXXX";
};

TEST(PlaceInside, SeveralStartsAtOnceMakeWhatIsMissing) {
  constexpr int kRounds = 200;
  constexpr int kStarts = 4;
  const Tree tree;
  for (int round = 0; round < kRounds; ++round) {
    const auto root = open_at(AT_FDCWD, tree.path.c_str(), O_RDONLY | O_DIRECTORY);
    ASSERT_TRUE(root);
    const std::string name = "/" + std::to_string(round) + "/dev";
    std::atomic<int> ready = 0;
    std::atomic<int> found = 0;
    std::vector<std::jthread> starts;
    for (int i = 0; i < kStarts; ++i)
      starts.emplace_back([&] {
        for (++ready; ready < kStarts;) std::this_thread::yield();
        found += place_inside(*root, name, PlaceKind::kDirectory).has_value() ? 1 : 0;
      });
    starts.clear();
    ASSERT_EQ(found, kStarts) << name;
  }
}

TEST(PlaceInside, WhatIsInThePlaceOfADirectoryIsRefused) {
  const Tree tree;
  std::filesystem::create_symlink("nowhere", tree.path + "/link");
  const auto root = open_at(AT_FDCWD, tree.path.c_str(), O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(root);
  const auto place = place_inside(*root, "/link", PlaceKind::kDirectory);
  ASSERT_FALSE(place);
  EXPECT_NE(place.error().text.find("a dangling symbolic link"), std::string::npos);
}

}  // namespace
}  // namespace userns::frontend
