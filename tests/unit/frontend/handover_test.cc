#include "frontend/monitor/handover.h"

#include "tests/unit/expect.h"

namespace userns::frontend {
namespace {

Result<Handover> again(const Handover& handover) {
  const auto words = to_words(handover);
  const std::vector<std::string_view> views(words.begin(), words.end());
  return handover_from(views);
}

TEST(Handover, comes_through_as_words) {
  Handover all;
  all.directory = 5;
  all.lock = 6;
  all.control = 7;
  all.report = 8;
  all.name = "web";
  all.program = "/usr/bin/userns-run";
  all.path = "/home/a b/=x";
  all.log_size = 0;
  all.restart = true;
  all.restarts_left = 4294967295;
  all.restarts = 3;
  all.remove = true;
  all.pre_start = {"echo 'a=b' --c", "true"};
  all.clients = {{.fd = 9, .watches = true}, {.fd = 10, .watches = false}};
  all.pid = 77;
  all.kind = "systemd";
  all.stop_signal = 37;
  all.boots = true;
  all.ready_within = 0;
  all.limits = {{"memory.max", "--memory 512M"}};
  all.rest = {"--memory=1G", "--", "sh", "-c", "", "key=value", "--"};
  const auto found = again(all);
  ASSERT_TRUE(found) << test::text_of(found);
  EXPECT_EQ(to_words(*found), to_words(all));
  EXPECT_EQ(found->rest, all.rest);
  EXPECT_EQ(found->limits, all.limits);
  EXPECT_EQ(found->terminal, -1);
  EXPECT_EQ(found->path, all.path);
  EXPECT_EQ(found->clients.size(), 2U);
  EXPECT_TRUE(found->clients[0].watches);
}

TEST(Handover, of_other_words_is_refused) {
  for (const std::string_view word : {"web", "lock=", "lock=x", "lock=-1", "lock=99999999999",
                                      "remove=maybe", "client=3", "client=3:sleeps", "=3", ""}) {
    const std::vector words{word};
    EXPECT_FALSE(handover_from(words)) << word;
  }
}

}  // namespace
}  // namespace userns::frontend
