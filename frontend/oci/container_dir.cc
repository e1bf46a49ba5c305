#include "frontend/oci/container_dir.h"

#include <fcntl.h>
#include <linux/bpf_common.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#include "frontend/oci/config/read_config.h"
#include "frontend/start/ids/process_ids.h"
#include "frontend/store/files.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

using Json = nlohmann::json;

constexpr const char* kState = "state.json";
constexpr const char* kConfig = "config.json";
constexpr const char* kLock = "lock";
constexpr const char* kFilter = "filter";
constexpr const char* kCgroups = "cgroups";
// As many instructions as the kernel takes.
constexpr std::size_t kLargestFilter = BPF_MAXINSNS * sizeof(sock_filter);
constexpr std::size_t kLargestState = 1UL << 20U;
constexpr int kFormat = 1;

Result<void> check_id(const std::string& id) {
  constexpr std::string_view kLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.";
  constexpr std::size_t kLongest = 200;
  if (!id.empty() && id.size() <= kLongest && id != "." && id != ".." &&
      id.find_first_not_of(kLetters) == std::string::npos)
    return {};
  return fail({},
              concat(quoted(id), " is not a valid container id (letters, digits and _+-. only)"));
}

// The directory of all containers: made where it is missing, and nobody else's to write to.
Result<Fd> open_root(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST && errno != ENOENT)
    return fail_errno(concat("cannot make the directory of containers ", quoted(path)));
  auto root = open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY);
  if (!root && root.error().code == ENOENT) {
    const auto slash = path.rfind('/');
    if (slash == std::string::npos || slash == 0) return root;
    if (auto above = open_root(path.substr(0, slash)); !above) return above;
    return open_root(path);
  }
  return root;
}

Result<Fd> open_own_root(const std::string& path) {
  auto root = open_root(path);
  struct stat facts{};
  if (!root)
    return fail({}, concat("cannot open the directory of containers ", quoted(path)),
                root.error().code);
  if (::fstat(root->get(), &facts) != 0 || facts.st_uid != ::geteuid() ||
      (facts.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return fail({}, concat("the directory of containers ", quoted(path),
                           " can be written by others: it must be the caller's own, mode 0700"));
  return root;
}

Result<Fd> open_dir(const Fd& root, const std::string& id) {
  return open_at(root.get(), id.c_str(), O_RDONLY | O_DIRECTORY,
                 RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

// The place of a socket in an open directory, however long the directory's own path is.
sockaddr_un address_in(const Fd& dir) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const auto path = concat("/proc/self/fd/", dir.get(), "/", std::string_view(kOciStart));
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

Json to_json(const OciRecord& record) {
  Json json;
  json["format"] = kFormat;
  json["ociVersion"] = record.version;
  json["id"] = record.id;
  json["bundle"] = record.bundle;
  json["pid"] = record.process.pid;
  json["pidStart"] = record.process.start;
  json["created"] = record.created;
  json["cgroup"] = record.cgroup;
  json["annotations"] = Json::object();
  for (const auto& [name, value] : record.annotations) json["annotations"][name] = value;
  return json;
}

std::string text_of(const Json& json) {
  return json.dump(2, ' ', true, Json::error_handler_t::replace);
}

Result<OciRecord> parse_record(std::string_view text) {
  const auto json = Json::parse(text, nullptr, false);
  OciRecord record;
  try {
    if (json.at("format").get<int>() != kFormat)
      return fail({}, "state.json is of another version of userns-oci");
    json.at("ociVersion").get_to(record.version);
    json.at("id").get_to(record.id);
    json.at("bundle").get_to(record.bundle);
    json.at("pid").get_to(record.process.pid);
    json.at("pidStart").get_to(record.process.start);
    json.at("created").get_to(record.created);
    json.at("cgroup").get_to(record.cgroup);
    for (const auto& [name, value] : json.at("annotations").items())
      record.annotations.emplace_back(name, value.get<std::string>());
  } catch (const Json::exception&) {
    return fail({}, "state.json is not a state of userns-oci");
  }
  return record;
}

// Its parent may not have collected it yet.
bool has_ended(const ProcessId& process) {
  return process.pid <= 0 || !process.lives() || is_dying(process.pid);
}

bool is_frozen(const std::string& cgroup) {
  if (cgroup.empty()) return false;
  const auto text = read_file_at(AT_FDCWD, concat(cgroup, "/cgroup.freeze").c_str(), 64);
  return text && text->starts_with('1');
}

}  // namespace

std::string_view name_of(OciStatus status) {
  constexpr std::array<std::string_view, 5> kNames{"creating", "created", "running", "paused",
                                                   "stopped"};
  return kNames.at(static_cast<std::size_t>(status));
}

Result<void> ContainerDir::lock(bool wait) {
  auto file = TRY(open_at(dir_.get(), kLock, O_RDWR | O_CREAT | O_NOFOLLOW, RESOLVE_BENEATH, 0600));
  while (::flock(file.get(), LOCK_EX | (wait ? 0 : LOCK_NB)) != 0)
    if (errno != EINTR) return fail_errno(concat("container ", id_, " is being changed just now"));
  lock_ = std::move(file);
  return {};
}

Result<ContainerDir> ContainerDir::make(const std::string& path, const std::string& id) {
  TRY(check_id(id));
  auto root = TRY(open_own_root(path));
  const bool made = ::mkdirat(root.get(), id.c_str(), 0700) == 0;
  if (!made && errno != EEXIST) return fail_errno(concat("cannot make container ", id));
  auto dir = TRY(open_dir(root, id));
  ContainerDir container(std::move(root), std::move(dir), id);
  const auto taken = [&] { return fail({}, concat("container ", id, " exists already"), EEXIST); };
  if (auto locked = container.lock(false); !locked) return taken();
  // What a `create` that was killed has left is nobody's.
  if (const auto record = container.record(); record || record.error().code != ENOENT)
    return taken();
  return container;
}

Result<ContainerDir> ContainerDir::open(const std::string& path, const std::string& id,
                                        bool locked) {
  TRY(check_id(id));
  auto root = open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY);
  auto dir = root ? open_dir(*root, id) : Result<Fd>(std::unexpected(root.error()));
  if (!dir)
    return fail({}, concat("container ", quoted(id), " does not exist below ", path),
                dir.error().code);
  ContainerDir container(std::move(*root), std::move(*dir), id);
  if (locked) TRY(container.lock(true));
  return container;
}

Result<std::vector<std::string>> ContainerDir::list(const std::string& path) {
  const auto root = open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY);
  if (!root) return std::vector<std::string>{};
  auto names = list_directory(*root);
  if (names) std::erase_if(*names, [](const std::string& name) { return !check_id(name); });
  return names;
}

Result<OciRecord> ContainerDir::record() const {
  const auto text = read_file_at(dir_.get(), kState, kLargestState);
  if (!text && text.error().code != ENOENT)
    return fail({}, concat("cannot read the state of container ", id_), text.error().code);
  if (!text)
    return fail({}, concat("container ", id_, " is being created, or its creation was killed"),
                text.error().code);
  return parse_record(*text);
}

Result<void> ContainerDir::write(const OciRecord& record) const {
  return replace_file_of_this_boot(dir_, kState, text_of(to_json(record)));
}

Result<std::string> ContainerDir::config() const {
  return read_file_at(dir_.get(), kConfig, kLargestConfig);
}

Result<void> ContainerDir::keep_config(std::string_view text) const {
  return replace_file_of_this_boot(dir_, kConfig, text);
}

Result<void> ContainerDir::keep_filter(const SeccompFilter& filter) const {
  const auto& program = filter.program;
  return replace_file_of_this_boot(
      dir_, kFilter,
      {reinterpret_cast<const char*>(program.data()), program.size() * sizeof(sock_filter)});
}

Result<CgroupNote> ContainerDir::cgroups() const {
  const auto text = read_file_at(dir_.get(), kCgroups, kLargestState);
  if (!text && text.error().code == ENOENT) return CgroupNote{};
  if (!text) return std::unexpected(text.error());
  return parse_cgroup_note(*text);
}

Result<void> ContainerDir::keep_cgroups(const CgroupNote& note) const {
  return replace_file_of_this_boot(dir_, kCgroups, to_text(note));
}

Result<SeccompFilter> ContainerDir::filter(unsigned flags) const {
  const auto bytes = TRY(read_file_at(dir_.get(), kFilter, kLargestFilter));
  SeccompFilter filter{.program = std::vector<sock_filter>(bytes.size() / sizeof(sock_filter)),
                       .flags = flags};
  std::memcpy(filter.program.data(), bytes.data(), filter.program.size() * sizeof(sock_filter));
  return filter;
}

OciStatus ContainerDir::status(const OciRecord& record) const {
  if (has_ended(record.process)) return OciStatus::kStopped;
  if (::faccessat(dir_.get(), kOciStart, F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
      has_not_execed(record.process.pid))
    return OciStatus::kCreated;
  return is_frozen(record.cgroup) ? OciStatus::kPaused : OciStatus::kRunning;
}

Result<Fd> ContainerDir::listen() const {
  Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return fail_errno("cannot make a socket");
  ::unlinkat(dir_.get(), kOciStart, 0);  // of a `create` that was killed
  const auto address = address_in(dir_);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(socket.get(), 8) != 0)
    return fail_errno(concat("cannot make the place for `start` of container ", id_));
  return socket;
}

Result<Fd> ContainerDir::connect() const {
  Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return fail_errno("cannot make a socket");
  const auto address = address_in(dir_);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno(concat("cannot reach container ", id_, ", which waits for its start"));
  return socket;
}

void ContainerDir::forget_start() const { ::unlinkat(dir_.get(), kOciStart, 0); }

void ContainerDir::remove() const {
  if (const auto names = list_directory(dir_))
    for (const auto& name : *names)
      if (name != kLock) ::unlinkat(dir_.get(), name.c_str(), 0);
  ::unlinkat(dir_.get(), kLock, 0);
  ::unlinkat(root_.get(), id_.c_str(), AT_REMOVEDIR);
}

Result<std::string> oci_root(const std::string& told) {
  if (!told.empty()) return told;
  const char* const runtime = ::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && *runtime == '/')
    return concat(std::string_view(runtime), "/userns-oci");
  if (::geteuid() == 0) return std::string("/run/userns-oci");
  return fail({}, "XDG_RUNTIME_DIR is not set: say where containers are kept by --root DIR");
}

std::string state_text(const OciRecord& record, OciStatus status) {
  auto json = to_json(record);
  for (const char* own : {"format", "pidStart", "cgroup"}) json.erase(own);
  json["status"] = name_of(status);
  if (status == OciStatus::kStopped) json["pid"] = 0;
  if (record.annotations.empty()) json.erase("annotations");
  return text_of(json);
}

}  // namespace userns::frontend
