#include "frontend/cli/table.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace userns::frontend {
namespace {

TEST(Table, ColumnsAreAsWideAsWhatStandsInThem) {
  EXPECT_EQ(to_table({{"NAME", "STATE", "X"}, {"a", "", "1"}, {"longer", "stopped", ""}}),
            "NAME    STATE    X\na       -        1\nlonger  stopped  -\n");
  EXPECT_EQ(to_table({}), "");
}

TEST(Table, TimesForPeople) {
  EXPECT_EQ(for_people(-5), "0s");
  EXPECT_EQ(for_people(59), "59s");
  EXPECT_EQ(for_people(60), "1m 0s");
  EXPECT_EQ(for_people(3600 * 4 + 12 * 60 + 5), "4h 12m");
  EXPECT_EQ(for_people(86400 * 3 + 3600 * 4), "3d 4h");
}

TEST(Table, SizesForPeople) {
  EXPECT_EQ(size_for_people(0), "0B");
  EXPECT_EQ(size_for_people(1023), "1023B");
  EXPECT_EQ(size_for_people(1024), "1.0K");
  EXPECT_EQ(size_for_people(1536), "1.5K");
  EXPECT_EQ(size_for_people(10240), "10K");
  EXPECT_EQ(size_for_people(1048576), "1.0M");
  EXPECT_EQ(size_for_people(std::uint64_t{3} << 30), "3.0G");
  EXPECT_EQ(size_for_people(std::uint64_t{5} << 50), "5.0P");
}

}  // namespace
}  // namespace userns::frontend
