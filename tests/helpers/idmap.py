#!/usr/bin/env python3
"""userns-idmap: what it promises, told by real runs of scratch users, and attacks on what it gives."""

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
from harness import (CLONE_NEWNS, CLONE_NEWUSER, MS_BIND, MS_NOSUID, MS_PRIVATE, MS_RDONLY, MS_REMOUNT, PR_SET_DUMPABLE,
                     case, main, mount, prctl, trace, umount, unshare, Result, spawn)  # noqa: E402
from idmap_lib import (ATTR_NODEV, ATTR_NOEXEC, ATTR_NOSUID, ATTR_RDONLY, AT_EMPTY_PATH, AT_FDCWD, AT_RECURSIVE, BLOCK,
                       DISK, MOVE_MOUNT, MS_SHARED, MS_UNBINDABLE, Namespace, OPEN_TREE, ROOM, SHOWN, ask, given, inside, make_tree,
                       mount_setattr, not_permitted, owners, refused, syscall, two_blocks)  # noqa: E402


@case('the tree is shown with the ids of the mount, and new files get those of the disk')
def _(root):
    two_blocks(root)
    tree = make_tree(root, 'shown')

    def look(where):
        assert owners(where) == {'root': (0, 0), 'five': (5, 5), 'seven': (0, 7)}, owners(where)
        with open(f'{where}/new', 'w') as file:
            file.write('new')
        os.chown(f'{where}/new', 9, 8)
    with Namespace(root, root.alice, [(DISK, SHOWN, BLOCK)]) as target:
        inside(root, given(ask(root, tree, target)), look)
    assert owners(tree)['new'] == (DISK + 9, DISK + 8), owners(tree)


@case("the caller's own uid and gid on disk are shown as another of the caller's ids")
def _(root):
    two_blocks(root)
    tree = make_tree(root, 'own', root.alice.uid)
    os.chown(tree, root.alice.uid, root.alice.gid)
    for name in os.listdir(tree):
        os.chown(f'{tree}/{name}', root.alice.uid, root.alice.gid)

    def look(where):
        assert set(owners(where).values()) == {(1000, 1000)}, owners(where)
        os.mkdir(f'{where}/d')
        os.chown(f'{where}/d', 1000, 1000)
    with Namespace(root, root.alice, [(root.alice.uid, SHOWN + 1000, 1)], [(root.alice.gid, SHOWN + 1000, 1)]) as target:
        fd = given(ask(root, tree, target))
        # Root inside has no id on this disk: it may not make what nobody would own.
        os.chmod(tree, 0o777)

        def attempt(where):
            try:
                os.mkdir(f'{where}/nobodys')
            except OSError as error:
                assert error.errno == 75, error  # EOVERFLOW
            else:
                raise AssertionError('root without an id on disk made a directory')
            os.setresgid(1000, 1000, 1000)
            os.setresuid(1000, 1000, 1000)
            os.mkdir(f'{where}/mine')
        inside(root, fd, attempt)
    assert os.stat(f'{tree}/mine').st_uid == root.alice.uid


@case('a process is named by pid, by a pidfd or by its /proc directory')
def _(root):
    two_blocks(root)
    tree = make_tree(root, 'named')
    with Namespace(root, root.alice, [(DISK, SHOWN, BLOCK)]) as target:
        for fd in (target.dirfd, target.pidfd):
            given(ask(root, tree, target, fds={4: fd}))
        given(ask(root, tree, target, words=['--source', 'fd:3', '--userns', target.pid, '--to', 'fd:5']))


@case('with hidepid=2 the own process is found by all its names, and another\'s is told from none by nothing')
def _(root):
    two_blocks(root)
    tree = make_tree(root, 'hidden')
    mount('proc', '/proc', 'proc', 0, 'hidepid=2')
    try:
        with Namespace(root, root.alice, [(DISK, SHOWN, BLOCK)]) as target:
            seen = root.run(['/bin/sh', '-c', f'ls /proc/{os.getpid()} >/dev/null 2>&1 || echo hidden'], root.alice)
            assert seen.out == 'hidden\n', seen
            for fd in (target.dirfd, target.pidfd):
                given(ask(root, tree, target, fds={4: fd}))
            given(ask(root, tree, target, words=['--source', 'fd:3', '--userns', target.pid, '--to', 'fd:5']))
        with Namespace(root, root.bob, [(400000, 465536, BLOCK)]) as target:
            said = []
            for pid in (target.pid, 4_000_000):
                done, fd = ask(root, tree, target, words=['--source', 'fd:3', '--userns', pid, '--to', 'fd:5'])
                assert done.code == 1 and fd is None, done
                said.append(done.err.replace(str(pid), 'PID'))
            assert said[0] == said[1], said
    finally:
        umount('/proc')


@case('what lies below a mount stays covered, and the mounts below the tree come along, nodev and with its ids')
def _(root):
    two_blocks(root)
    tree = make_tree(root, 'covered')
    for name in 'secret', 'secret/deep':
        os.mkdir(f'{tree}/{name}')
        os.chown(f'{tree}/{name}', DISK, DISK)
    with open(f'{tree}/secret/word', 'w') as file:
        file.write('word')
    mount('tmpfs', f'{tree}/secret', 'tmpfs', 0, f'uid={DISK},gid={DISK},mode=755')

    def look(where):
        assert os.listdir(f'{where}/secret') == [], os.listdir(f'{where}/secret')
        assert os.stat(f'{where}/secret').st_uid == 0
        not_permitted(lambda: umount(f'{where}/secret'))
        not_permitted(lambda: mount_setattr(AT_FDCWD, f'{where}/secret', 0, off=ATTR_NODEV))
        assert os.listdir(f'{where}/secret') == []
    with Namespace(root, root.alice, [(DISK, SHOWN, BLOCK)]) as target:
        inside(root, given(ask(root, tree, target)), look)
    umount(f'{tree}/secret')


@case('ID-CLONE: a tree with a mount that cannot be cloned is refused: what it covers would come to light')
def _(root):
    two_blocks(root)
    tree = make_tree(root, 'unbindable')
    os.makedirs(f'{tree}/deep/secret')
    with open(f'{tree}/deep/secret/word', 'w') as file:
        file.write('word')
    mount('tmpfs', f'{tree}/deep/secret', 'tmpfs', 0, 'mode=700')
    mount(None, f'{tree}/deep/secret', None, MS_UNBINDABLE)
    with Namespace(root, root.alice, [(DISK, SHOWN, BLOCK)]) as target:
        refused(ask(root, tree, target), 'ID-CLONE', 'unbindable')
        mount(None, f'{tree}/deep/secret', None, MS_PRIVATE)
        os.close(given(ask(root, tree, target)))
    umount(f'{tree}/deep/secret')


@case('what the host mounts in the tree later does not come into the mount, with devices and its own ids')
def _(root):
    two_blocks(root)
    tree = make_tree(root, 'shared')
    mount('tmpfs', tree, 'tmpfs', 0, f'uid={DISK},gid={DISK},mode=755')
    mount(None, tree, None, MS_SHARED)  # as systemd has every mount
    os.mkdir(f'{tree}/later')
    os.makedirs(ROOM, exist_ok=True)
    with Namespace(root, root.alice, [(DISK, SHOWN, BLOCK)]) as target:
        fd = given(ask(root, tree, target))
    syscall(MOVE_MOUNT, fd, ctypes.c_char_p(b''), AT_FDCWD, ctypes.c_char_p(ROOM.encode()), 4)
    try:
        mount('tmpfs', f'{tree}/later', 'tmpfs')
        os.mknod(f'{tree}/later/zero', stat.S_IFCHR | 0o666, os.makedev(1, 5))
        assert os.listdir(f'{ROOM}/later') == [], os.listdir(f'{ROOM}/later')
        with open('/proc/self/mountinfo') as file:
            lines = [line for line in file if f' {ROOM} ' in line]
        assert len(lines) == 1 and 'master:' not in lines[0] and 'shared:' not in lines[0], lines
    finally:
        for where in f'{ROOM}/later', ROOM, f'{tree}/later', tree:
            if os.path.ismount(where):
                umount(where)


# --- flags ----------------------------------------------------------------------------------

def try_to_take_off(where, flag):
    """Every way that there is to take a flag off a mount."""
    ways = [
        lambda: mount_setattr(AT_FDCWD, where, 0, off=flag),
        lambda: mount_setattr(AT_FDCWD, where, AT_RECURSIVE, off=flag),
        lambda: mount(None, where, None, MS_REMOUNT | MS_BIND),
        lambda: mount(where, '/tmp', None, MS_BIND) or mount_setattr(AT_FDCWD, '/tmp', 0, off=flag),
    ]

    def clone():
        copy = syscall(OPEN_TREE, AT_FDCWD, ctypes.c_char_p(where.encode()), 1 | AT_RECURSIVE)
        mount_setattr(copy, '', AT_EMPTY_PATH, off=flag)

    def in_a_deeper_namespace():
        child = os.fork()
        if child == 0:
            code = 0
            try:
                unshare(CLONE_NEWUSER | CLONE_NEWNS)
                mount_setattr(AT_FDCWD, where, 0, off=flag)
            except OSError:
                code = 1
            os._exit(code)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            raise OSError(1, 'refused')

    def with_new_ids():  # open_tree_attr(2), Linux 6.15
        attributes = ctypes.create_string_buffer(struct.pack('QQQQ', 0, flag, 0, 0), 32)
        copy = syscall(467, AT_FDCWD, ctypes.c_char_p(where.encode()), 1, attributes, 32)
        os.close(copy)
    for way in (*ways, clone, in_a_deeper_namespace, with_new_ids):
        try:
            way()
        except OSError as error:
            assert error.errno in (1, 13, 22, 38), (way, error)
        else:
            raise AssertionError(f'{way} took flag {flag} off')


@case('nodev cannot be taken off: a device node of the container\'s own opens nothing')
def _(root):
    two_blocks(root)
    tree = make_tree(root, 'nodes')
    os.mknod(f'{tree}/zero', stat.S_IFCHR | 0o666, os.makedev(1, 5))
    os.chown(f'{tree}/zero', DISK, DISK)

    def attack(where):
        try_to_take_off(where, ATTR_NODEV)
        not_permitted(lambda: os.open(f'{where}/zero', os.O_RDONLY))
    with Namespace(root, root.alice, [(DISK, SHOWN, BLOCK)]) as target:
        inside(root, given(ask(root, tree, target)), attack)


@case('--read-only cannot be taken off')
def _(root):
    two_blocks(root)
    tree = make_tree(root, 'readonly')

    def attack(where):
        try_to_take_off(where, ATTR_RDONLY)
        not_permitted(lambda: open(f'{where}/root', 'w'))
        not_permitted(lambda: os.mkdir(f'{where}/d'))
    with Namespace(root, root.alice, [(DISK, SHOWN, BLOCK)]) as target:
        inside(root, given(ask(root, tree, target, read_only=True)), attack)
    with open(f'{tree}/root') as file:
        assert file.read() == 'root'


@case('read-only, nosuid and noexec of the source cannot be taken off')
def _(root):
    two_blocks(root)
    tree = make_tree(root, 'flags')
    for flag, attribute in (MS_RDONLY, ATTR_RDONLY), (MS_NOSUID, ATTR_NOSUID), (8, ATTR_NOEXEC):
        mount(tree, tree, None, MS_BIND)
        mount(None, tree, None, MS_REMOUNT | MS_BIND | flag)
        with Namespace(root, root.alice, [(DISK, SHOWN, BLOCK)]) as target:
            inside(root, given(ask(root, tree, target)), lambda where, a=attribute: try_to_take_off(where, a))
        umount(tree)


@case('a setuid file made through the mount is worth an id of the caller\'s on the host, no more')
def _(root):
    two_blocks(root)
    tree = make_tree(root, 'setuid')

    def make(where):
        with open('/bin/cat', 'rb') as source, open(f'{where}/cat', 'wb') as target:
            target.write(source.read())
        os.chmod(f'{where}/cat', 0o6755)
        done = os.spawnv(os.P_WAIT, '/sbin/setcap', ['setcap', 'cap_dac_override=ep', f'{where}/root'])
        assert done == 0, done
    with Namespace(root, root.alice, [(DISK, SHOWN, BLOCK)]) as target:
        inside(root, given(ask(root, tree, target)), make)
    facts = os.stat(f'{tree}/cat')
    assert (facts.st_uid, facts.st_gid, stat.S_IMODE(facts.st_mode)) == (DISK, DISK, 0o6755), facts
    seen = root.run([f'{tree}/cat', '/proc/self/status'], root.bob)
    (line,) = [line for line in seen.out.splitlines() if line.startswith('Uid:')]
    assert line.split()[1:] == [str(root.bob.uid), str(DISK), str(DISK), str(DISK)], line
    # File capabilities count in user namespaces below the ids that set them, never in the host's.
    value = os.getxattr(f'{tree}/root', 'security.capability')
    assert struct.unpack('<I', value[:4])[0] >> 24 == 3, value  # VFS_CAP_REVISION_3
    assert struct.unpack('<I', value[-4:])[0] == DISK, value


# --- rules ----------------------------------------------------------------------------------

@case('ID-ARGS: other words, other orders and fds that are not open are refused')
def _(root):
    two_blocks(root)
    tree = make_tree(root, 'words')
    with Namespace(root, root.alice, [(DISK, SHOWN, BLOCK)]) as target:
        for words in ([], ['--source', 'fd:3'], ['--source', '3', '--userns', 'fd:4', '--to', 'fd:5'],
                      ['--source', tree, '--userns', 'fd:4', '--to', 'fd:5'],
                      ['--source', 'fd:3', '--userns', 'fd:4', '--to', 'fd:5', '--rw'],
                      ['--source', 'fd:3', '--userns', 'fd:77', '--to', 'fd:5'],
                      ['--source', 'fd:3', '--userns', 'fd:4', '--to', 'fd:05']):
            refused(ask(root, tree, target, words=words), 'ID-ARGS')
        refused(ask(root, tree, target, words=['x'] * 8), 'ST-ARGS')


@case('ID-SOURCE: what is not a directory, or not open, is refused')
def _(root):
    two_blocks(root)
    tree = make_tree(root, 'things')
    with Namespace(root, root.alice, [(DISK, SHOWN, BLOCK)]) as target:
        for fd in (os.open(f'{tree}/root', os.O_RDONLY), os.memfd_create('x'), os.pipe()[0]):
            refused(ask(root, fd, target), 'ID-SOURCE')
            os.close(fd)
        refused(ask(root, tree, target, words=['--source', 'fd:99', '--userns', 'fd:4', '--to', 'fd:5']), 'ID-SOURCE')


class Deeper:
    """A process of alice's in a user namespace that was made as `made` says.

    made(step): runs in the child and calls step() where root is to write the maps.
    """

    def __init__(self, made, uid_map, gid_map):
        ready_read, ready_write = os.pipe()
        go_read, go_write = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            def step():
                os.write(ready_write, b's')
                os.read(go_read, 1)
            try:
                prctl(1, signal.SIGKILL)
                made(step)
                prctl(PR_SET_DUMPABLE, 1)
                os.write(ready_write, b'r')
                while True:
                    signal.pause()
            except BaseException:  # noqa
                os.write(ready_write, traceback.format_exc().encode())
            os._exit(1)
        os.close(ready_write)
        assert os.read(ready_read, 1) == b's'
        for name, text in ('uid_map', uid_map), ('gid_map', gid_map):
            with open(f'/proc/{self.pid}/{name}', 'w') as file:
                file.write(text)
        os.write(go_write, b'g')
        said = os.read(ready_read, 4096)
        assert said == b'r', said.decode()
        self.dirfd = os.open(f'/proc/{self.pid}', os.O_RDONLY)
        for end in ready_read, go_read, go_write:
            os.close(end)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.dirfd)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@case('ID-OWNER: the user namespace of another user is refused, although a process of the caller\'s is in it')
def _(root):
    two_blocks(root)
    tree = make_tree(root, 'owner')
    alice = root.alice

    def made(step):
        root.bob.become()
        unshare(CLONE_NEWUSER)
        step()
        os.setresgid(7, 7, 7)
        os.setresuid(7, 7, 7)
    maps = [f'0 {bobs} 1\n7 {alices} 1\n{DISK} {SHOWN} {BLOCK}\n'
            for bobs, alices in ((root.bob.uid, alice.uid), (root.bob.gid, alice.gid))]
    # The kernel shows it to nobody but bob; ID-OWNER is there for the day on which it does (U tree_rules).
    with Deeper(made, *maps) as target:
        refused(ask(root, tree, target), 'IM-CHILD')
    with Namespace(root, root.bob, [(400000, 465536, BLOCK)]) as target:
        refused(ask(root, tree, target), 'IM-CHILD')


@case('ID-CHILD: a grandchild of the caller\'s user namespace, and the own one, are refused')
def _(root):
    two_blocks(root)
    tree = make_tree(root, 'child')
    with root.target(root.alice, namespaces=0) as target:
        done, fd = ask(root, tree, target)
        assert done.code == 1 and fd is None and ('[ID-OWNER]' in done.err or '[ID-CHILD]' in done.err), done

    def made(step):
        root.alice.become()
        unshare(CLONE_NEWUSER)
        step()
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        prctl(PR_SET_DUMPABLE, 1)
        unshare(CLONE_NEWUSER)
        with open('/proc/self/setgroups', 'w') as file:
            file.write('deny')
        for name in 'uid_map', 'gid_map':
            with open(f'/proc/self/{name}', 'w') as file:
                file.write('0 0 1\n')
    with Deeper(made, f'0 {root.alice.uid} 1\n', f'0 {root.alice.gid} 1\n') as target:
        refused(ask(root, tree, target), 'ID-CHILD', 'unshare(CLONE_NEWUSER)')


@case('ID-MAPS: a map that is not written is refused')
def _(root):
    two_blocks(root)
    tree = make_tree(root, 'maps')
    with Namespace(root, root.alice, []) as target:
        refused(ask(root, tree, target), 'ID-MAPS', 'newuidmap')
    with root.target(root.alice) as target:
        assert root.run([root.newuidmap, target.pid, DISK, SHOWN, BLOCK], root.alice).code == 0
        refused(ask(root, tree, target), 'ID-MAPS')


@case('ID-DISK: ids on disk that are not the caller\'s are refused: uids, gids, one too many')
def _(root):
    two_blocks(root)
    tree = make_tree(root, 'disk')
    good = (DISK, SHOWN, 10)
    for bad in ((root.bob.uid, SHOWN + 20, 1), (400000, SHOWN + 20, 1), (DISK + 2 * BLOCK, SHOWN + 20, 1), (1, SHOWN + 20, 1)):
        for uids, gids in ([good, bad], [good]), ([good], [good, bad]):
            with Namespace(root, root.alice, uids, gids) as target:
                refused(ask(root, tree, target), 'ID-DISK', f'[{bad[0]}-', 'userns-policy explain')


@case('ID-DISK: of the own ids the uid counts among uids and the gid among gids')
def _(root):
    two_blocks(root)
    tree = make_tree(root, 'kinds')
    with Namespace(root, root.alice, [(DISK, SHOWN, 10), (root.alice.gid, SHOWN + 20, 1)], [(DISK, SHOWN, 10)]) as target:
        refused(ask(root, tree, target), 'ID-DISK')
    with Namespace(root, root.alice, [(DISK, SHOWN, 10)], [(DISK, SHOWN, 10), (root.alice.uid, SHOWN + 20, 1)]) as target:
        refused(ask(root, tree, target), 'ID-DISK')


@case('ID-MOUNT: outside ids that policy has taken back since the map was written are refused')
def _(root):
    two_blocks(root)
    tree = make_tree(root, 'mount')
    with Namespace(root, root.alice, [(DISK, SHOWN, BLOCK)]) as target:
        root.subuid(f'alice:{DISK}:{BLOCK}\n')
        refused(ask(root, tree, target), 'ID-MOUNT', f'[{SHOWN}-')
        two_blocks(root)
        root.subgid(f'alice:{DISK}:{BLOCK}\n')
        refused(ask(root, tree, target), 'ID-MOUNT', 'gid')


@case('ID-ROOT: id 0 is nobody\'s, on disk or in the mount, whatever /etc/subuid says')
def _(root):
    for write in root.subuid, root.subgid:
        write(f'alice:{DISK}:{2 * BLOCK}\nalice:0:10\n')
    tree = make_tree(root, 'zero')
    with Namespace(root, root.alice, [(DISK, SHOWN, 10), (0, SHOWN + 20, 1)]) as target:
        refused(ask(root, tree, target), 'ID-ROOT')


@case('ID-TREE: a directory of another\'s, also by an O_PATH fd into one that cannot be searched, is refused')
def _(root):
    two_blocks(root)
    hidden = f'{root.tmp}/searched-by-nobody'
    os.makedirs(hidden + '/below')
    os.chmod(hidden, 0o700)
    with Namespace(root, root.alice, [(DISK, SHOWN, BLOCK)]) as target:
        for where in (hidden, hidden + '/below', '/', '/root', make_tree(root, 'bobs', 400000)):
            refused(ask(root, where, target), 'ID-TREE')


@case('ID-CLONE: a directory of another mount namespace is refused')
def _(root):
    two_blocks(root)
    tree = make_tree(root, 'elsewhere')
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        unshare(CLONE_NEWNS)
        mount('tmpfs', tree, 'tmpfs', 0, f'uid={DISK},mode=755')
        os.write(write_end, b'r')
        signal.pause()
    os.read(read_end, 1)
    fd = os.open(f'/proc/{child}/root{tree}', os.O_PATH | os.O_DIRECTORY)
    with Namespace(root, root.alice, [(DISK, SHOWN, BLOCK)]) as target:
        refused(ask(root, fd, target), 'ID-CLONE')
    os.kill(child, 9)
    os.waitpid(child, 0)


@case('ID-FILESYSTEM: a file system without idmapped mounts, and a tree that has other ids already, are refused')
def _(root):
    two_blocks(root)
    with Namespace(root, root.alice, [(DISK, SHOWN, BLOCK)]) as target:
        proc = os.open(f'/proc/{target.pid}/task', os.O_PATH)  # alice's, on a file system without
        refused(ask(root, proc, target), 'ID-TREE')
        os.close(proc)
    with Namespace(root, root.alice, [(root.alice.uid, SHOWN, 1)], [(root.alice.gid, SHOWN, 1)]) as target:
        refused(ask(root, f'/proc/{target.pid}/task', target), 'ID-FILESYSTEM', 'copy the tree')
    tree = make_tree(root, 'twice')
    with Namespace(root, root.alice, [(DISK, SHOWN, BLOCK)]) as target:
        fd = given(ask(root, tree, target))
        os.makedirs(ROOM, exist_ok=True)
        syscall(MOVE_MOUNT, fd, ctypes.c_char_p(b''), AT_FDCWD, ctypes.c_char_p(ROOM.encode()), 4)
        done, none = ask(root, ROOM, target)
        umount(ROOM)
        assert done.code == 1 and none is None, done


@case('ID-SOCKET: what is not a Unix socket, and one that nobody reads, is refused')
def _(root):
    two_blocks(root)
    tree = make_tree(root, 'socket')
    with Namespace(root, root.alice, [(DISK, SHOWN, BLOCK)]) as target:
        inet = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        pipe = os.pipe()
        for fd in inet.fileno(), pipe[1], os.open('/dev/null', os.O_RDWR):
            refused(ask(root, tree, target, fds={5: fd}), 'ID-SOCKET')
        full, other = socket.socketpair()
        full.setblocking(False)
        try:
            while True:
                full.send(b'x' * 4096)
        except BlockingIOError:
            pass
        refused(ask(root, tree, target, fds={5: full.fileno()}), 'ID-SOCKET')
        other.close()
        refused(ask(root, tree, target, fds={5: full.fileno()}), 'ID-SOCKET')


@case('PR-MISSING: inside a user namespace, under no_new_privs and without its bit it says why')
def _(root):
    two_blocks(root)
    tree = make_tree(root, 'bit')
    with Namespace(root, root.alice, [(DISK, SHOWN, BLOCK)]) as target:
        refused(ask(root, tree, target, no_new_privs=True), 'PR-MISSING', 'userns-run doctor')


@case('ID-LOCK: where no process or no user namespace can be made, nothing is given')
def _(root):
    two_blocks(root)
    root.write('/etc/nsswitch.conf', 'passwd: files systemd\ngroup: files systemd\n')
    tree = make_tree(root, 'lock')
    with Namespace(root, root.alice, [(DISK, SHOWN, BLOCK)]) as target:
        # The child that asks for names is the first that cannot be made.
        refused(ask(root, tree, target, rlimits={resource.RLIMIT_NPROC: 0}), 'SU-NAME')
        for call, number in (('unshare', 1), ('move_mount', 1), ('unshare', 2)):
            words = ['--source', 'fd:3', '--userns', 'fd:4', '--to', 'fd:5']
            refused(struck(root, tree, target, f'{call}:error=EPERM:when={number}', words), 'ID-LOCK')


def struck(root, tree, target, inject, words):
    """The helper with a system call that fails in it or in its child; the filter then kills who made it."""
    ours, theirs = socket.socketpair()
    directory = os.open(tree, os.O_PATH | os.O_DIRECTORY)
    done = root.run(['/usr/bin/strace', '-u', root.alice.name, '-f', '-o', '/dev/null', '-e', f'inject={inject}',
                     root.program('userns-idmap'), *words], fds={3: directory, 4: target.dirfd, 5: theirs.fileno()})
    theirs.close()
    os.close(directory)
    received = socket.recv_fds(ours, 10, 4)[1]
    ours.close()
    return done, received[0] if received else None


# --- faults ---------------------------------------------------------------------------------

@case('each system call that fails is a refusal or changes nothing, and leaves no mount and no process')
def _(root):
    two_blocks(root)
    tree = make_tree(root, 'faults')

    def mounts():
        with open('/proc/self/mountinfo') as file:
            return len(file.readlines())
    before = mounts()
    with Namespace(root, root.alice, [(DISK, SHOWN, BLOCK)]) as target:
        total = failing_runs(root, tree, target)
        assert mounts() == before
    return f'{total} system calls failed, one a run'


def traced_run(root, tree, target, strike):
    ours, theirs = socket.socketpair()
    directory = os.open(tree, os.O_PATH | os.O_DIRECTORY)
    child = spawn([root.program('userns-idmap'), '--source', 'fd:3', '--userns', 'fd:4', '--to', 'fd:5'], root.alice,
                  fds={3: directory, 4: target.dirfd, 5: theirs.fileno()}, traced=True)
    seen = []

    def on_entry(stop):
        seen.append(stop.number)
        return strike(len(seen), stop)
    done = trace(child, on_entry)
    theirs.close()
    os.close(directory)
    ours.setblocking(False)
    try:
        fds = socket.recv_fds(ours, 10, 4)[1]
    except BlockingIOError:
        fds = []
    for fd in fds:
        os.close(fd)
    ours.close()
    return done, bool(fds), seen


def failing_runs(root, tree, target):
    done, got, calls = traced_run(root, tree, target, lambda *_: None)
    assert done.code == 0 and got, done
    ends = {231, 60, 9, 11, 12, 3, 59}  # exit, memory, close, execve: these cannot fail or are not act
    struck = 0
    for place, number in enumerate(calls, 1):
        if number in ends:
            continue
        struck += 1
        done, got, _ = traced_run(root, tree, target, lambda at, stop, p=place: Result(-5) if at == p else None)
        assert (done.code == 0) == got, (number, done, got)
        assert done.code in (0, 1, 127, -6), (number, done)
    return struck


if __name__ == '__main__':
    main()
