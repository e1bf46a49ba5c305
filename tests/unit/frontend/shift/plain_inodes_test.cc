#include "frontend/shift/plain_inodes.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <vector>

namespace userns::shift {
namespace {

TEST(PlainInodes, HasWhatItWasMadeOfAndNothingElse) {
  std::vector<std::uint64_t> numbers;
  for (std::uint64_t i = 1; i < 5000; ++i) numbers.push_back(i * 7);
  numbers.push_back(UINT64_MAX);
  const auto inodes = PlainInodes::make(numbers);
  ASSERT_TRUE(inodes);
  for (const auto number : numbers) EXPECT_TRUE(inodes->has(number));
  for (std::uint64_t i = 1; i < 5000; ++i) EXPECT_FALSE(inodes->has(i * 7 + 1));
  EXPECT_FALSE(inodes->has(0));
}

TEST(PlainInodes, ANumberIsCountedOnceHoweverOftenItIsChanged) {
  auto inodes = PlainInodes::make(std::vector<std::uint64_t>{3, 4});
  ASSERT_TRUE(inodes);
  inodes->set_changed(3);
  inodes->set_changed(3);
  inodes->set_changed(5);
  EXPECT_EQ(inodes->news().changed, 1U);
  EXPECT_TRUE(inodes->is_changed(3));
  EXPECT_FALSE(inodes->is_changed(4));
  EXPECT_FALSE(inodes->is_changed(5));
}

TEST(PlainInodes, AForkThatChangesThemIsSeen) {
  auto inodes = PlainInodes::make(std::vector<std::uint64_t>{8});
  ASSERT_TRUE(inodes);
  const auto child = ::fork();
  if (child == 0) {
    inodes->set_changed(8);
    inodes->news().left = true;
    ::_exit(0);
  }
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(inodes->is_changed(8));
  EXPECT_TRUE(inodes->news().left);
}

TEST(PlainInodes, NoneIsNoFault) {
  auto inodes = PlainInodes::make({});
  ASSERT_TRUE(inodes);
  EXPECT_FALSE(inodes->has(1));
}

}  // namespace
}  // namespace userns::shift
