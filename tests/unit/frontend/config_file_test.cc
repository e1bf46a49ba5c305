#include "frontend/spec/config_file.h"

#include <algorithm>

#include "frontend/spec/options.h"
#include "tests/unit/expect.h"

namespace userns::frontend {
namespace {

using test::contains;
using test::text_of;
using Many = std::vector<std::string>;

ConfigFile parsed(std::string_view text) {
  auto file = ConfigFile::parse(text, "config");
  EXPECT_EQ(text_of(file), "");
  return file ? *file : ConfigFile{};
}
Many pairs(const ConfigFile& file) {
  Many all;
  for (const auto& setting : file.settings()) all.push_back(setting.key + "=" + setting.value);
  return all;
}

TEST(ConfigFile, KeysAreTheOptionsAndAFewMore) {
  const auto file = parsed(
      "# web\n\n  memory =512M\nread-only=yes\nbind = /a:/b\nbind = /c:/d:ro\r\ngroup = juju\n"
      "env = A= b \nrestart = on-failure:3\n");
  EXPECT_EQ(pairs(file), (Many{"memory=512M", "read-only=yes", "bind=/a:/b", "bind=/c:/d:ro",
                               "group=juju", "env=A= b", "restart=on-failure:3"}));
  EXPECT_EQ(file.settings()[0].line, 3U);
}

TEST(ConfigFile, ErrorsSayWhere) {
  const std::pair<std::string_view, std::string_view> table[]{
      {"memory 512M", "config:1:1: no = in this line"},
      {"# x\n  memroy = 1\n", "config:2:3: there is no key 'memroy'; did you mean memory?"},
      {"\nmemory = much\n", "config:2:10: memory: 'much' is not a valid "},
      {"hostname = a\nhostname = b\n", "config:2:1: hostname was set in line 1 already"},
      {"= x", "config:1:1: there is no key ''"},
      {"\x7f"
       "ELF",
       "config:1:1: a control character"},
      {"env = A=\x01", "config:1:9: a control character"},
      {"env = \"A=b", "config:1:7: a quote is not closed"},
      {"env = \"A=b\" c", "config:1:7: something stands behind the closing quote"},
      {"env = \"\\q\"", "config:1:7: a backslash stands before"},
      {"env = \"A=\\x00\"", "config:1:7: a backslash stands before"},
      {"dry-run = yes", "config:1:1: dry-run is for one start"},
      {"autostart = maybe", "config:1:13: autostart: the value 'maybe' is"},
      {"restart = on-failure:0", "config:1:11: restart 'on-failure:0'"},
      {"hook = never=/bin/x", "config:1:8: hook "},
      {"hook = start=", "config:1:8: hook "},
      {"base = ../x", "config:1:8: base "},
      {"group = a b", "config:1:9: group "},
      {"command = 'sh", "config:1:11: command "},
  };
  for (const auto& [text, error] : table)
    EXPECT_TRUE(contains(text_of(ConfigFile::parse(text, "config")), error)) << text;
  EXPECT_FALSE(ConfigFile::parse(std::string_view("a\0b = c", 7), "config"));
}

TEST(ConfigFile, EditsKeepCommentsAndOrder) {
  auto file = parsed("# top\nmemory = 1G   \n# middle\nbind = /a:/b\nbind = /c:/d\n# end\n");
  EXPECT_EQ(text_of(file.set("memory", Many{"2G"})), "");
  EXPECT_EQ(text_of(file.add("bind", "/e:/f")), "");
  EXPECT_EQ(text_of(file.set("hostname", Many{"box"})), "");
  EXPECT_EQ(file.text(),
            "# top\nmemory = 2G\n# middle\nbind = /a:/b\nbind = /c:/d\n# end\nbind = "
            "/e:/f\nhostname = box\n");
  EXPECT_TRUE(file.unset("bind"));
  EXPECT_FALSE(file.unset("bind"));
  EXPECT_EQ(text_of(file.set("bind", Many{"/x:/y", "/z:/z"})), "");
  EXPECT_EQ(file.text(),
            "# top\nmemory = 2G\n# middle\n# end\nhostname = box\nbind = /x:/y\nbind = /z:/z\n");
}

TEST(ConfigFile, AnEditThatIsNoneOfTheKeysChangesNothing) {
  auto file = parsed("memory = 1G\n");
  EXPECT_TRUE(contains(text_of(file.set("memory", Many{"x"})), "memory: 'x' is no"));
  EXPECT_TRUE(contains(text_of(file.set("memory", Many{"1G", "2G"})), "given twice"));
  EXPECT_TRUE(contains(text_of(file.add("memory", "2G")), "takes one value"));
  EXPECT_TRUE(contains(text_of(file.set("nonsense", Many{"1"})), "there is no key"));
  EXPECT_EQ(file.text(), "memory = 1G\n");
}

TEST(ConfigFile, EveryValueComesBack) {
  for (const std::string value :
       {"A=", "A= b", "A=b ", "A=\"", "A=\n\t\x01\x7f", "A=\\", "A=é", "A=#", "A==", "A=\r"}) {
    ConfigFile file;
    ASSERT_EQ(text_of(file.add("env", value)), "");
    EXPECT_EQ(pairs(parsed(file.text())), Many{"env=" + value}) << file.text();
  }
}

std::vector<Setting> settings(std::string_view text) { return parsed(text).settings(); }

TEST(Merge, LaterFilesWinOrAdd) {
  const std::vector<Setting> files[]{
      settings("memory = 1G\nmap = auto\nbind = /a:/a\nnet = user\nenv = A=1\ngroup = "
               "all\nautostart = yes\ncommand = a\n"),
      settings("memory = 2G\nmap-self = yes\nbind = /b:/b\nnet = none\nenv = A=2\ngroup = "
               "web\nautostart = no\ncommand "
               "= b c\n")};
  const auto merged = merge(files);
  EXPECT_EQ(merged.words, (Many{"--bind=/a:/a", "--env=A=1", "--memory=2G", "--map-self=yes",
                                "--bind=/b:/b", "--net=none", "--env=A=2"}));
  EXPECT_EQ(merged.groups, (Many{"all", "web"}));
  EXPECT_EQ(merged.command, (Many{"b", "c"}));
  EXPECT_FALSE(merged.autostart);
  const std::vector<std::string_view> words(merged.words.begin(), merged.words.end());
  EXPECT_EQ(text_of(parse_options(words)), "");
}

TEST(Merge, EveryOptionCanStandInAFileOrSaysWhyNot) {
  for (const auto& option : container_options()) {
    const auto good = check_setting(option.name, "");
    EXPECT_TRUE(good || !contains(good.error().text, "there is no")) << option.name;
  }
}

TEST(Values, RestartAndHook) {
  EXPECT_EQ(parse_restart("on-failure:5")->most, 5U);
  EXPECT_EQ(parse_restart("always")->mode, RestartMode::kAlways);
  EXPECT_FALSE(parse_restart("on-failure:"));
  EXPECT_FALSE(parse_restart("on-failure:1000001"));
  const auto hook = parse_hook("post-stop=logger 'it is gone'");
  ASSERT_TRUE(hook);
  EXPECT_EQ(hook->event, HookEvent::kPostStop);
  EXPECT_EQ(hook->command, (Many{"logger", "it is gone"}));
}

}  // namespace
}  // namespace userns::frontend
