#!/usr/bin/env python3
"""Images that are not as a tidy tool makes them: immutable, read-only, not the container's, with devices and absolute links.

Each boots busybox's init, or is refused with what, which, why and what to do.
"""

import fcntl
import os
import stat
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from boot_trees import busybox  # noqa: E402
from container import FIRST, fails, give, run, shell, well  # noqa: E402
from harness import MS_BIND, MS_RDONLY, MS_REMOUNT, case, cases, main, mount, skip, umount  # noqa: E402

IMMUTABLE = 0x10
PLACES = ('proc', 'sys', 'dev', 'run', 'tmp')
SAY = '::sysinit:/bin/sh -c "{}; echo all of it; poweroff"\n'


def tree(root, script='echo up', places=True, owner=FIRST):
    where = busybox(root, SAY.format(script))
    for name in PLACES if places else ():
        os.mkdir(f'{where}/{name}')
    give(where, owner)
    return where


def boot(root, where, *words):
    end = os.open('/dev/null', os.O_RDONLY)
    try:
        return root.run([root.program('userns-run'), '--boot', '--rootfs', where, '--hostname', 'box', *words], root.alice,
                        stdin=end, timeout=100)
    finally:
        os.close(end)


def boots(root, where, *words):
    """What its init has said."""
    done = well(boot(root, where, *words))
    assert 'all of it' in done.out, done
    return done.out.replace('\r', '')


def set_flags(where, flags):
    """chattr(1), of all but symbolic links; the deepest first."""
    for top, names, files in os.walk(where, topdown=False):
        for name in [*names, *files, '']:
            path = os.path.join(top, name)
            if not os.path.islink(path):
                fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
                try:
                    fcntl.ioctl(fd, 0x40086602, struct.pack('l', flags))
                except OSError:
                    skip('the file system here keeps no immutable bits')
                finally:
                    os.close(fd)


class Immutable:
    def __init__(self, where):
        self.where = where

    def __enter__(self):
        set_flags(self.where, IMMUTABLE)
        return self.where

    def __exit__(self, *_):
        set_flags(self.where, 0)


class ReadOnly(Immutable):
    """A bind mount of it that the host has made read-only."""

    def __enter__(self):
        mount(self.where, self.where, None, MS_BIND)
        mount(None, self.where, None, MS_BIND | MS_REMOUNT | MS_RDONLY)
        return self.where

    def __exit__(self, *_):
        umount(self.where)


@cases([('an immutable /etc', '/etc'), ('a tree that is immutable to the last file', '')])
def _(root, part):
    where = tree(root, 'touch /etc/x; hostname; cat /etc/inittab >/dev/null; touch /run/x /tmp/x && echo written')
    with Immutable(where + part):
        said = boots(root, where)
        assert '/etc/x: Operation not permitted' in said and 'box\n' in said and 'written' in said, said
        assert os.path.exists(where + '/etc/inittab')


@case('an immutable tree without places for mounts is refused by what is missing and why')
def _(root):
    with Immutable(tree(root, places=False)) as where:
        fails(boot(root, where), "'/proc'", 'immutable', 'chattr -i')
        fails(run(root, '--bind', '/usr:/usr', where=where), 'immutable', 'chattr -i')


@case('a tree on a read-only mount boots, and stays read-only whatever its root does')
def _(root):
    with ReadOnly(tree(root, 'mount -o remount,rw,bind /; touch /x; touch /run/x /tmp/x && echo written')) as where:
        said = boots(root, where)
        assert 'Read-only file system' in said and 'written' in said, said
        assert not os.path.exists(where + '/x')
        assert 'written' in boots(root, where, '--overlay')


@cases([(f'a read-only tree without /{name}: the error names it and says what to do', name) for name in ('proc', 'dev', 'run')])
def _(root, name):
    where = tree(root)
    os.rmdir(f'{where}/{name}')
    with ReadOnly(where):
        fails(boot(root, where), f"'/{name}'", 'read-only', 'make it first')


@case('directories without a w: the container\'s root goes in and writes, as root does')
def _(root):
    where = tree(root, 'touch /etc/x && echo written')
    for top, _, _ in os.walk(where):
        os.chmod(top, 0o555)
    assert 'written' in boots(root, where)


@case('a tree that is not the container\'s boots where it has all places; where not, the error says whose it is')
def _(root):
    assert 'Permission denied' in boots(root, tree(root, 'touch /etc/x', owner=0))
    fails(boot(root, tree(root, places=False, owner=0)), "'/proc'", 'may not write', 'userns-run shift')


@case('device nodes of the image are not devices inside; /dev is made anew, with those that are harmless')
def _(root):
    where = tree(root, 'ls /dev; head -c1 /srv/null; head -c1 /srv/disk; echo x 2>/dev/null >/srv/null || echo kept; echo x >/dev/null && head -c1 /dev/zero >/dev/null && echo fine')
    os.mkdir(where + '/srv')
    for path, kind, number in (('dev/disk', stat.S_IFBLK, (254, 0)), ('dev/null', stat.S_IFREG, (0, 0)), ('dev/kmsg', stat.S_IFCHR, (1, 11)),
                               ('srv/null', stat.S_IFCHR, (1, 3)), ('srv/disk', stat.S_IFBLK, (254, 0))):
        os.mknod(f'{where}/{path}', kind | 0o666, os.makedev(*number))
    said = boots(root, where)
    assert 'disk\n' not in said.split('head:')[0] and 'kmsg' not in said, said
    assert 'fine' in said and 'kept' in said and 'head: /srv/null: Permission denied' in said and 'head: /srv/disk' in said, said
    assert "Permission denied" in well(shell(root, 'head -c1 /srv/null 2>&1 || true', where=where)).out


LINKS = {'dev': '/etc/d', 'run': '/var/r', 'tmp': '/var/t', 'proc': '/p', 'sys': '/s'}


@case('absolute links in the places of mounts and of files are within the image')
def _(root):
    outside = f'{root.tmp}/outside'
    for name in ('d', 'r', 't', 'p', 's', 'h'):
        os.makedirs(f'{outside}/{name}', exist_ok=True)
    where = tree(root, 'ls /etc/d/null /p/1/status /var/r/host; cat /etc/hostname /var/t/../h; touch /tmp/x && ls /var/t; cat /etc/mtab | head -n1; '
                 'touch /run/x && ls /var/run/x; cat /etc/resolv.conf')
    for name, target in LINKS.items():
        os.rmdir(f'{where}/{name}')
        os.makedirs(where + target)
        os.symlink(target, f'{where}/{name}')
    for name, target in (('etc/resolv.conf', '/run/resolv.conf'), ('etc/mtab', '/proc/mounts'), ('var/run', '/run'), ('etc/hostname', '/var/h')):
        os.symlink(target, f'{where}/{name}')
    open(where + '/var/h', 'w').close()
    give(where, FIRST)
    said = boots(root, where)
    for piece in ('/etc/d/null', '/p/1/status', 'container-manager', 'box\nbox\n', ' / ', '/var/run/x\n'):
        assert piece in said, (piece, said)
    assert "'/etc/resolv.conf': No such file" in said, said
    assert os.listdir(where + '/etc/d') == os.listdir(where + '/p') == [] and os.stat(where + '/var/h').st_size == 0


@cases([(f'{name} -> {target}: {piece}', name, target, piece) for name, target, piece in (
    ('dev', '/proc/1/root', 'symbolic links'), ('dev', '/nowhere', 'dangling symbolic link'),
    ('run', '/var/run', 'go in circles'), ('dev', '/etc/passwd', 'not a directory'), ('proc', '/proc', 'go in circles'))])
def _(root, name, target, piece):
    where = tree(root)
    os.rmdir(f'{where}/{name}')
    os.symlink(target, f'{where}/{name}')
    if target == '/var/run':
        os.mkdir(where + '/var')
        os.symlink('/run', where + '/var/run')
    fails(boot(root, where), f"'/{name}'", piece)


@case('/sbin/init as a chain of absolute links is found within the image; one that leads out is not')
def _(root):
    where = tree(root)
    os.unlink(where + '/sbin/init')
    os.symlink('/lib/init', where + '/sbin/init')
    os.makedirs(where + '/lib')
    os.symlink('/../../bin/busybox', where + '/lib/init')
    assert 'up\n' in boots(root, where)
    os.unlink(where + '/lib/init')
    os.symlink('/proc/1/exe', where + '/lib/init')
    fails(boot(root, where), 'no init in it')


main()
