#include "frontend/rootfs/template_busybox.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "frontend/rootfs/archive/path_names.h"
#include "frontend/rootfs/archive/walk.h"
#include "frontend/run/helper.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::array kPlaces{"/bin/busybox", "/usr/bin/busybox", "/usr/local/bin/busybox",
                             "/bin/busybox.static", "/usr/bin/busybox.static"};
constexpr std::size_t kLargestList = 1UL << 16U;

// --- the host's busybox -------------------------------------------------------------------------

// Whether nothing else has to be loaded for it to run.
bool is_static(const Fd& program) {
  Elf64_Ehdr head{};
  if (::pread(program.get(), &head, sizeof head, 0) != sizeof head ||
      std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0)
    return false;
  if (head.e_ident[EI_CLASS] != ELFCLASS64)
    return true;  // not one of this machine's: its list tells
  for (unsigned i = 0; i < head.e_phnum; ++i) {
    Elf64_Phdr part{};
    const auto at = static_cast<off_t>(head.e_phoff + std::uint64_t{i} * head.e_phentsize);
    if (::pread(program.get(), &part, sizeof part, at) != sizeof part || part.p_type == PT_INTERP)
      return false;
  }
  return true;
}

Result<std::vector<std::string>> applets_of(const char* path) {
  const Fd output(::memfd_create("applets", MFD_CLOEXEC));
  if (!output.valid()) return fail_errno("cannot ask busybox what it can do");
  auto helper = TRY(Helper::start(path, {"--list-full"}, &output));
  TRY(helper.finish());
  if (::lseek(output.get(), 0, SEEK_SET) < 0)
    return fail_errno("cannot ask busybox what it can do");
  const auto text = TRY(read_all(output, kLargestList));
  std::vector<std::string> applets;
  for (std::string_view rest = text; !rest.empty();) {
    const auto line = take_until(rest, '\n');
    if (!line.empty() && line != "linuxrc" && line != "bin/busybox") applets.emplace_back(line);
  }
  return applets;
}

// --- the tree -----------------------------------------------------------------------------------

struct Text {
  const char* path;
  mode_t mode;
  std::string_view text;
};
constexpr std::array<std::pair<const char*, mode_t>, 18> kDirectories{{{"bin", 0755},
                                                                       {"dev", 0755},
                                                                       {"etc", 0755},
                                                                       {"etc/init.d", 0755},
                                                                       {"home", 0755},
                                                                       {"mnt", 0755},
                                                                       {"proc", 0555},
                                                                       {"root", 0700},
                                                                       {"run", 0755},
                                                                       {"sbin", 0755},
                                                                       {"sys", 0555},
                                                                       {"tmp", 01777},
                                                                       {"usr", 0755},
                                                                       {"usr/bin", 0755},
                                                                       {"usr/sbin", 0755},
                                                                       {"var", 0755},
                                                                       {"var/log", 0755},
                                                                       {"var/tmp", 01777}}};
constexpr std::array kTexts{
    Text{"etc/passwd", 0644,
         "root:x:0:0:root:/root:/bin/sh\n"
         "daemon:x:1:1:daemon:/:/bin/false\n"
         "nobody:x:65534:65534:nobody:/:/bin/false\n"},
    // No password is the right one: the console is whoever started the container.
    Text{"etc/shadow", 0640, "root:*:::::::\ndaemon:*:::::::\nnobody:*:::::::\n"},
    Text{"etc/group", 0644,
         "root:x:0:\ndaemon:x:1:\ntty:x:5:\ndisk:x:6:\nadm:x:4:\nutmp:x:43:\nusers:x:100:\nnogroup:"
         "x:65534:\n"},
    Text{"etc/shells", 0644, "/bin/sh\n/bin/ash\n"},
    Text{"etc/hosts", 0644, "127.0.0.1 localhost\n::1 localhost\n"},
    Text{"etc/profile", 0644,
         "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
         "[ \"$(id -u)\" = 0 ] && PS1='\\h:\\w# ' || PS1='\\h:\\w$ '\n"},
    Text{"etc/fstab", 0644, ""},
    Text{"etc/os-release", 0644,
         "NAME=\"BusyBox\"\nID=busybox\nPRETTY_NAME=\"BusyBox, made from the host's\"\n"},
    Text{"etc/inittab", 0644,
         "::sysinit:/etc/init.d/rcS\n"
         "::respawn:-/bin/sh\n"
         "::ctrlaltdel:/sbin/reboot\n"
         "::shutdown:/etc/init.d/rcK\n"
         "::restart:/sbin/init\n"},
    Text{"etc/init.d/rcS", 0755,
         "#!/bin/sh\n"
         "# When the container starts. What is in /etc/init.d/*.start is run, too.\n"
         "[ -s /etc/hostname ] && hostname -F /etc/hostname 2>/dev/null\n"
         "mkdir -p /run/lock\n"
         "[ -e /var/run ] || ln -s /run /var/run\n"
         "for nic in /sys/class/net/*; do\n"
         "  nic=${nic##*/}\n"
         "  [ \"$nic\" != lo ] && [ \"$nic\" != '*' ] || continue\n"
         "  # One that has an address was set up by who started the container.\n"
         "  ip -4 addr show dev \"$nic\" | grep -q 'inet ' && continue\n"
         "  ip link set \"$nic\" up\n"
         "  udhcpc -b -i \"$nic\" -s /usr/share/udhcpc/default.script -p \"/run/udhcpc.$nic.pid\" "
         "\\\n"
         "    -x \"hostname:$(hostname)\" >/dev/null 2>&1 </dev/null &\n"
         "done\n"
         "for script in /etc/init.d/*.start; do [ -x \"$script\" ] && \"$script\"; done\n"
         "exit 0\n"},
    Text{"etc/init.d/rcK", 0755,
         "#!/bin/sh\n"
         "# When the container stops.\n"
         "for script in /etc/init.d/*.stop; do [ -x \"$script\" ] && \"$script\"; done\n"
         "exit 0\n"},
    Text{"usr/share/udhcpc/default.script", 0755,
         "#!/bin/sh\n"
         "# Called by udhcpc(8) with what the DHCP server said.\n"
         "case $1 in\n"
         "deconfig)\n"
         "  ip -4 addr flush dev \"$interface\"\n"
         "  ip link set \"$interface\" up\n"
         "  ;;\n"
         "bound | renew)\n"
         "  ip addr replace \"$ip/${mask:-24}\" ${broadcast:+broadcast \"$broadcast\"} dev "
         "\"$interface\"\n"
         "  metric=0\n"
         "  for one in $router; do\n"
         "    ip route replace default via \"$one\" dev \"$interface\" metric $metric\n"
         "    metric=$((metric + 1))\n"
         "  done\n"
         "  {\n"
         "    [ -n \"$domain\" ] && echo \"search $domain\"\n"
         "    for one in $dns; do echo \"nameserver $one\"; done\n"
         "  } >/etc/resolv.conf.$$ && mv /etc/resolv.conf.$$ /etc/resolv.conf\n"
         "  ;;\n"
         "esac\n"},
};

// Where busyboxes of distributions look for it when udhcpc is called by hand: Debian's below /etc,
// others where it is.
constexpr auto kOtherScript = "etc/udhcpc/default.script";

class Maker {
 public:
  explicit Maker(const Fd& top) : walk_(top) {}

  Result<void> directory(const char* path, mode_t mode) {
    const auto place = TRY(place_of(path));
    if (::mkdirat(place.first, place.second.c_str(), mode) != 0)
      return fail_errno(concat("cannot make /", std::string_view(path)));
    return {};
  }
  Result<Fd> file(std::string_view path, mode_t mode) {
    const auto place = TRY(place_of(path));
    Fd file(
        ::openat(place.first, place.second.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
    if (!file.valid()) return fail_errno(concat("cannot make /", path));
    return file;
  }
  Result<void> link(std::string_view path, const char* target) {
    const auto place = TRY(place_of(path));
    if (::symlinkat(target, place.first, place.second.c_str()) != 0)
      return fail_errno(concat("cannot make /", path));
    return {};
  }
  [[nodiscard]] std::uint64_t count() const { return count_; }

 private:
  Result<std::pair<int, std::string>> place_of(std::string_view path) {
    const auto names = TRY(path_names(path));
    if (names.empty()) return fail({}, "busybox lists an applet without a name");
    ++count_;
    const auto parent = TRY(walk_.parent_of(names, true));
    return std::pair(parent, std::string(names.back()));
  }

  Walk walk_;
  std::uint64_t count_ = 0;
};

Result<void> copy_program(Maker& maker, const Fd& program) {
  const auto copy = TRY(maker.file("bin/busybox", 0755));
  off_t at = 0;
  while (true) {
    const auto sent = ::sendfile(copy.get(), program.get(), &at, 1UL << 30U);
    if (sent < 0) return fail_errno("cannot copy busybox");
    if (sent == 0) return {};
  }
}

}  // namespace

Result<Busybox> find_busybox() {
  bool found = false;
  for (const char* path : kPlaces) {
    auto program = open_at(AT_FDCWD, path, O_RDONLY);
    if (!program) continue;
    found = true;
    if (!is_static(*program)) continue;
    auto applets = TRY(applets_of(path));
    return Busybox{.program = std::move(*program), .applets = std::move(applets)};
  }
  return fail({}, found ? "the busybox of this machine needs shared libraries and would not run "
                          "alone: install busybox-static"
                        : "there is no busybox on this machine: install busybox-static");
}

Result<std::uint64_t> make_busybox_tree(const Fd& top, const Busybox& busybox) {
  ::umask(0);
  if (::fchmod(top.get(), 0755) != 0) return fail_errno("cannot set the mode of the root");
  Maker maker(top);
  for (const auto& [path, mode] : kDirectories) TRY(maker.directory(path, mode));
  TRY(copy_program(maker, busybox.program));
  for (const auto& applet : busybox.applets) TRY(maker.link(applet, "/bin/busybox"));
  for (const auto& text : kTexts) {
    const auto file = TRY(maker.file(text.path, text.mode));
    TRY(write_all(file, text.text));
  }
  TRY(maker.link(kOtherScript, "/usr/share/udhcpc/default.script"));
  return maker.count();
}

}  // namespace userns::frontend
