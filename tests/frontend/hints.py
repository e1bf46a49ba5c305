#!/usr/bin/env python3
"""Every failure that a start can meet, produced for real where it can be, points to the check of userns-run doctor that has more about it.

Not to be had here, and held by U hint alone: userns-net's kernel that does not lock ports (NR-PORT), a helper whose filter the kernel
does not take (PR-LOCK), a controller that systemd's user manager lacks (delegation). Stand-ins: an old kernel is one that answers ENOSYS,
NFS a file system that says it is, AppArmor's restriction a setting above a filter that does what it does.
"""

import contextlib
import ctypes
import errno
import json
import os
import struct
import sys

sys.path.insert(0, os.path.dirname(__file__))
from container import rootfs, spawn  # noqa: E402
from cgroups import Cgroups  # noqa: E402
from filtered import filtered  # noqa: E402
from harness import (CLONE_NEWUSER, MS_BIND, MS_REC, Result, case, cases, libc, main, mount, skip, trace, umount, with_own_pids)  # noqa: E402
from net_host import Host, sh  # noqa: E402

with_own_pids()  # ids are chosen that no process in sight has
cgroups = Cgroups.become_tenant()
PATH = {'PATH': '/usr/bin:/bin:/usr/sbin:/sbin'}
STATFS, FSTATFS, UNSHARE, MOVE_MOUNT, CLONE3, OPENAT2 = 137, 138, 272, 429, 435, 437
NFS = 0x6969
_host = None


# --- what goes wrong --------------------------------------------------------------------------

@contextlib.contextmanager
def over(source, where, flags=MS_BIND, kind=None, data=None):
    mount(source, where, kind, flags, data)
    try:
        yield {}
    finally:
        umount(where)


@contextlib.contextmanager
def file(root, path, text, mode=0o644):
    had = open(path).read() if os.path.exists(path) else None
    root.write(path, text, mode=mode)
    try:
        yield {}
    finally:
        root.write(path, had or '')


@contextlib.contextmanager
def gone(root, name):
    """A program that was never installed, and that PATH has not either."""
    path = root.program(name)
    os.rename(path, path + '.gone')
    try:
        yield {'env': {**PATH, 'PATH': '/nowhere'}}
    finally:
        os.rename(path + '.gone', path)


@contextlib.contextmanager
def without_bit(root, name):
    path = root.program(name)
    if root.privilege != 'setuid':
        skip('with file capabilities there is no bit to lose')
    os.chmod(path, 0o755)
    try:
        yield {}
    finally:
        os.chmod(path, 0o4755)


def host():
    global _host
    if not _host:
        # The host's own /sys comes without the cgroups that lie in this one.
        kept = f'{ROOT_OF_TESTS[0].tmp}/kept-cgroups'
        os.makedirs(kept)
        mount('/sys/fs/cgroup', kept, None, MS_BIND | MS_REC)
        _host = Host(ROOT_OF_TESTS[0])
        mount(kept, '/sys/fs/cgroup', None, MS_BIND | MS_REC)
    _host.all_gone()


@contextlib.contextmanager
def net(root, conf):
    ROOT_OF_TESTS[:] = [root]
    host()
    with file(root, '/etc/userns/net.conf', conf):
        yield {}


@contextlib.contextmanager
def cgroup(root, lines, base=True):
    if cgroups.why_not:
        skip(cgroups.why_not)
    cgroups.clear()
    with file(root, '/etc/userns/cgroup.conf', (f'base = {cgroups.v2}\n' if base else '') + lines + '\n'):
        yield {}


@contextlib.contextmanager
def systemd(root):
    with cgroup(root, 'alice pids.max=5', base=False):
        root.overlay('/run')
        os.makedirs('/run/systemd/system')
        try:
            yield {}
        finally:
            os.rmdir('/run/systemd/system')


@contextlib.contextmanager
def store(root, mode=0o700, owner=None, data='mode=1777'):
    """XDG_DATA_HOME with a store in it."""
    place = f'{root.tmp}/data'
    os.makedirs(place, exist_ok=True)
    with over('tmpfs', place, 0, 'tmpfs', data):
        os.mkdir(f'{place}/userns')
        os.chown(f'{place}/userns', (owner or root.alice).uid, (owner or root.alice).gid)
        os.chmod(f'{place}/userns', mode)
        yield {'env': {**PATH, 'XDG_DATA_HOME': place}}


@contextlib.contextmanager
def restricted(root):
    place = f'{root.tmp}/kernel'
    os.makedirs(place, exist_ok=True)
    root.write(f'{place}/apparmor_restrict_unprivileged_userns', '1\n')
    with over(place, '/proc/sys/kernel'):
        yield filtered(root, CLONE3, UNSHARE, code=errno.EACCES)


def as_nfs(stop):
    if stop.number not in (STATFS, FSTATFS):
        return None
    with open(f'/proc/{stop.pid}/mem', 'r+b', buffering=0) as memory:
        memory.seek(stop.args[1])
        memory.write(struct.pack('qqQQQ', NFS, 4096, 1 << 20, 1 << 20, 1 << 20).ljust(120, b'\0'))
    return Result(0)


def as_old(stop):
    return Result(-errno.ENOSYS) if stop.number == OPENAT2 else None


CREATE = ['create', 'web', '--template', 'busybox']
TRUE = ['--net=none', '--cgroup=none', '--tty=no', '--', '/bin/true']
HELPER = ['--net=none', '--cgroup=helper', '--tty=no', '--', '/bin/true']


def nics(*bridges):
    return [*[f'--net=bridge={name}' for name in bridges], '--cgroup=none', '--tty=no', '--', '/bin/true']


# id, what is wrong, words, how it is brought about, whether the check itself sees it
NOTHING = contextlib.nullcontext
ROWS = [
    ('kernel', 'a kernel without openat2', TRUE, lambda r: NOTHING({'fault': as_old}), None),
    ('userns', 'no user namespace may be made', TRUE, lambda r: NOTHING(filtered(r, CLONE3, UNSHARE)), True),
    ('apparmor-userns', 'AppArmor takes the rights of user namespaces', TRUE, restricted, True),
    ('namespaces', 'the other namespaces may not be made', TRUE, lambda r: NOTHING(filtered(r, but_users=True)), True),
    ('seccomp', 'a filter refuses mounts', TRUE, lambda r: NOTHING(filtered(r, MOVE_MOUNT)), True),
    ('seccomp', 'a filter knows too few calls', TRUE, lambda r: NOTHING(filtered(r, MOVE_MOUNT, code=errno.ENOSYS)), True),
    ('proc', '/proc is masked', TRUE, lambda r: over('/dev/null', '/proc/timer_list'), True),
    ('no-new-privs', 'no_new_privs', TRUE, lambda r: NOTHING({'no_new_privs': True}), True),
    ('bounding-set', 'a bounding set without CAP_SETUID', TRUE, lambda r: NOTHING({'drop_bounding': (7,)}), True),
    ('newuidmap', 'newuidmap is not there', TRUE, lambda r: gone(r, 'newuidmap'), True),
    ('newgidmap', 'newgidmap is not there', TRUE, lambda r: gone(r, 'newgidmap'), True),
    ('newuidmap', 'newuidmap lost its setuid bit', TRUE, lambda r: without_bit(r, 'newuidmap'), True),
    ('newgidmap', 'newgidmap lost its setuid bit', TRUE, lambda r: without_bit(r, 'newgidmap'), True),
    ('subuid', 'no subordinate uids', TRUE, lambda r: file(r, '/etc/subuid', ''), True),
    ('subgid', 'no subordinate gids', TRUE, lambda r: file(r, '/etc/subgid', ''), True),
    ('subuid', 'a subuid file that others may write', TRUE, lambda r: file(r, '/etc/subuid', 'alice:100000:65536\n', 0o666), True),
    ('subgid', 'a subgid file that others may write', TRUE, lambda r: file(r, '/etc/subgid', 'alice:100000:65536\n', 0o666), True),
    ('userns-net', 'userns-net is not there', nics('br0'), lambda r: gone(r, 'userns-net'), True),
    ('userns-net', 'userns-net lost its setuid bit', nics('br0'), lambda r: without_bit(r, 'userns-net'), True),
    ('net-conf', 'no line grants the bridge (NR-POLICY)', nics('br0'), lambda r: net(r, 'bob veth br0 1\n'), True),
    ('net-conf', 'a malformed line (NC-LINE)', nics('br0'), lambda r: net(r, 'alice veth\n'), True),
    ('net-conf', 'more NICs than the line grants (NR-QUOTA)', nics('br0', 'br0'), lambda r: net(r, 'alice veth br0 1\n'), False),
    ('bridge', 'the bridge is not there (NR-BRIDGE)', nics('br7'), lambda r: net(r, 'alice veth br7 1\n'), True),
    ('bridge', 'the bridge does not filter VLANs (NR-VLAN)', nics('br0'), lambda r: net(r, 'alice veth br0 1 vlan=30\n'), True),
    ('bridge', 'an MTU above that of the bridge (NR-MTU)', nics('br0'), lambda r: net(r, 'alice veth br0 1 mtu=9000\n'), True),
    ('user-network', 'neither pasta nor slirp4netns', ['--net=user', '--cgroup=none', '--tty=no', '--', '/bin/true'],
     lambda r: NOTHING({'env': {'PATH': '/nowhere'}}), True),
    ('userns-cgroup', 'userns-cgroup is not there', HELPER, lambda r: gone(r, 'userns-cgroup'), True),
    ('userns-cgroup', 'userns-cgroup lost its setuid bit', HELPER, lambda r: without_bit(r, 'userns-cgroup'), True),
    ('cgroup-conf', 'no line for the caller (CG-POLICY)', HELPER, lambda r: cgroup(r, 'bob pids.max=5'), True),
    ('cgroup-conf', 'a malformed line (CC-KEY)', HELPER, lambda r: cgroup(r, 'alice pids.maxi=5'), True),
    ('cgroups', 'a base that is not a cgroup (CG-BASE)', HELPER, lambda r: cgroup(r, 'base = /usr\nalice pids.max=5', False), True),
    ('cgroup-conf', 'a base that others can write (TF-PATH)', HELPER, lambda r: cgroup(r, f'base = {r.tmp}/home/alice\nalice pids.max=5', False), None),
    ('cgroup-conf', 'a limit that the kernel does not take (CG-LIMIT)', HELPER, lambda r: cgroup(r, 'alice cpuset.cpus=4000'), True),
    ('cgroup-conf', 'as many containers as the line grants (CG-COUNT)', HELPER, lambda r: cgroup(r, 'alice containers=0'), True),
    ('cgroups', 'a limit that this host cannot set (CG-CONTROLLER)', HELPER, lambda r: cgroup(r, 'alice memory.high=64M'), True),
    ('cgroups', '--memory where the memory controller is v1\'s', ['--memory=64M', *HELPER], lambda r: cgroup(r, 'alice containers=3'), True),
    ('cgroup-unit', 'systemd\'s tree without a delegated unit (CG-WRITER)', HELPER, systemd, True),
    ('user-manager', 'no service manager of the user\'s', ['--cgroup=systemd', '--', '/bin/true'], lambda r: NOTHING({}), True),
    ('cgroup-conf', 'no way to a cgroup', ['--cgroup=auto', '--', '/bin/true'], lambda r: cgroup(r, 'bob pids.max=5'), True),
    ('containers', 'a store that cannot be made', CREATE, lambda r: NOTHING({'env': {**PATH, 'XDG_DATA_HOME': '/proc/1/x'}}), True),
    ('containers', 'a store of somebody else\'s', CREATE, lambda r: store(r, owner=r.bob, mode=0o755), True),
    ('containers', 'a store that others can write', CREATE, lambda r: store(r, mode=0o777), None),
    ('containers', 'a store on a network file system', CREATE, lambda r: both(store(r), {'fault': as_nfs}), True),
    ('containers', 'a full file system', CREATE, lambda r: store(r, data='mode=1777,size=512k'), True),
    ('busybox', 'no static busybox', CREATE, lambda r: both(over('/usr/bin/env', '/bin/busybox'), {}, store(r)), True),
]
ROOT_OF_TESTS = []


@contextlib.contextmanager
def both(context, more, other=NOTHING({})):
    with context as how, other as also:
        yield {**how, **also, **more}


def done_by(root, words, user=True, fault=None, **how):
    argv = [root.program('userns-run'), *words]
    if fault:
        return trace(spawn(argv, root.alice, traced=True, **how), fault)
    return spawn(argv, root.alice if user else None, **{'env': PATH, **how}).wait(60)


@cases([(f'{check}: {what}', check, *rest) for check, what, *rest in ROWS])
def _(root, check, words, bring_about, seen):
    root.write('/etc/userns/net.conf', '')
    root.write('/etc/userns/cgroup.conf', '')
    with bring_about(root) as how:
        done = done_by(root, words, **how)
        report = done_by(root, ['doctor', '--json'], **how)
    assert done.code == 125 and done.err.count(' in userns-run doctor)') == 1 and f' (see {check} in userns-run doctor)' in done.err, done
    found = {c['status'] for c in json.loads(report.out)['checks'] if c['id'] == check}
    assert found, report
    if seen is not None:
        assert bool(found - {'pass'}) == seen, (found, report)
    return done.err.strip()


@case('a store on a network file system: a container of the caller\'s own id alone can live there, and one whose tree is elsewhere')
def _(root):
    with store(root) as how:
        for words in (['own', '--template', 'busybox', '--map-self'], ['kept', '--rootfs', rootfs(root, 'adopted')]):
            done = done_by(root, ['create', *words], fault=as_nfs, **how)
            assert done.code == 0, done
        assert done_by(root, ['create', 'many', '--template', 'busybox'], fault=as_nfs, **how).code == 125
        for name in ('own', 'kept'):
            assert done_by(root, ['destroy', name], fault=as_nfs, **how).code == 0


main()
