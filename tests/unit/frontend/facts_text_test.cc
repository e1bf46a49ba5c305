#include "frontend/cli/facts_text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace userns::frontend {
namespace {

constexpr std::int64_t kNow = 1000;
const LastEnd kKilled{
    .exit_status = 137, .ended_at = 925, .text = "the memory limit (--memory 64M) was reached"};

ContainerFacts some_facts() {
  return {
      .name = "web", .path = "/c/web", .running = {}, .last_end = {}, .config = {}, .problem = {}};
}

RunningFacts some_run() {
  return {.pid = 7,
          .init = "command",
          .started_at = 990,
          .frozen = false,
          .memory = {},
          .addresses = {}};
}

TEST(LastEndText, StandsInInfoWithWhatWasMet) {
  auto facts = some_facts();
  facts.last_end = kKilled;
  const auto text = info_text(facts, {}, kNow);
  EXPECT_TRUE(text.contains(
      "\nLast end:   status 137, 1m 15s ago; the memory limit (--memory 64M) was reached\n"))
      << text;
  facts.last_end->text.clear();
  EXPECT_TRUE(info_text(facts, {}, kNow).contains("\nLast end:   status 137, 1m 15s ago\n"));
}

TEST(LastEndText, IsToldOfOneThatRunsAgain) {
  auto facts = some_facts();
  facts.running = some_run();
  facts.last_end = kKilled;
  const auto text = info_text(facts, {}, kNow);
  EXPECT_TRUE(text.contains("State:      running\n") && text.contains("Last end:   status 137"))
      << text;
}

TEST(Uptime, IsNotThatSince1970WhileItStarts) {
  auto facts = some_facts();
  facts.running = RunningFacts{};
  EXPECT_FALSE(info_text(facts, {}, kNow).contains("Uptime"));
  EXPECT_FALSE(list_table({&facts, 1}, kNow, {}).contains("16m"));
  EXPECT_TRUE(nlohmann::json::parse(info_json(facts, {})).at("started_at").is_null());
}

TEST(LastEndText, IsNotThereWhereNothingIsKnown) {
  EXPECT_FALSE(info_text(some_facts(), {}, kNow).contains("Last end"));
  const auto json = nlohmann::json::parse(info_json(some_facts(), {}));
  EXPECT_TRUE(json.contains("last_end") && json["last_end"].is_null()) << json;
}

TEST(LastEndText, OfProgramsIsAnObject) {
  auto facts = some_facts();
  facts.last_end = kKilled;
  const nlohmann::json wanted{{"exit_status", 137}, {"ended_at", 925}, {"text", kKilled.text}};
  EXPECT_EQ(nlohmann::json::parse(list_json({&facts, 1})).at(0).at("last_end"), wanted);
  facts.last_end->text.clear();
  EXPECT_TRUE(nlohmann::json::parse(info_json(facts, {})).at("last_end").at("text").is_null());
}

}  // namespace
}  // namespace userns::frontend
