#include "frontend/start/record.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "common/fd.h"
#include "frontend/start/plan/namespaces.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

nlohmann::json json_of(const ChosenMap& map) {
  auto list = nlohmann::json::array();
  for (const auto& extent : map.extents)
    list.push_back({{"inside", extent.inside().first()},
                    {"outside", extent.outside().first()},
                    {"count", extent.count()}});
  return list;
}

}  // namespace

Result<std::string> describe(const Plan& plan, pid_t pid) {
  nlohmann::json info{
      {"pid", pid}, {"uid_map", json_of(plan.ids.uids)}, {"gid_map", json_of(plan.ids.gids)}};
  for (const auto& kind : kNamespaceKinds) {
    // A time namespace holds the children of who asked for it; clone3 makes it for the child
    // itself.
    struct stat facts{};
    if (::stat(concat("/proc/", pid, "/ns/", kind.file).c_str(), &facts) != 0)
      return fail_errno(concat("cannot see the container's ", kind.word, " namespace"));
    info["namespaces"][kind.file] = {{"id", facts.st_ino},
                                     {"own", (plan.namespaces & kind.flag) != 0}};
  }
  if (plan.boot)
    info["init"] = {{"kind", name_of(plan.boot->init.kind)}, {"path", plan.boot->init.path}};
  return info.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

std::string with_mount_namespace(const std::string& json, std::uint64_t id) {
  if (id == 0) return json;
  auto info = nlohmann::json::parse(json);
  info["namespaces"]["mnt"]["id"] = id;
  return info.dump();
}

Result<void> write_info(const Plan& plan, const std::string& json) {
  Fd out(*plan.spec.info_fd);
  auto written = write_all(out, concat(json, "\n"));
  // A system that boots has more to tell.
  if (*plan.spec.info_fd <= STDERR_FILENO || plan.boot) (void)out.release();
  if (!written)
    return fail({}, concat("cannot write to --info-fd ", *plan.spec.info_fd), written.error().code);
  return {};
}

Result<void> PidFile::write(const std::string& path, pid_t pid) {
  const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!file.valid()) return fail_errno(concat("cannot make the pid file ", userns::quoted(path)));
  path_ = path;
  if (auto written = write_all(file, concat(pid, "\n")); !written)
    return fail({}, concat("cannot write the pid file ", userns::quoted(path)),
                written.error().code);
  return {};
}

PidFile::~PidFile() {
  if (!path_.empty()) (void)::unlink(path_.c_str());
}

}  // namespace userns::frontend
