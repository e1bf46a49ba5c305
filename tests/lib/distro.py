"""Root file systems of real distributions for tests: a tar per name, made once and kept (cache.py).

    from distro import SYSTEMD, tar, unpack
    where = unpack(root, SYSTEMD)      # below root.tmp, owned by alice's container root; skips where it can't be had

Several test programs may ask at the same time: one builds, the others wait for it.
"""

import os
import shutil

import cache
import debian
from harness import build_dir, skip

COMMON = 'iproute2,iputils-ping,procps,passwd,login,util-linux,libcap2-bin'
SYSTEMD, SYSV, OPENRC, RUNIT, PODMAN = 'systemd', 'sysv', 'openrc', 'runit', 'podman'
DOCKER, FLATPAK, CHROMIUM = 'docker', 'flatpak', 'chromium'
SYSTEMD_257 = 'systemd-257'  # of Debian 13; SYSTEMD is 252, of Debian 12
PODMAN_5 = 'podman-5'  # of Debian 13; PODMAN is 4.3, of Debian 12
WITH_SYSTEMD = 'systemd,systemd-sysv,dbus,libpam-systemd,sudo,cron,openssh-server,openssh-client,' + COMMON
PACKAGES = {SYSTEMD: WITH_SYSTEMD,
            SYSTEMD_257: WITH_SYSTEMD + ',mount',
            SYSV: 'sysvinit-core,sysv-rc,initscripts,cron,' + COMMON,
            OPENRC: 'sysvinit-core,openrc,initscripts,cron,' + COMMON,
            RUNIT: 'runit,runit-init,' + COMMON,
            PODMAN: 'systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,podman,crun,uidmap,fuse-overlayfs,busybox-static,' + COMMON,
            PODMAN_5: 'systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,podman,crun,uidmap,fuse-overlayfs,busybox-static,mount,passt,' + COMMON,
            DOCKER: WITH_SYSTEMD + ',docker.io,iptables,busybox-static',
            FLATPAK: 'flatpak,bubblewrap,dbus,busybox-static,' + COMMON,
            CHROMIUM: 'chromium,' + COMMON}
SUITE = {SYSTEMD_257: debian.TRIXIE, PODMAN_5: debian.TRIXIE}
# root and joe have the password "pw", joe may sudo; what a first boot fills in is empty; no timer wakes up in a test.
HOOKS = ['chroot "$1" useradd -m -s /bin/bash joe; printf "root:pw\\njoe:pw\\n" | chroot "$1" chpasswd',
         'mkdir -p "$1/etc/sudoers.d"; echo "joe ALL=(ALL) NOPASSWD: ALL" > "$1/etc/sudoers.d/joe"',
         ': > "$1/etc/machine-id"; : > "$1/etc/default/locale"; echo debian > "$1/etc/hostname"',
         'printf "127.0.0.1 localhost debian box\\n" > "$1/etc/hosts"; : > "$1/etc/apt/sources.list"',
         'rm -rf "$1"/usr/share/doc/* "$1"/usr/share/man/* "$1"/usr/share/locale/* "$1"/etc/apt/sources.list.d/*']


def why_not(build, name):
    """Why the tar can't be had here, or None."""
    if os.path.exists(_path(build, name)):
        return None
    if os.geteuid() != 0:
        return 'building a root file system needs root'
    return debian.why_not(_suite(name))


def _suite(name):
    return SUITE.get(name, debian.BOOKWORM)


def _path(build, name):
    return cache.path(build, 'distros', f'{name}-{cache.key(_suite(name), PACKAGES[name], *HOOKS)}.tar')


def tar(build, name):
    """Its path; built where it is missing (about half a minute)."""
    return cache.once(_path(build, name), lambda half: debian.make(_suite(name), half, PACKAGES[name].split(','), HOOKS))


def unpack(root, name, first=100000, where=None):
    """The tree in a directory, unpacked within an id map, so that setuid bits and file capabilities are right."""
    why = why_not(build_dir(), name)
    if why:
        skip(why)
    source = tar(build_dir(), name)
    where = where or f'{root.tmp}/{name}'
    shutil.rmtree(where, ignore_errors=True)
    os.makedirs(where)
    os.chown(where, first, first)
    # Read here: inside the map nobody may look into the home that the cache may be in.
    with open(source, 'rb') as archive:
        done = root.run([root.program('userns-run'), '--map', f'b:0:{first}:65536', '--', 'tar', '-C', where, '--xattrs',
                         '--xattrs-include=*', '--exclude=./dev/*', '-xpf', '-'], timeout=300, stdin=archive.fileno())
    if done.code != 0:
        raise RuntimeError(done)
    return where
