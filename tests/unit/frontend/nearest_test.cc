#include "frontend/spec/nearest.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace userns::frontend {
namespace {

constexpr std::array<std::string_view, 5> kWords{"mount", "pid", "rootfs", "read-only",
                                                 "no-new-privs"};

TEST(Nearest, AMistypedWordFindsTheOneThatWasMeant) {
  constexpr std::string_view kMeant[][2] = {
      {"rotfs", "rootfs"},        {"rootfss", "rootfs"},
      {"rootsf", "rootfs"},       {"readonly", "read-only"},
      {"read_only", "read-only"}, {"no-new-priv", "no-new-privs"},
      {"mounts", "mount"},        {"pdi", "pid"},
  };
  for (const auto& [typed, meant] : kMeant) EXPECT_EQ(nearest(typed, kWords), meant) << typed;
}

TEST(Nearest, ABeginningIsEnough) { EXPECT_EQ(nearest("no-n", kWords), "no-new-privs"); }

TEST(Nearest, WhatIsFarFromEverythingSuggestsNothing) {
  for (const std::string_view typed : {"", "x", "xyz", "hostname", "overlay"})
    EXPECT_EQ(nearest(typed, kWords), "") << typed;
  EXPECT_EQ(nearest(std::string(5000, 'a'), kWords), "");
}

TEST(Nearest, TheSentenceIsThereOnlyWithASuggestion) {
  EXPECT_EQ(did_you_mean("rotfs", kWords, "--"), "; did you mean --rootfs?");
  EXPECT_EQ(did_you_mean("xyzzy", kWords, "--"), "");
}

}  // namespace
}  // namespace userns::frontend
