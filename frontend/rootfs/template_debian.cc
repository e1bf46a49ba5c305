#include "frontend/rootfs/template_debian.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "frontend/run/helper.h"
#include "frontend/run/signals.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::string_view kProgram = "mmdebstrap";
constexpr int kLookEvery = 200;  // ms
constexpr std::size_t kLargestText = 1UL << 20U;

// Addresses by DHCP on the container's interfaces, which nothing else in a small Debian sets up.
constexpr std::string_view kNetwork =
    R"(printf '[Match]\nName=eth* en* host*\nType=ether\n\n[Network]\nDHCP=yes\n\n[DHCPv4]\nClientIdentifier=mac\n' )"
    R"(>"$1/etc/systemd/network/80-dhcp.network" && chroot "$1" systemctl enable systemd-networkd >/dev/null 2>&1 && )"
    R"(chroot "$1" systemctl disable systemd-networkd-wait-online >/dev/null 2>&1)";

std::string file_text(const char* path) {
  const auto file = open_at(AT_FDCWD, path, O_RDONLY | O_NOCTTY);
  if (!file) return {};
  return read_all(*file, kLargestText).value_or("");
}

// A value of os-release(5).
std::string value_in(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    auto line = take_until(text, '\n');
    if (take_until(line, '=') != key) continue;
    if (line.size() >= 2 && (line.front() == '"' || line.front() == '\''))
      line = line.substr(1, line.size() - 2);
    return std::string(line);
  }
  return {};
}

std::vector<std::string> sources_for(const std::string& suite) {
  std::vector<std::string> sources;
  for (const char* path : {"/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources"})
    if (file_text(path).find(suite) != std::string::npos) sources.emplace_back(path);
  return sources;
}

std::string apt_config() {
  const Fd output(::memfd_create("apt-config", MFD_CLOEXEC));
  if (!output.valid()) return {};
  auto helper = Helper::start("/usr/bin/apt-config", {"dump"}, &output);
  if (!helper || !helper->finish() || ::lseek(output.get(), 0, SEEK_SET) < 0) return {};
  return read_all(output, kLargestText).value_or("");
}

bool is_on_path() {
  const char* const path = ::getenv("PATH");
  for (std::string_view rest = path == nullptr ? "/usr/local/bin:/usr/bin:/bin" : path;
       !rest.empty();)
    if (::access(concat(take_until(rest, ':'), "/", kProgram).c_str(), X_OK) == 0) return true;
  return false;
}

std::string all_of(const Fd& said) {
  if (::lseek(said.get(), 0, SEEK_SET) < 0) return {};
  std::string text(kLargestText, '\0');
  text.resize(read_some(said, text).value_or(0));
  return text;
}

// "I: running apt-get update..." -> "running apt-get update"
std::string stage_in(std::string_view said) {
  const auto at = said.rfind("I: ");
  if (at == std::string_view::npos) return {};
  auto line = said.substr(at + 3);
  line = line.substr(0, line.find_first_of(":\r\n"));
  while (line.ends_with('.')) line.remove_suffix(1);
  return std::string(line);
}

}  // namespace

std::vector<std::string> ways_to_mirrors(std::string_view dump) {
  std::vector<std::string> ways;
  while (!dump.empty()) {
    auto line = take_until(dump, '\n');
    const bool is_way = line.starts_with("Acquire::http::") ||
                        line.starts_with("Acquire::https::") ||
                        line.starts_with("Acquire::Check-") || line.starts_with("Acquire::Retries");
    if (line.ends_with(';')) line.remove_suffix(1);
    if (is_way) ways.emplace_back(line);
  }
  return ways;
}

std::string complaint_in(std::string_view said) {
  std::string last;
  std::string complaint;
  while (!said.empty()) {
    const auto line = take_until(said, '\n');
    if (line.find_first_not_of(" \r") == std::string_view::npos) continue;
    last = line;
    if (complaint.empty() && line.starts_with("E: ")) complaint = line.substr(3);
  }
  return complaint.empty() ? last : complaint;
}

std::vector<std::string> mmdebstrap_words(const DebianWish& wish,
                                          const std::vector<std::string>& sources,
                                          const std::vector<std::string>& options) {
  std::string packages = "systemd-sysv,dbus,iproute2";
  for (const auto& package : wish.packages) packages += concat(",", package);
  std::vector<std::string> words{std::string(kProgram),
                                 "--mode=unshare",
                                 "--format=tar",
                                 "--variant=minbase",
                                 concat("--include=", packages),
                                 concat("--customize-hook=", kNetwork)};
  for (const auto& option : options) words.push_back(concat("--aptopt=", option));
  words.push_back(wish.suite);
  words.emplace_back("-");
  words.insert(words.end(), sources.begin(), sources.end());
  return words;
}

Result<Mmdebstrap> Mmdebstrap::start(const DebianWish& wish) {
  if (!is_on_path())
    return fail({},
                "the debian template is made by mmdebstrap, which is not there: install it "
                "(package mmdebstrap), or "
                "make a tar of a Debian elsewhere and use --tar");
  auto exact = wish;
  const auto release = file_text("/etc/os-release");
  const auto own =
      value_in(release, "ID") == "debian" ? value_in(release, "VERSION_CODENAME") : std::string{};
  if (exact.suite.empty()) exact.suite = own.empty() ? "stable" : own;
  const auto sources = exact.suite == own ? sources_for(own) : std::vector<std::string>{};
  const auto words = mmdebstrap_words(exact, sources, ways_to_mirrors(apt_config()));
  auto pipe = TRY(make_pipe());
  Fd said(::memfd_create("mmdebstrap", MFD_CLOEXEC));
  if (!said.valid()) return fail_errno("cannot start mmdebstrap");
  const pid_t starter = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("cannot start mmdebstrap");
  if (pid == 0) {
    unblock_signals();
    become_program({.words = words,
                    .output = pipe.write.get(),
                    .errors = said.get(),
                    .dies_by = SIGTERM,
                    .starter = starter});
  }
  return Mmdebstrap(std::move(pipe.read), std::move(said), pid);
}

Result<void> Mmdebstrap::await_tar(const std::function<void(std::string_view)>& on_stage) {
  const auto signals = TRY(Signals::take({SIGINT, SIGTERM, SIGHUP, SIGQUIT}));
  const SignalsAgain again(signals);
  std::string stage;
  while (true) {
    std::array polled{pollfd{.fd = tar_.get(), .events = POLLIN, .revents = 0},
                      pollfd{.fd = signals.fd().get(), .events = POLLIN, .revents = 0}};
    if (::poll(polled.data(), polled.size(), kLookEvery) < 0 && errno != EINTR)
      return fail_errno("cannot wait for mmdebstrap");
    if (const auto number = signals.next())
      return fail({}, concat("interrupted by SIG", std::string_view(::sigabbrev_np(*number))),
                  EINTR);
    if (polled[0].revents != 0)
      return (polled[0].revents & POLLIN) != 0 ? Result<void>{} : finish();
    auto now = stage_in(all_of(said_));
    if (on_stage && !now.empty() && now != stage) on_stage(now);
    stage = std::move(now);
  }
}

Result<void> Mmdebstrap::finish() {
  // Behind the end of the archive there is some more; who writes it must not meet a closed pipe.
  std::array<char, 65536> rest;  // NOLINT(*-member-init): is not looked at
  while (tar_.valid() && read_some(tar_, rest).value_or(0) > 0) continue;
  tar_.reset();
  const int status = child_.end();
  if (status < 0) return fail_errno("lost mmdebstrap");
  if (status == 0) return {};
  const auto complaint = complaint_in(all_of(said_));
  if (!complaint.empty()) return fail({}, concat("mmdebstrap failed: ", quoted(complaint)));
  return fail({}, concat("mmdebstrap ", how_it_ended(status),
                         WIFSIGNALED(status) ? "" : " and said nothing"));
}

}  // namespace userns::frontend
