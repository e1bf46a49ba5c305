// getsubids(1): which subordinate ids a user has, in the words and in the output of shadow's, whose
// package ours can replace.
//
// libsubid answers, so names, numbers, order and sources are those of the release of shadow that
// this host has: callers (rootlesskit) build a map from the order of the lines.
#include <shadow/subid.h>

#include <cstdio>
#include <string_view>

int main(int argc, char** argv) {
  const bool groups = argc > 2 && std::string_view(argv[1]) == "-g";
  const int at = groups ? 2 : 1;
  if (argc < 2) {
    std::fputs(
        "Usage: getsubids [-g] user\n    list subuid ranges for user\n"
        "    pass -g to list subgid ranges\n",
        stderr);
    return 1;
  }
  subid_range* ranges = nullptr;
  const int count = groups ? ::subid_get_gid_ranges(argv[at], &ranges)
                           : ::subid_get_uid_ranges(argv[at], &ranges);
  if (ranges == nullptr) {
    std::fputs("Error fetching ranges\n", stderr);
    return 1;
  }
  for (int i = 0; i < count; ++i)
    std::printf("%d: %s %lu %lu\n", i, argv[at], ranges[i].start, ranges[i].count);
  return std::fflush(stdout) == 0 ? 0 : 1;
}
