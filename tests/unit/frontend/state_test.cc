#include "frontend/store/state.h"

#include <sys/stat.h>

#include <array>
#include <csignal>
#include <cstdlib>

#include "policy/text.h"
#include "tests/unit/expect.h"

namespace userns::frontend {
namespace {

struct Directory {
  std::string path = "/tmp/userns-state-XXXXXX";
  Fd fd;
  Directory() {
    if (::mkdtemp(path.data()) != nullptr)
      fd = Fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  ~Directory() {
    for (const char* name : {kRunningFile, kStateFile, kLastFile, kControlFile})
      ::unlinkat(fd.get(), name, 0);
    ::rmdir(path.c_str());
  }
};

State some_state() {
  return {.version = "0.9",
          .boot_id = boot_id(),
          .monitor = ProcessId::of(::getpid()).value(),
          .init = {.pid = 1, .start = 2},
          .started_at = 1700000000,
          .kind = "systemd",
          .restarts = 1,
          .namespaces = 0x7e020080,
          .user_namespace = 4026532000,
          .user_namespace_id = 4711,
          .root = {.device = 5, .inode = 6},
          .ids = {.uids = {*IdRange::make(100000, 65536)}, .gids = {}},
          .cgroup = "/sys/fs/cgroup/x",
          .own_root = true,
          .dress = {.cap_drop = {1, 2},
                    .cap_keep = std::vector{3},
                    .no_new_privs = true,
                    .seccomp = false,
                    .nesting = true,
                    .rlimits = {{.resource = 7, .soft = 1, .hard = ~std::uint64_t{0}}},
                    .env = {{"A", "b=\"c\""}}},
          .command = {"sh", "-c", "\xff"},
          .autostart = true,
          .groups = {"web", "all"}};
}

std::string without(std::string text, std::string_view part) {
  const auto at = text.find(part);
  EXPECT_NE(at, std::string::npos) << part;
  return at == std::string::npos ? text : text.erase(at, part.size());
}

TEST(State, is_read_back_as_it_was_written) {
  const auto text = to_json(some_state());
  const auto state = state_from_json(text);
  EXPECT_EQ(state.problem, "");
  EXPECT_EQ(to_json(state), text);
  EXPECT_EQ(state.dress.rlimits.at(0).hard, ~std::uint64_t{0});
  EXPECT_EQ(state.dress.cap_keep, std::vector{3});
  EXPECT_TRUE(state.autostart);
  EXPECT_EQ(state.groups, (std::vector<std::string>{"web", "all"}));
  EXPECT_EQ(state.ids.uids.at(0), IdRange::make(100000, 65536));
  EXPECT_EQ(state.user_namespace_id, 4711U);
  EXPECT_EQ(state.root, (FileId{.device = 5, .inode = 6}));
}

TEST(State, of_an_older_version_is_read_and_knows_nothing_of_what_came_later) {
  auto text = to_json(some_state());
  for (const std::string_view part :
       {R"("autostart":true,)", R"("groups":["web","all"],)", R"(,"version":"0.9")",
        R"(,"user_namespace":4026532000)", R"(,"user_namespace_id":4711)", R"("root":[5,6],)",
        R"(,"uids":[[100000,65536]])"})
    text = without(text, part);
  const auto state = state_from_json(text);
  EXPECT_EQ(state.problem, "");
  EXPECT_EQ(state.kind, "systemd");
  EXPECT_FALSE(state.autostart);
  EXPECT_TRUE(state.groups.empty());
}

TEST(State, that_cannot_be_read_whole_says_so_and_keeps_what_can_be_read) {
  for (const std::string_view text : {"", "{", "[]", "null", "7"})
    EXPECT_EQ(state_from_json(text).problem, "damaged (state.json)") << text;
  for (const std::string_view text : {"{}", R"({"boot_id":3})"})
    EXPECT_TRUE(state_from_json(text).problem.starts_with("written by another version, which this"))
        << text;
  auto text = to_json(some_state());
  text.replace(text.find("1700000000"), 10, "\"x\"");
  const auto state = state_from_json(text);
  EXPECT_TRUE(state.problem.starts_with("written by version 0.9, which this one ("));
  EXPECT_TRUE(state.problem.ends_with(") does not read (started_at)"));
  EXPECT_EQ(state.init.pid, 1);
  EXPECT_EQ(state.kind, "systemd");
}

TEST(State, is_that_of_a_running_container_only_while_the_lock_is_held) {
  const Directory directory;
  EXPECT_FALSE(read_state(directory.fd).value());
  auto lock = lock_run(directory.fd).value();
  ASSERT_TRUE(lock);
  EXPECT_FALSE(lock_run(directory.fd).value()) << "two runs at once";
  EXPECT_EQ(read_state(directory.fd).value().value().init.pid, 0) << "it is being started";
  ASSERT_TRUE(write_state(directory.fd, some_state()));
  EXPECT_EQ(read_state(directory.fd).value().value().kind, "systemd");
  auto old = some_state();
  old.monitor.start += 1;
  ASSERT_TRUE(write_state(directory.fd, old));
  EXPECT_EQ(read_state(directory.fd).value().value().kind, "")
      << "another process with the monitor's number";
  old = some_state();
  old.boot_id = "another";
  ASSERT_TRUE(write_state(directory.fd, old));
  EXPECT_EQ(read_state(directory.fd).value().value().kind, "") << "before a reboot";
  lock->reset();
  EXPECT_FALSE(read_state(directory.fd).value());
}

TEST(State, of_a_killed_monitor_is_cleaned_up_with_what_it_left) {
  const Directory directory;
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  auto state = some_state();
  state.cgroup.clear();
  state.init = ProcessId::of(child).value();
  ASSERT_TRUE(write_state(directory.fd, state));
  ASSERT_TRUE(clean_up_after_crash(directory.fd));
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_NE(::faccessat(directory.fd.get(), kStateFile, F_OK, 0), 0);
}

TEST(State, never_kills_a_process_that_only_has_the_number) {
  const Directory directory;
  auto state = some_state();
  state.cgroup.clear();
  state.init = {.pid = ::getpid(), .start = ProcessId::of(::getpid()).value().start + 1};
  ASSERT_TRUE(write_state(directory.fd, state));
  ASSERT_TRUE(clean_up_after_crash(directory.fd));
}

TEST(LastEnd, is_read_back_as_it_was_written) {
  const Directory directory;
  EXPECT_FALSE(read_last_end(directory.fd));
  ASSERT_TRUE(
      write_last_end(directory.fd, {.exit_status = 137, .ended_at = 12, .text = "a \"b\"\n\\"}));
  const auto last = read_last_end(directory.fd).value();
  EXPECT_EQ(last.exit_status, 137);
  EXPECT_EQ(last.text, "a 'b'''");
}

}  // namespace
}  // namespace userns::frontend
