"""What the tests of userns-run shift share: trees with every kind of inode, and what is expected of them."""

import contextlib
import ctypes
import os
import shutil
import stat
import struct
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from harness import libc, skip, spawn  # noqa: E402,F401


ACCESS, DEFAULT, CAPABILITY = 'system.posix_acl_access', 'system.posix_acl_default', 'security.capability'
NO_ID = 0xffffffff
RENAME_EXCHANGE = 2
USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32
CAP_NET_RAW = 1 << 13


# --- attributes -------------------------------------------------------------------------------

def acl(*named):
    """The blob of an ACL with entries (USER, uid, permissions) and (GROUP, gid, permissions)."""
    entries = [(USER_OBJ, 7, NO_ID), *((tag, perm, who) for tag, who, perm in sorted(named) if tag == USER),
               (GROUP_OBJ, 5, NO_ID), *((tag, perm, who) for tag, who, perm in sorted(named) if tag == GROUP),
               (MASK, 7, NO_ID), (OTHER, 4, NO_ID)]
    return struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *entry) for entry in entries)


def capability(root):
    """CAP_NET_RAW, permitted and effective, of this root."""
    if root == 0:
        return struct.pack('<IIIII', 0x02000001, CAP_NET_RAW, 0, 0, 0)
    return struct.pack('<IIIIII', 0x03000001, CAP_NET_RAW, 0, 0, 0, root)


def moved_acl(blob, uid, gid):
    out = blob[:4]
    for at in range(4, len(blob), 8):
        tag, perm, who = struct.unpack_from('<HHI', blob, at)
        out += struct.pack('<HHI', tag, perm, uid(who) if tag == USER else gid(who) if tag == GROUP else who)
    return out


def moved_capability(blob, uid):
    root = struct.unpack_from('<I', blob, 20)[0] if len(blob) == 24 else 0
    new = uid(root)
    start = struct.pack('<I', struct.unpack_from('<I', blob)[0] & 0xffffff | (0x03000000 if new else 0x02000000)) + blob[4:20]
    return start + (struct.pack('<I', new) if new else b'')


# --- listings ---------------------------------------------------------------------------------

def listing(top):
    """{path: (ids, mode, what it is, attributes)} of a tree, as root sees it. Paths are bytes."""
    found = {}

    def add(path, name):
        status = os.lstat(path)
        attributes = {}
        if not stat.S_ISLNK(status.st_mode):
            for key in (ACCESS, DEFAULT, CAPABILITY):
                with contextlib.suppress(OSError):
                    attributes[key] = os.getxattr(path, key, follow_symlinks=False)
        what = os.readlink(path) if stat.S_ISLNK(status.st_mode) else (status.st_rdev, status.st_nlink)
        found[name] = (status.st_uid, status.st_gid, status.st_mode, what, attributes)

    stack = [(os.fsencode(top), b'.')]
    while stack:
        path, name = stack.pop()
        add(path, name)
        with os.scandir(path) as entries:
            for entry in entries:
                below = name + b'/' + entry.name
                if entry.is_dir(follow_symlinks=False):
                    stack.append((entry.path, below))
                else:
                    add(entry.path, below)
    return found


def mover(first, to, count):
    return lambda one: one - first + to if first <= one < first + count else one


def expected(before, uid, gid=None):
    """What a listing is to be after a shift."""
    gid = gid or uid
    after = {}
    for name, (u, g, mode, what, attributes) in before.items():
        moved = {key: moved_capability(value, uid) if key == CAPABILITY else moved_acl(value, uid, gid)
                 for key, value in attributes.items()}
        is_device = stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and what[0] != 0)
        after[name] = before[name] if is_device else (uid(u), gid(g), mode, what, moved)
    return after


def same(one, other):
    """The first differences, for a message; empty where there are none."""
    names = sorted(one.keys() | other.keys())
    return [(name, one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)][:5]


# --- trees ------------------------------------------------------------------------------------

@contextlib.contextmanager
def on_disk():
    """A directory on a real file system (the machine's /var/tmp), removed at the end."""
    path = tempfile.mkdtemp(prefix='userns-shift-', dir='/var/tmp')
    os.chmod(path, 0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def needs_acls(directory):
    probe = f'{directory}/probe'
    with open(probe, 'w'):
        pass
    try:
        os.setxattr(probe, ACCESS, acl((USER, 5, 6)))
    except OSError as error:
        skip(f'{directory} keeps no ACLs: {error}')
    os.unlink(probe)


def own(path, uid, gid):
    os.chown(path, uid, gid, follow_symlinks=False)


def make_file(path, uid, gid, mode=0o644, **attributes):
    with open(path, 'wb'):
        pass
    own(path, uid, gid)
    set_attributes(path, **attributes)
    os.chmod(path, mode)


def set_attributes(path, access=None, default=None, caps=None):
    for key, value in ((ACCESS, access), (DEFAULT, default), (CAPABILITY, caps)):
        if value is not None:
            os.setxattr(path, key, value)


def zoo(top, first, devices=True):
    """Every kind of inode that there is, with ids from `first` on."""
    os.makedirs(top)
    for name in (b'plain', b'with space', b'new\nline', b'-rf', b'\xff\xfebytes', 'ümlaut'.encode(), b'x' * 255):
        make_file(os.path.join(os.fsencode(top), name), first + 1, first + 2)
    make_file(f'{top}/suid', first, first, 0o4755)
    make_file(f'{top}/sgid', first, first + 5, 0o2755)
    make_file(f'{top}/both', first + 3, first + 5, 0o6711)
    make_file(f'{top}/sgid-no-exec', first, first, 0o2644)
    make_file(f'{top}/suid-with-acl', first, first, 0o4775, access=acl((USER, first + 7, 7), (GROUP, first + 8, 4)))
    make_file(f'{top}/no-mode', first, first, 0)
    make_file(f'{top}/caps', first, first, 0o755, caps=capability(first))
    make_file(f'{top}/caps-suid-acl', first + 9, first, 0o4774, caps=capability(first), access=acl((USER, first + 1, 6)))
    make_file(f'{top}/acl', first, first, 0o674, access=acl((USER, first + 1, 6), (USER, first + 65000, 5), (GROUP, first, 4)))
    make_file(f'{top}/hard', first, first + 1, 0o4711)
    for name in ('hard2', 'hard3'):
        os.link(f'{top}/hard', f'{top}/{name}')
    os.mkdir(f'{top}/dir')
    own(f'{top}/dir', first + 4, first + 4)
    os.chmod(f'{top}/dir', 0o3770)
    os.mkdir(f'{top}/dir/acl')
    own(f'{top}/dir/acl', first, first)
    set_attributes(f'{top}/dir/acl', access=acl((USER, first + 1, 7)), default=acl((USER, first + 1, 7), (GROUP, first + 2, 5)))
    os.link(f'{top}/hard', f'{top}/dir/hard4')
    os.mkdir(f'{top}/closed', 0o000)
    make_file(f'{top}/closed/inside', first, first, 0o600)
    own(f'{top}/closed', first, first)
    for name, target in (('link', 'plain'), ('dangling', 'nowhere'), ('absolute', '/etc/passwd'), ('to-dir', 'dir'),
                         ('up', '../..')):
        os.symlink(target, f'{top}/{name}')
        own(f'{top}/{name}', first + 6, first + 6)
    os.mkfifo(f'{top}/fifo', 0o640)
    own(f'{top}/fifo', first + 1, first + 1)
    os.mknod(f'{top}/socket', stat.S_IFSOCK | 0o755)
    own(f'{top}/socket', first + 1, first + 1)
    if devices:
        os.mknod(f'{top}/null', stat.S_IFCHR | 0o666, os.makedev(1, 3))
        own(f'{top}/null', first, first)
        os.mknod(f'{top}/block', stat.S_IFBLK | 0o660, os.makedev(250, 99))
        own(f'{top}/block', first, first + 6)
    own(top, first, first)
    return top


def many(top, count, first, per_directory=100):
    """`count` inodes, some with bits, ACLs and capabilities."""
    os.makedirs(top)
    own(top, first, first)
    made = 1
    for d in range(count):
        directory = f'{top}/d{d}'
        os.mkdir(directory)
        own(directory, first, first)
        made += 1
        for i in range(per_directory):
            if made >= count:
                return top
            path = f'{directory}/f{i}'
            fd = os.open(path, os.O_CREAT | os.O_WRONLY, 0o644)
            os.fchown(fd, first + i, first + i % 7)
            if i % 50 == 0:
                os.fchmod(fd, 0o6755)
            if i % 50 == 1:
                os.setxattr(fd, CAPABILITY, capability(first))
            if i % 50 == 2:
                os.setxattr(fd, ACCESS, acl((USER, first + i, 6), (GROUP, first + d % 1000, 4)))
            os.close(fd)
            made += 1
    return top


def plain(top, count, first, per_directory=100):
    """`count` inodes of one owner, with nothing that chown(2) takes away."""
    os.makedirs(top)
    own(top, first, first)
    for d in range((count - 1) // (per_directory + 1)):
        os.mkdir(f'{top}/d{d}')
        own(f'{top}/d{d}', first, first)
        for i in range(per_directory):
            make_file(f'{top}/d{d}/f{i}', first, first)
    return top


# --- shifts ------------------------------------------------------------------------------------

RANGE = 65536
A, B = 100000, 300000  # of the tests that run as root
TO_B = mover(A, B, RANGE)


def state(root, user=None):
    """The environment: where the undo logs are."""
    path = f'{root.tmp}/state-{user.name if user else "root"}'
    os.makedirs(path, exist_ok=True)
    if user:
        os.chown(path, user.uid, user.gid)
    return {'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'XDG_STATE_HOME': path, 'HOME': path}


def start(root, *words, user=None, **how):
    return spawn([root.program('userns-run'), 'shift', *words], user, env=state(root, user), **how)


def exchange(directory, one, other, there=None):
    """Swaps two names, the second in the directory `there` if it is given."""
    return libc.renameat2(directory, one.encode(), directory if there is None else there, other.encode(),
                          ctypes.c_uint(RENAME_EXCHANGE)) == 0


def shift(root, *words, user=None, **how):
    return root.run([root.program('userns-run'), 'shift', *words], user, env=state(root, user), timeout=120, **how)


def there(first=A, to=B):
    return '--from', f'{first}:{RANGE}', '--to', f'{to}:{RANGE}'


def logs(root, user=None):
    path = state(root, user)['XDG_STATE_HOME'] + '/userns/shift'
    return sorted(os.listdir(path)) if os.path.isdir(path) else []


def check(top, wanted):
    difference = same(listing(top), wanted)
    assert not difference, difference
