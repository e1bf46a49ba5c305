#include "frontend/oci/verbs.h"

#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <nlohmann/json.hpp>

#include "common/config.h"
#include "frontend/oci/bundle.h"
#include "frontend/oci/cgroup/entry.h"
#include "frontend/oci/cgroup/new_limits.h"
#include "frontend/oci/container_dir.h"
#include "frontend/oci/create.h"
#include "frontend/oci/engine/console_socket.h"
#include "frontend/oci/exec.h"
#include "frontend/oci/feature_list.h"
#include "frontend/oci/life.h"
#include "frontend/oci/log.h"
#include "frontend/oci/wait.h"
#include "frontend/spec/printable.h"
#include "frontend/spec/values.h"
#include "frontend/start/seal.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

using Json = nlohmann::json;

Result<int> print(std::string_view text) {
  const Fd output(::dup(STDOUT_FILENO));
  const auto done = write_all(output, printable_lines(text));
  return done ? Result<int>(0) : std::unexpected(done.error());
}

Result<int> done(const Result<void>& result) {
  return result ? Result<int>(0) : std::unexpected(result.error());
}

// --- create, run ----------------------------------------------------------------------------

Result<void> seal(const OciConfig& config) {
  if (!config.makes(CLONE_NEWUSER)) return be_out_of_own_reach();
  ChosenIds ids;
  ids.uids.extents = config.uids;
  ids.gids.extents = config.gids;
  return be_out_of_reach(ids);
}

void warn_of_capabilities(const Arguments& told, const CapabilitySets& sets) {
  for (const auto& name : sets.unknown)
    log_warning(told, {.rule = {},
                       .code = 0,
                       .text = concat("config.json: process.capabilities: ", quoted(name),
                                      " is not a capability that this kernel knows: left out")});
}

struct Ready {
  Bundle bundle;
  CgroupChoice cgroup;
};
// This program may become another one twice on the way, and begin again.
Result<Ready> prepare(const Arguments& told) {
  const auto root = TRY(oci_root(told.root));
  auto bundle = TRY(open_bundle(told.bundle));
  auto cgroup = TRY(choose_cgroup(told, bundle.config, root));
  TRY(seal(bundle.config));
  TRY(compile_filter(bundle));
  if (bundle.config.process) warn_of_capabilities(told, bundle.config.process->capabilities);
  return Ready{std::move(bundle), std::move(cgroup)};
}

bool has_terminal(const Bundle& bundle) {
  return bundle.config.process && bundle.config.process->terminal;
}

Result<int> create(const Arguments& told) {
  const auto ready = TRY(prepare(told));
  const bool tty = has_terminal(ready.bundle);
  if (tty != !told.console_socket.empty())
    return fail({}, tty ? "process.terminal needs --console-socket"
                        : "--console-socket is for a process with a terminal (process.terminal)");
  TakeTerminal terminal;
  if (tty) {
    auto socket = TRY(to_console_socket(told.console_socket));
    terminal = std::move(socket);
  }
  const auto record = create_container(told, ready.bundle, ready.cgroup, terminal);
  return record ? Result<int>(0) : std::unexpected(record.error());
}

Result<int> finish_run(const Arguments& told, const std::string& root, Result<int> status) {
  if (told.keep && status) return status;
  const auto removed = delete_container(root, told.id, true);
  return status && !removed ? std::unexpected(removed.error()) : status;
}

Result<int> run(const Arguments& told) {
  const auto ready = prepare(told);
  const auto root = oci_root(told.root);
  if (!ready) return std::unexpected(ready.error());
  if (!root) return std::unexpected(root.error());
  const bool tty = has_terminal(ready->bundle);
  auto foreground = TRY(Foreground::take());
  auto terminal = TRY(foreground.taker(told, tty));
  const auto record = TRY(create_container(told, ready->bundle, ready->cgroup, terminal));
  if (auto started = start_container(*root, told.id); !started)
    return finish_run(told, *root, std::unexpected(started.error()));
  if (told.detach) return 0;
  return finish_run(told, *root,
                    foreground.wait(record.process.pid, tty && told.console_socket.empty()));
}

// --- looking --------------------------------------------------------------------------------

Result<int> state(const Arguments& told) {
  const auto root = oci_root(told.root);
  const auto dir = root ? ContainerDir::open(*root, told.id) : std::unexpected(root.error());
  const auto record = TRY(dir ? dir->record() : std::unexpected(dir.error()));
  return print(concat(state_text(record, dir->status(record)), "\n"));
}

struct Listed {
  OciRecord record;
  OciStatus status;
};
Result<std::vector<Listed>> all_containers(const std::string& root) {
  const auto names = TRY(ContainerDir::list(root));
  std::vector<Listed> all;
  for (const auto& name : names) {
    const auto dir = ContainerDir::open(root, name);
    auto record = dir ? dir->record() : std::unexpected(dir.error());
    if (!record) continue;  // it is just being made, or has just gone
    const auto status = dir->status(*record);
    all.push_back({std::move(*record), status});
  }
  return all;
}

std::string table_line(const Listed& one) {
  const pid_t pid = one.status == OciStatus::kStopped ? 0 : one.record.process.pid;
  return concat(one.record.id, "  ", pid, "  ", name_of(one.status), "  ", one.record.bundle, "  ",
                one.record.created, "\n");
}

Result<int> list(const Arguments& told) {
  const auto root = oci_root(told.root);
  const auto all = TRY(root ? all_containers(*root) : std::unexpected(root.error()));
  std::string text = told.quiet ? "" : "ID  PID  STATUS  BUNDLE  CREATED\n";
  auto json = Json::array();
  for (const auto& one : all) {
    text += told.quiet ? concat(one.record.id, "\n") : table_line(one);
    json.push_back(Json::parse(state_text(one.record, one.status)));
  }
  return print(told.json ? concat(json.dump(2, ' ', true), "\n") : text);
}

Result<int> ps(const Arguments& told) {
  const auto root = oci_root(told.root);
  const auto dir = root ? ContainerDir::open(*root, told.id) : std::unexpected(root.error());
  const auto record = dir ? dir->record() : std::unexpected(dir.error());
  const auto pids = TRY(record ? processes_of(*dir, *record) : std::unexpected(record.error()));
  if (told.json) return print(concat(Json(pids).dump(), "\n"));
  std::string text = "PID\n";
  for (const pid_t pid : pids) text += concat(pid, "\n");
  return print(text);
}

Result<int> kill(const Arguments& told) {
  const auto root = oci_root(told.root);
  const auto number = parse_signal(told.words.empty() ? "TERM" : told.words.front());
  if (!root) return std::unexpected(root.error());
  if (!number) return std::unexpected(number.error());
  return done(kill_container(*root, told.id, *number, told.all));
}

Result<int> start(const Arguments& told) {
  const auto root = oci_root(told.root);
  return root ? done(start_container(*root, told.id)) : std::unexpected(root.error());
}

Result<int> remove(const Arguments& told) {
  const auto root = oci_root(told.root);
  return root ? done(delete_container(*root, told.id, told.force)) : std::unexpected(root.error());
}

Result<int> pause(const Arguments& told) {
  const auto root = oci_root(told.root);
  return root ? done(pause_container(*root, told.id, true)) : std::unexpected(root.error());
}
Result<int> resume(const Arguments& told) {
  const auto root = oci_root(told.root);
  return root ? done(pause_container(*root, told.id, false)) : std::unexpected(root.error());
}

Result<int> update(const Arguments& told) {
  const auto root = TRY(oci_root(told.root));
  const auto resources = TRY(resources_of(told));
  return done(update_container(root, told.id, resources));
}

Result<int> features(const Arguments&) { return print(concat(features_text(), "\n")); }
Result<int> help(const Arguments&) { return print(usage()); }
Result<int> version(const Arguments&) {
  return print(concat("userns-oci version ", std::string_view(kVersion), "\nspec: 1.2.0\n"));
}

struct Entry {
  std::string_view verb;
  Result<int> (*run)(const Arguments&);
};
constexpr Entry kEntries[]{{"create", create},
                           {"start", start},
                           {"run", run},
                           {"state", state},
                           {"kill", kill},
                           {"delete", remove},
                           {"list", list},
                           {"exec", exec_in_container},
                           {"ps", ps},
                           {"pause", pause},
                           {"resume", resume},
                           {"update", update},
                           {"features", features},
                           {"--help", help},
                           {"--version", version}};

}  // namespace

Result<int> run_verb(const Arguments& told) {
  for (const auto& entry : kEntries)
    if (entry.verb == told.verb) return entry.run(told);
  return fail({}, concat("there is no verb ", quoted(told.verb)));
}

}  // namespace userns::frontend
