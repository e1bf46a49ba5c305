// Small words that the unit tests share.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <string>
#include <string_view>

#include "policy/error.h"

namespace userns::test {

// The rule that a result broke; "granted" where it holds a value.
template <class T>
std::string_view rule_of(const Result<T>& result) {
  return result ? "granted" : result.error().rule;
}

// What a result says where it failed; empty where it holds a value.
template <class T>
std::string text_of(const Result<T>& result) {
  return result ? std::string{} : result.error().text;
}

inline ::testing::AssertionResult contains(std::string_view text, std::string_view part) {
  if (text.find(part) != std::string_view::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << '"' << text << "\" does not say \"" << part << '"';
}

// Runs `act` in a forked child (credentials, mounts, limits: nothing of it outlives the test); its
// failed expectations are this test's.
inline void in_child(const std::function<void()>& act) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    act();
    std::fflush(nullptr);
    ::_exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << "the child was ended by signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0) << "an expectation failed in the child, or it ended itself";
}

}  // namespace userns::test

#define SKIP_WITHOUT_ROOT() \
  if (::geteuid() != 0) GTEST_SKIP() << "needs root"
