"""What the tests of userns-idmap share: maps, the helper, a container of the caller's with the mount in it."""

import ctypes
import os
import resource
import signal
import socket
import stat
import struct
import sys
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from harness import (CLONE_NEWNS, CLONE_NEWUSER, MS_BIND, MS_NODEV, MS_NOSUID, MS_PRIVATE, MS_RDONLY, MS_REC,  # noqa: E402
                     MS_REMOUNT, PR_SET_DUMPABLE, case, libc, main, mount, prctl, setns, trace, umount, unshare,
                     Result, spawn)

OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442
AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV, ATTR_NOEXEC, ATTR_IDMAP = 1, 2, 4, 8, 0x100000
DISK, SHOWN, BLOCK = 100000, 165536, 65536  # alice's two blocks
ROOM = '/mnt/place'
MS_SHARED, MS_UNBINDABLE = 1 << 20, 1 << 17


def syscall(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def mount_setattr(fd, path, flags, on=0, off=0, propagation=0, userns=0):
    attributes = ctypes.create_string_buffer(struct.pack('QQQQ', on, off, propagation, userns), 32)
    return syscall(MOUNT_SETATTR, fd, ctypes.c_char_p(os.fsencode(path)), flags, attributes, 32)


def two_blocks(root):
    for write in root.subuid, root.subgid:
        write(f'alice:{DISK}:{2 * BLOCK}\nbob:400000:{2 * BLOCK}\n')


def make_tree(root, name='tree', owner=DISK):
    """A directory of container root's, by its ids on disk: a file each of root's, of user 5's and of group 7's."""
    where = f'{root.tmp}/{name}'
    os.makedirs(where)
    for file, uid, gid in (('root', 0, 0), ('five', 5, 5), ('seven', 0, 7)):
        with open(f'{where}/{file}', 'w') as out:
            out.write(file)
        os.chown(f'{where}/{file}', owner + uid, owner + gid)
    os.chown(where, owner, owner)
    return where


class Namespace:
    """A user namespace of `user`'s with these maps, held by a process that does nothing."""

    def __init__(self, root, user, uids, gids=None):
        self.target = root.target(user)
        for name, program, extents in (('uid', root.newuidmap, uids), ('gid', root.newgidmap, gids or uids)):
            if extents:
                words = [word for extent in extents for word in extent]
                done = root.run([program, self.target.pid, *words], user)
                assert done.code == 0, (name, done)

    def __enter__(self):
        return self.target

    def __exit__(self, *_):
        self.target.__exit__()


def ask(root, tree, target, user=None, read_only=False, words=None, fds=None, **how):
    """Runs the helper: (how it ended, the mount's fd or None)."""
    ours, theirs = socket.socketpair()
    directory = os.open(tree, os.O_PATH | os.O_DIRECTORY) if isinstance(tree, str) else tree
    handed = {3: directory, 4: target.dirfd if target else theirs.fileno(), 5: theirs.fileno()}
    handed.update(fds or {})
    argv = [root.program('userns-idmap'), '--source', 'fd:3', '--userns', 'fd:4', '--to', 'fd:5']
    done = root.run(argv + ['--read-only'] * read_only if words is None else [argv[0], *words],
                    user or root.alice, fds=handed, **how)
    theirs.close()
    received = socket.recv_fds(ours, 10, 4)[1]
    ours.close()
    if isinstance(tree, str):
        os.close(directory)
    assert len(received) == (1 if done.code == 0 else 0), (done, received)
    return done, received[0] if received else None


def refused(result, rule, *words):
    done, fd = result
    assert done.code == 1 and fd is None and done.out == '', done
    assert done.err.startswith('userns-idmap: ') and done.err.rstrip().endswith(f'[{rule}]'), done
    assert done.err.count('\n') == 1, done
    for word in words:
        assert word in done.err, (word, done)


def given(result):
    done, fd = result
    assert done.code == 0 and done.out == '' and done.err == '', done
    return fd


def inside(root, fd, function, first=SHOWN, user=None, deeper=False):
    """function(where) as root of a container of the user's whose ids begin at `first`, with the mount at `where`.

    deeper: in one more user namespace and mount namespace below that.
    """
    user = user or root.alice
    ready_read, ready_write = os.pipe()
    go_read, go_write = os.pipe()
    said_read, said_write = os.pipe()
    os.makedirs(ROOM, exist_ok=True)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            user.become()
            unshare(CLONE_NEWUSER)
            os.write(ready_write, b'r')
            os.read(go_read, 1)
            os.setgroups([])
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
            unshare(CLONE_NEWNS)
            syscall(MOVE_MOUNT, fd, ctypes.c_char_p(b''), AT_FDCWD, ctypes.c_char_p(ROOM.encode()), 4)
            if deeper:
                unshare(CLONE_NEWUSER | CLONE_NEWNS)
            function(ROOM)
            code = 0
        except BaseException:  # noqa: all of it is the parent's
            os.write(said_write, traceback.format_exc().encode()[-4000:])
        os._exit(code)
    os.close(ready_write)
    os.close(said_write)
    assert os.read(ready_read, 1) == b'r'
    for program in root.newuidmap, root.newgidmap:
        done = root.run([program, child, 0, first, BLOCK], user)
        assert done.code == 0, done
    os.write(go_write, b'g')
    said = b''
    while piece := os.read(said_read, 4096):
        said += piece
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    for end in ready_read, go_read, go_write, said_read:
        os.close(end)
    assert status == 0, 'inside:\n' + said.decode()


def not_permitted(act):
    try:
        act()
    except OSError as error:
        assert error.errno in (1, 13, 22, 30), error
        return
    raise AssertionError('was permitted')


def owners(where):
    return {name: (os.stat(f'{where}/{name}').st_uid, os.stat(f'{where}/{name}').st_gid) for name in os.listdir(where)}


# --- what it gives --------------------------------------------------------------------------
