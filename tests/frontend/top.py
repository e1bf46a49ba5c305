#!/usr/bin/env python3
"""What containers use: top, once and live, and root's look at the containers of all users."""

import ctypes
import fcntl
import json
import os
import re
import resource
import shutil
import signal
import struct
import sys
import termios
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from terminal import Terminal  # noqa: E402
from named import IDLE, Store  # noqa: E402
from container import fails, rootfs, well  # noqa: E402
from harness import ROOT, case, libc, main, wait_for  # noqa: E402

BUSY = 'command = sh -c "trap \'exit 0\' TERM; while :; do :; done"'


def uses(store, *words):
    seen = json.loads(well(store.do('top', '--json', *words)).out)
    return {one['name']: one for one in seen}


@case('top --json: CPU, memory, processes, disk and ports of what runs, by /proc without a cgroup, and it says so')
def _(root):
    store = Store(root)
    store.make('idle', IDLE)
    store.make('busy', BUSY)
    store.make('off', IDLE)
    for name in ('idle', 'busy'):
        well(store.do('start', name))
    seen = uses(store)
    assert set(seen) == {'idle', 'busy'}, seen
    busy, idle = seen['busy'], seen['idle']
    assert busy['cpu_percent'] > 5 > 3 > idle['cpu_percent'] and busy['cpu_usec'] > 0, seen
    assert busy['processes'] == 1 and idle['processes'] >= 2, seen
    assert 100_000 < idle['memory'] < 1 << 30 and idle['memory_limit'] is None and idle['source'] == 'proc', idle
    assert idle['net_received'] == 0, idle  # a network of its own, without a NIC
    assert idle['disk_read'] is None, idle  # of other ids
    assert set(uses(store, 'busy')) == {'busy'}
    table = well(store.do('top', '--once')).out.splitlines()
    assert table[0].split()[:4] == ['NAME', 'CPU%', 'MEMORY', 'LIMIT'] and table[1].startswith('busy '), table
    assert '/proc' in table[1]
    assert well(store.do('top', '--no-stream', '--sort=name')).out.splitlines()[1].startswith('busy ')
    fails(store.do('top', '--sort=weight'), '--sort', 'weight')
    fails(store.do('top', 'nosuch'), 'nosuch')
    well(store.do('stop', 'idle', 'busy', '--timeout=0'))
    assert not uses(store)


@case('processes that come and go count: what has ended stays in the CPU of who waited for it')
def _(root):
    store = Store(root)
    store.make('web', IDLE)
    well(store.do('start', 'web', command=['sh', '-c', 'while :; do /bin/true; done']))
    before = uses(store)['web']['cpu_usec']
    wait_for(lambda: uses(store)['web']['cpu_usec'] > before + 100_000, 'CPU of its children')
    well(store.do('stop', 'web', '--timeout=0'))


@case('live on a terminal: rows, keys that sort, the window that changes, a container that ends; q gives the terminal back')
def _(root):
    store = Store(root)
    for name, kind in (('aaa', IDLE), ('zzz', BUSY)):
        store.make(name, kind)
        well(store.do('start', name))
    with Terminal(store.words('top', '--interval=200ms'), root.alice, size=(10, 90)) as terminal:
        before = termios.tcgetattr(terminal._master)
        terminal.expect(r'\x1b\[\?1049h')
        terminal.expect(r'by cpu')
        terminal.expect(r'zzz +[\d.]+ [^\n]*\r\n *aaa')
        terminal.type('a')
        terminal.expect(r'by name')
        terminal.expect(r'aaa [^\n]*\r\n *zzz')
        terminal.type('m')
        terminal.expect(r'by memory')
        fcntl.ioctl(terminal._master, termios.TIOCSWINSZ, struct.pack('HHHH', 10, 20, 0, 0))
        os.kill(terminal.child.pid, signal.SIGWINCH)
        terminal.expect(r'\x1b\[Huserns-run top: 2 ru\x1b')  # 20 columns
        fcntl.ioctl(terminal._master, termios.TIOCSWINSZ, struct.pack('HHHH', 3, 90, 0, 0))
        os.kill(terminal.child.pid, signal.SIGWINCH)
        terminal.expect(r'quits\x1b\[K\r\n\x1b\[K\r\nNAME[^\n]*\x1b\[J')  # three rows
        well(store.do('stop', 'zzz', '--timeout=0'))
        terminal.expect(r'top: 1 run')
        terminal.type('q')
        assert terminal.end() == 0
        assert terminal.text.endswith('\x1b[?25h\x1b[?1049l'), terminal.text[-100:]
        after = termios.tcgetattr(terminal._master)
        assert before is not None and after[3] & termios.ICANON and after[3] & termios.ECHO
    well(store.do('stop', 'aaa', '--timeout=0'))


@case('ctrl-C, TERM and a terminal that goes away end it; the terminal is as it was')
def _(root):
    store = Store(root)
    for end in ('\x03', signal.SIGTERM):
        with Terminal(store.words('top'), root.alice) as terminal:
            terminal.expect(r'quit')
            if isinstance(end, str):
                terminal.type(end)
            else:
                os.kill(terminal.child.pid, end)
            assert terminal.end() == (0 if isinstance(end, str) else 143)
            assert termios.tcgetattr(terminal._master)[3] & termios.ICANON
    terminal = Terminal(store.words('top'), root.alice)
    terminal.expect(r'quit')
    os.close(terminal._master)
    assert terminal.child.wait(30).code != 0
    read, write = os.pipe()
    child = store.begin('top', '--once', fds={1: write})
    os.close(write)
    os.close(read)
    assert child.wait(30).code in (0, 125, -13, 141)  # a pipe that is closed


# --- root -------------------------------------------------------------------------------------------------

def host(root, *words):
    return root.run([root.program('userns-run'), *words], ROOT, timeout=60)


@case('root sees the containers of all users: list --host, info --host, top --host as a tree; others are refused')
def _(root):
    alice, bob = Store(root), Store(root, root.bob, first=200000)
    for store in (alice, bob):
        store.make('web', IDLE, tree=rootfs(root, f'trees/of-{store.user.name}', store.first))
        well(store.do('start', 'web'))
    seen = json.loads(well(host(root, 'list', '--host', '--json')).out)
    found = {one['user']: one for one in seen if one['path'] in (f'{alice.path}/web', f'{bob.path}/web')}
    assert set(found) == {root.alice.name, root.bob.name}, seen
    for store in (alice, bob):
        one = found[store.user.name]
        assert one['pid'] == store.state('web')['init']['pid'] and one['uid'] == store.user.uid and one['state'] == 'running', one
        assert one['processes'] >= 1 and one['memory'] > 0 and one['problem'] is None, one
    table = well(host(root, 'list', '--host')).out
    assert re.search(rf'^{root.bob.name} +web +running +{found[root.bob.name]["pid"]} ', table, re.M), table
    text = well(host(root, 'info', '--host', f'{root.bob.name}/web')).out
    assert f'uid:          {root.bob.uid}' in text and bob.path in text, text
    fails(host(root, 'info', '--host', f'{root.bob.name}/nosuch'), 'no container', 'nosuch')
    assert all(isinstance(one['disk_read'], int) for one in json.loads(well(host(root, 'top', '--host', '--json')).out))
    tree = well(host(root, 'top', '--host', '--once')).out
    assert re.search(rf'^{root.alice.name} [^\n]*\n  web ', tree, re.M) and re.search(rf'^{root.bob.name} [^\n]*\n  web ', tree, re.M), tree
    for words in (('list', '--host'), ('info', '--host', 'x/y'), ('top', '--host', '--once')):
        fails(root.run([root.program('userns-run'), *words], root.alice), 'run it as root')
    for store in (alice, bob):
        well(store.do('stop', 'web', '--timeout=0'))


@case('what a user writes down is a claim: another\'s process, a hostile path, nonsense reach root as no more than text')
def _(root):
    alice, bob = Store(root), Store(root, root.bob, first=200000)
    for store in (alice, bob):
        store.make('web', IDLE, tree=rootfs(root, f'trees/of-{store.user.name}', store.first))
        well(store.do('start', 'web'))
    victim = alice.state('web')
    path = f'{bob.path}/web/state.json'
    state = json.load(open(path))
    state.update(init=victim['init'], kind='\x1b[2J\u202e', cgroup='/proc/1')
    with open(path, 'w') as file:
        json.dump(state, file)
    done = well(host(root, 'list', '--host', '--json'))
    [one] = [one for one in json.loads(done.out) if one['path'] == f'{bob.path}/web']
    assert one['pid'] is None and one['memory'] is None and 'no user namespace of this user' in one['problem'], one
    text = well(host(root, 'list', '--host')).out + well(host(root, 'info', '--host', f'{root.bob.name}/web')).out
    assert '\x1b' not in text and '\u202e' not in text, text
    # Its own process, for a second time.
    alice.make('zzz', IDLE, tree=rootfs(root, 'trees/of-zzz', alice.first))
    well(alice.do('start', 'zzz'))
    own = alice.state('zzz')
    with open(f'{alice.path}/zzz/state.json', 'w') as file:
        json.dump({**own, 'init': victim['init']}, file)
    mine = {one['name']: one for one in json.loads(well(host(root, 'list', '--host', '--json')).out) if one['path'].startswith(alice.path)}
    assert mine['web']['memory'] > 0 and mine['zzz']['pid'] is None and 'as that of web does' in mine['zzz']['problem'], mine
    assert [one['name'] for one in json.loads(well(host(root, 'top', '--host', '--json')).out) if one['user'] == root.alice.name] == ['web']
    with open(f'{alice.path}/zzz/state.json', 'w') as file:
        json.dump(own, file)
    well(alice.do('stop', 'zzz', '--timeout=0'))
    state['init'] = {'pid': 1, 'start': 0}
    with open(path, 'w') as file:
        json.dump(state, file)
    [one] = [one for one in json.loads(well(host(root, 'list', '--host', '--json')).out) if one['path'] == f'{bob.path}/web']
    assert one['pid'] is None, one
    os.unlink(path)
    os.mkfifo(path)  # root's look is not held up
    os.chown(path, root.bob.uid, root.bob.gid)
    well(host(root, 'list', '--host'))
    os.unlink(path)
    for store in (alice, bob):
        store.do('stop', 'web', '--timeout=0')
        store.do('kill', 'web')


class SilentFuse:
    """A file system of a user's: it takes every request and answers none but the first, that of the mount. Who waits
    for an answer cannot even be killed."""

    def __init__(self, place, user):
        self.place = place
        os.makedirs(place, exist_ok=True)
        self.fd = os.open('/dev/fuse', os.O_RDWR)
        options = f'fd={self.fd},rootmode=40000,user_id={user.uid},group_id={user.gid}'
        if libc.mount(b'silent', place.encode(), b'fuse.silent', 0, options.encode()) != 0:
            raise OSError(ctypes.get_errno(), 'mount of a FUSE')
        self.asked = threading.Event()
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self):
        while True:
            try:
                request = os.read(self.fd, 1 << 20)
            except OSError:
                return
            _, opcode, unique = struct.unpack_from('=IIQ', request)
            if opcode == 26:  # FUSE_INIT
                about = struct.pack('=IIIIHHIIHHI28x', 7, 31, 65536, 0, 12, 9, 65536, 1, 0, 0, 0)
                os.write(self.fd, struct.pack('=IiQ', 16 + len(about), 0, unique) + about)
            else:
                self.asked.set()

    def end(self):
        libc.umount2(self.place.encode(), 2 | 1)  # MNT_DETACH, MNT_FORCE: what waits fails
        os.close(self.fd)


@case('a file system of a user\'s that never answers holds no look of root\'s: others are shown, and whose it is is said')
def _(root):
    bob = Store(root, root.bob, first=200000)
    bob.make('web', IDLE, tree=rootfs(root, 'trees/of-bob', bob.first))
    well(bob.do('start', 'web'))
    fuse = SilentFuse(f'{root.tmp}/home/{root.alice.name}', root.alice)
    try:
        began = time.monotonic()
        done = host(root, 'list', '--host')
        took = time.monotonic() - began
        assert fuse.asked.is_set() and took < 25, (took, done)
        fails(done, f'containers of {root.alice.name} takes longer')
        assert re.search(rf'^{root.bob.name} +web +running ', done.out, re.M), done.out
        tree = host(root, 'top', '--host', '--once')
        assert re.search(rf'^{root.bob.name} [^\n]*\n  web ', tree.out, re.M), tree
    finally:
        fuse.end()
    well(host(root, 'list', '--host'))
    well(bob.do('stop', 'web', '--timeout=0'))


@case('settings of a user\'s do not fill the memory of root\'s processes, however many there are')
def _(root):
    bob = Store(root, root.bob, first=200000)
    bob.make('web', IDLE, tree=rootfs(root, 'trees/of-bob', bob.first))
    well(bob.do('start', 'web'))
    alice = Store(root)
    alice.make('web', IDLE)
    home = f'{root.tmp}/home/{root.alice.name}'
    place = f'{home}/.local/share/userns'
    with open(f'{alice.path}/web/config') as file:
        large = file.read() + 'env = A\n' * 30000
    root.write(f'{home}/large', large, 0o600, (root.alice.uid, root.alice.gid))
    for number in range(60):
        os.makedirs(f'{place}/c{number}')
        os.link(f'{home}/large', f'{place}/c{number}/config')
    for path in (f'{home}/.local', f'{home}/.local/share', place, *(f'{place}/c{number}' for number in range(60))):
        os.chown(path, root.alice.uid, root.alice.gid)
    try:
        done = host(root, 'list', '--host')
        assert re.search(rf'^{root.bob.name} +web +running ', done.out, re.M), done
        most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
        assert most < 120, f'{most} MiB'
    finally:
        shutil.rmtree(f'{home}/.local')
    well(bob.do('stop', 'web', '--timeout=0'))


@case('users beyond the 4096 that are asked are counted in a sentence; those of whom something runs are among the asked')
def _(root):
    bob = Store(root, root.bob, first=200000)
    bob.make('web', IDLE, tree=rootfs(root, 'trees/of-bob', bob.first))
    well(bob.do('start', 'web'))
    with open('/etc/passwd') as file:
        accounts = file.read()
    many = ''.join(f'u{uid}:x:{uid}:{uid}::/nonexistent:/bin/false\n' for uid in range(80000, 84200))
    with open('/etc/passwd', 'w') as file:  # the test's own
        file.write(many + accounts)
    try:
        done = root.run([root.program('userns-run'), 'list', '--host'], ROOT, timeout=100)
    finally:
        with open('/etc/passwd', 'w') as file:
            file.write(accounts)
    fails(done, 'users were not asked: no more than 4096 are')
    assert re.search(rf'^{root.bob.name} +web +running ', done.out, re.M), done.out
    well(bob.do('stop', 'web', '--timeout=0'))


main()
