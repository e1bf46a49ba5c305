# shellcheck shell=bash disable=SC2034
# What packaging/quickstart and packaging/check share. Sourced, not run.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# What the suite is built from, and what its tests need (the helpers themselves need only libcap, libaudit with libcap-ng, and libmnl for userns-net).
build_packages=(g++ meson ninja-build pkg-config libcap-dev libaudit-dev libauparse-dev libcap-ng-dev libsubid-dev libseccomp-dev
  libboost-program-options-dev libarchive-dev libbz2-dev liblz4-dev liblzma-dev
  libzstd-dev nettle-dev zlib1g-dev libmnl-dev nlohmann-json3-dev libgtest-dev python3)

# What packaging/check needs beside these; the names are those of Debian 12 and 13.
check_packages=(ccache clang-19 clang-tidy-19 clang-format-19 libclang-rt-19-dev git mandoc shellcheck strace acl attr
  libcap2-bin bzip2 lz4 xz-utils zstd)
# Other programs for the same work: what ours is tested with and against.
peer_packages=(skopeo docker-registry umoci openssl jq uidmap lxc bubblewrap keyutils crun runc podman buildah rootlesskit slirp4netns passt mmdebstrap busybox-static zsh fish
  iproute2 nftables dnsmasq-base iputils-ping util-linux procps auditd bindfs)
# A booted Debian for the tests that need one: cgroup v2 alone, systemd, auditd, AppArmor.
guest_packages=(qemu-system-x86 qemu-utils e2fsprogs cpio)
# Packages, and what judges them.
packaging_packages=(build-essential dpkg-dev debhelper dh-apparmor lintian devscripts blhc apparmor)
full_packages=(slapd ldap-utils slurmctld slurmd slurm-client munge faketime rpm rpmlint piuparts autopkgtest)

if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'; else bold='' dim='' red='' green='' plain=''; fi

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

need_debian_root() {
  [ "$(id -u)" = 0 ] || die "must run as root, to install packages and setuid programs: sudo $0"
  command -v apt-get >/dev/null || die "needs apt-get: made for Debian 12 and 13; elsewhere install the packages listed in packaging/lib.sh by hand and follow README.md"
}

# Without them all that follows fails, and whatever fails first would say something else.
need_user_namespaces() {
  local said
  said=$(unshare --user true 2>&1) && return
  [ "$(cat /proc/sys/user/max_user_namespaces 2>/dev/null)" != 0 ] ||
    die "user namespaces are switched off: sysctl user.max_user_namespaces=10000 switches them on"
  ! in_chroot || die "this is a chroot, and the kernel makes no user namespaces in one: run it on the machine itself, in a virtual machine, or in the tree booted as a container (systemd-nspawn --boot -D DIR)"
  die "the kernel makes no user namespaces here ($said): in a chroot, or where a container's filter or a security module forbids them, run it on the machine itself or in a virtual machine"
}
in_chroot() { [ "$(stat -L -c %d:%i /proc/1/root 2>/dev/null)" != "$(stat -c %d:%i /)" ]; }

# The files of this tree, each ended by a zero byte, without what was built.
tree_files() {
  git -C "$top" ls-files -z --cached --others --exclude-standard 2>/dev/null ||
    (cd "$top" && find . \( -path './build*' -o -path ./.git \) -prune -o -type f -print0)
}

slug() { tr -cs 'a-zA-Z0-9+\n' - <<<"$1" | sed 's/-*$//'; }

# step TITLE COMMAND...: runs it with its output in a log under $logs and shows that time passes; on failure shows the end of the log.
step() {
  local title=$1 log begun=$SECONDS pid code=0 shown=0
  shift
  mkdir -p "${logs:?}"
  log=$logs/$(slug "$title").log
  [ -t 1 ] || echo "${title} ..."
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    if [ -t 1 ]; then
      printf '\r  %s %s%d s%s ' "$title" "$dim" $((SECONDS - begun)) "$plain"
    elif [ $((SECONDS - begun - shown)) -ge 30 ]; then
      shown=$((SECONDS - begun))
      echo "  still at it after $shown s: $(tail -n 1 "$log" | tr -d '\r' | cut -c 1-100)"
    fi
    sleep 0.2
  done
  wait "$pid" || code=$?
  [ -t 1 ] && printf '\r'
  if [ "$code" = 0 ]; then
    echo "  ${green}ok${plain} $title $dim($((SECONDS - begun)) s)$plain"
  else
    echo "  ${red}FAILED${plain} $title $dim($((SECONDS - begun)) s, status $code)$plain; the end of $log:"
    tail -n 60 "$log" | sed 's/^/    /'
  fi
  return "$code"
}

missing_packages() {
  local name
  for name in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || echo "$name"
  done
}

# Asks nothing, and does not touch the network where all is there.
install_packages() {
  local missing
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  export DEBIAN_FRONTEND=noninteractive
  apt-get -q update && apt-get -q -y --no-install-recommends -o Dpkg::Options::=--force-confold install "${missing[@]}"
}

# The compiler's cache finds an object again wherever the tree lies and whatever language the caller speaks.
use_compiler_cache() {
  export CCACHE_DEPEND=1 CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=locale CCACHE_IGNOREOPTIONS='-ffile-prefix-map=*'
  # debhelper gives a build another home, and with it another cache.
  if command -v ccache >/dev/null; then CCACHE_DIR=$(ccache -k cache_dir) && export CCACHE_DIR; fi
}

# package_flags NAME: the flags that packages are built with here (tests/packaging/packages.py): Debian's, a warning is an
# error, and debug information without types and variables, which takes half as long again and which nobody here asks for.
package_append='-g1 -Werror'
package_flags() {
  (cd "$top" && DEB_CXXFLAGS_APPEND=$package_append DEB_BUILD_MAINT_OPTIONS=hardening=+all dpkg-buildflags --get "$1")
}

# The codename of this Debian, and of the other one that is supported.
this_debian() { (. /etc/os-release && echo "${VERSION_CODENAME:-}"); }
other_debian() { if [ "$(this_debian)" = trixie ]; then echo bookworm; else echo trixie; fi; }

# configure DIR OPTION...: a meson build directory with these options, new or not.
configure() {
  local dir=$1
  shift
  if [ -f "$dir/build.ninja" ]; then
    meson setup --reconfigure "$dir" "$top" "$@"
  else
    meson setup "$dir" "$top" "$@"
  fi
}
