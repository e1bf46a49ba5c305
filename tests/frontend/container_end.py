#!/usr/bin/env python3
"""What the end of a named container is: nobody is left in its user namespace, its port is free, and its record is understood.

USERNS_TEST_ROUNDS=N has a container with a published port started, restarted and stopped N times instead of 5.
"""

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from container import FIRST, PYTHON, fails, give, rootfs, start, well, words  # noqa: E402
from named import IDLE, Store, alive, await_log  # noqa: E402
from container_end_lib import everyones_device, holders_of, is_free, is_ours  # noqa: E402
from harness import MS_BIND, case, cases, main, mount, own_children, skip, spawn, umount, wait_for  # noqa: E402
from net_host import Host, way_out  # noqa: E402

made = {}
F_OFD_SETLK, CLOCK_NANOSLEEP = 37, 230

# A process that has left its session, its parent and its first thread; it ignores all that it may.
LEFT = '''
import ctypes, os, signal, threading, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
for number in (1, 2, 3, 15): signal.signal(number, signal.SIG_IGN)
threading.Thread(target=lambda: time.sleep(10000)).start()
print("left", os.getpid(), flush=True)
ctypes.CDLL(None).syscall(60, 0)
'''


@contextlib.contextmanager
def pipe_of_nothing():
    """Standard input on which nothing comes and that does not end."""
    read_end, write_end = os.pipe()
    yield read_end
    os.close(read_end)
    os.close(write_end)


def comm(pid):
    try:
        with open(f'/proc/{pid}/comm', 'rb') as file:
            return file.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return b''


def with_python(root, name='web'):
    """A tree with the host's own python in it."""
    tree = rootfs(root, f'trees/{name}')
    binds = []
    for top in ('usr', 'lib', 'lib64'):
        if os.path.exists('/' + top):
            os.makedirs(f'{tree}/{top}', exist_ok=True)
            os.lchown(f'{tree}/{top}', FIRST, FIRST)
            binds.append(f'bind = /{top}:/{top}')
    return tree, binds


def started(root, *settings):
    store = Store(root)
    tree, binds = with_python(root)
    with open(f'{tree}/left.py', 'w') as file:
        file.write(LEFT)
    command = f'sh -c "{PYTHON} /left.py; trap \'exit 0\' TERM; echo up; while :; do sleep 1000 & wait; done"'
    store.make('web', f'map = b:0:{FIRST}:65536', f'command = {command}', *binds, *settings, tree=tree)
    well(store.do('start', 'web'))
    await_log(store, 'web', 'up')
    await_log(store, 'web', 'left ')
    return store


@cases([('without a pid namespace and a cgroup, a process that left its session, parent and first thread ends with the container', 'stop', ()),
        ('the same if its first process is killed', 'kill', ()),
        ('the same if it is destroyed while it runs', 'destroy', ('--force',))])
def _(root, verb, options):
    store = started(root, 'share = pid')
    assert len(holders_of(FIRST)) >= 3
    well(store.do(verb, 'web', *options))
    if verb == 'kill':
        wait_for(lambda: store.state('web') is None, 'its end')
    assert not holders_of(FIRST), holders_of(FIRST)


@cases([('whoever has the number of its namespace by then, and shares its ids, is not taken for one of it', True),
        ('the same where the kernel has no ids of namespaces', False)])
def _(root, has_ids):
    store = Store(root)
    store.make('web', IDLE, f'map = b:0:{FIRST}:65536')
    well(store.do('start', 'web'))
    state = store.state('web')
    os.kill(state['monitor']['pid'], signal.SIGKILL)
    wait_for(lambda: not alive(state['init']['pid']), 'its end')
    other = start(root, '--map', f'b:0:{FIRST}:65536', command=('sh', '-c', 'echo up; exec sleep 1000'),
                  where=rootfs(root, 'other'))
    wait_for(lambda: any(b'sleep' == comm(pid) for pid in holders_of(FIRST)), 'the other one')
    [first] = [pid for pid in holders_of(FIRST) if comm(pid) == b'sleep']
    # The kernel gives the lowest free number; here it is written where it would be read.
    state['user_namespace'] = os.stat(f'/proc/{first}/ns/user').st_ino
    if not has_ids:
        state['user_namespace_id'] = 0
    with open(f'{store.path}/web/state.json', 'w') as file:
        json.dump(state, file)
    well(store.do('start', 'web'))
    assert alive(first)
    other.kill()
    well(store.do('stop', 'web'))


@cases([('the same if its monitor is killed: the next start ends it', ('start', 'web', '--', 'true')),
        ('the same if its monitor is killed: a stop ends it', ('stop', 'web')),
        ('the same if its monitor is killed: its ids are not free before', ('destroy', 'web'))])
def _(root, words):
    store = started(root, 'share = pid')
    left = int(store.log('web').decode().split('left ')[1].split()[0])
    state = store.state('web')
    os.kill(state['monitor']['pid'], signal.SIGKILL)
    wait_for(lambda: not alive(state['init']['pid']), 'its first process to end')
    assert left in holders_of(FIRST)
    command = words[words.index('--') + 1:] if '--' in words else None
    done = store.do(*words[:2], command=command)
    assert done.code == (125 if words[0] == 'stop' else 0), done
    assert left not in holders_of(FIRST)


def forget(store, *keys):
    """The record as it is where the kernel does not say so much, or an older version wrote it."""
    state = store.state('web')
    for key in keys:
        assert state.pop(key), (key, state)
    with open(f'{store.path}/web/state.json', 'w') as file:
        json.dump(state, file)


def left_of(store):
    """Those that were left when the monitor and the first process were killed: their numbers on the host."""
    state = store.state('web')
    space = os.stat(f'/proc/{state["init"]["pid"]}/ns/user').st_ino
    os.kill(state['monitor']['pid'], signal.SIGKILL)
    wait_for(lambda: not alive(state['init']['pid']), 'its first process to end')
    return [pid for pid in own_children() if is_in(pid, space) and runs(pid)]


def is_in(pid, space):
    try:
        return os.stat(f'/proc/{pid}/ns/user').st_ino == space
    except (FileNotFoundError, ProcessLookupError):
        return False


def runs(pid):
    """Its first thread may have ended."""
    try:
        with open(f'/proc/{pid}/status') as file:
            fields = dict(line.split(':', 1) for line in file if ':' in line)
        return fields['State'].split()[0] not in 'ZX' or int(fields['Threads']) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False


@cases([(f'with the caller\'s own id alone, a process that a killed monitor left is found: {how}', keys, verb)
        for how, keys in (("by the namespace's id", ()), ("by its root directory, where the kernel has no ids of namespaces", ('user_namespace_id',)))
        for verb in ('start', 'destroy')])
def _(root, keys, verb):
    store = Store(root)
    tree, binds = with_python(root)
    give(tree, root.alice.uid)
    with open(f'{tree}/left.py', 'w') as file:
        file.write(LEFT)
    command = f'sh -c "{PYTHON} /left.py; trap \'exit 0\' TERM; echo up; while :; do sleep 1000 & wait; done"'
    store.make('web', 'map-self = yes', 'share = pid', f'command = {command}', *binds, tree=tree)
    well(store.do('start', 'web'))
    await_log(store, 'web', 'up')
    await_log(store, 'web', 'left ')
    try:
        forget(store, *keys)
    except AssertionError:
        skip('this kernel has no ids of namespaces')
    left = left_of(store)
    assert left
    well(store.do(verb, 'web', command=['true'] if verb == 'start' else None))
    assert not any(map(runs, left))


@case('ids that a living process has are nobody else\'s, though its container is gone: others are chosen, or it is named')
def _(root):
    store = started(root, 'share = pid')
    left = int(store.log('web').decode().split('left ')[1].split()[0])
    state = store.state('web')
    os.kill(state['monitor']['pid'], signal.SIGKILL)
    wait_for(lambda: not alive(state['init']['pid']), 'its first process to end')
    shutil.rmtree(f'{store.path}/web')  # by hand: nobody looked who is left
    index = f'{store.user_home()}/.local/share/userns/.index'
    if os.path.exists(index):
        os.unlink(index)
    for file in ('/etc/subuid', '/etc/subgid'):
        root.write(file, f'alice:{FIRST}:65536\n')
    fails(store.do('create', 'one', '--template=busybox', timeout=60), f'process {left} (', 'which still runs')
    for file in ('/etc/subuid', '/etc/subgid'):
        root.write(file, f'alice:{FIRST}:{2 * 65536}\n')
    well(store.do('create', 'one', '--template=busybox', timeout=60))
    with open(f'{store.path}/one/config') as file:
        assert f'u:0:{FIRST + 65536}:65536' in file.read()
    os.kill(left, signal.SIGKILL)
    wait_for(lambda: left not in holders_of(FIRST), 'the process to end')
    well(store.do('create', 'two', '--template=busybox', timeout=60))
    with open(f'{store.path}/two/config') as file:
        assert f'u:0:{FIRST}:65536' in file.read()


@case('a throw-away container that runs has ids that are free for a container: another block is taken if there is one')
def _(root):
    store = Store(root)
    running = start(root, command=('sh', '-c', 'exec sleep 1000'), where=rootfs(root, 'other'))
    wait_for(lambda: any(comm(pid) == b'sleep' for pid in holders_of(FIRST)), 'it')
    for count, first in ((2, FIRST + 65536), (1, FIRST)):
        for file in ('/etc/subuid', '/etc/subgid'):
            root.write(file, f'alice:{FIRST}:{count * 65536}\n')
        well(store.do('create', 'one', '--template=busybox', timeout=60))
        with open(f'{store.path}/one/config') as file:
            assert f'u:0:{first}:65536' in file.read()
        well(store.do('destroy', 'one', timeout=60))
    running.kill()


# A file system that answers until it is asked to flush. Its server has a file of it open, below the number of the
# device: killed, it waits for itself.
HANGS = '''
import ctypes, os, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
os.makedirs("/m", exist_ok=True)
low = os.open("/dev/null", os.O_RDONLY)
dev = os.open("/dev/fuse", os.O_RDWR)
data = f"fd={dev},rootmode=40000,user_id=0,group_id=0".encode()
if libc.mount(b"none", b"/m", b"fuse", 0, data) != 0:
    print("no fuse", ctypes.get_errno(), flush=True); sys.exit(1)
attr = lambda ino, mode: struct.pack("<QQQQQQIIIIIIIIII", ino, 0, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)
def serve():
    while True:
        request = os.read(dev, 1 << 17)
        size, op, unique, node = struct.unpack_from("<IIQQ", request)
        if op == 26: out = struct.pack("<IIIIHHIIHHIIII", 7, 31, 0, 0, 1, 1, 4096, 1, 1, 0, 0, 0, 0, 0) + bytes(16)
        elif op == 1: out = struct.pack("<QQQQII", 2, 0, 60, 60, 0, 0) + attr(2, 0o100644)
        elif op == 3: out = struct.pack("<QII", 60, 0, 0) + attr(node, 0o40755 if node == 1 else 0o100644)
        elif op in (14, 27): out = struct.pack("<QII", 1, 0, 0)
        elif op == 2 or op == 42: continue
        elif op == 25: continue
        else:
            os.write(dev, struct.pack("<IiQ", 16, -38, unique)); continue
        os.write(dev, struct.pack("<IiQ", 16 + len(out), 0, unique) + out)
threading.Thread(target=serve, daemon=True).start()
file = os.open("/m/f", os.O_RDONLY)
os.dup2(file, low)
print("up", os.stat("/m/f").st_ino, flush=True)
time.sleep(10000)
'''


@case('a process that hangs in the kernel: not over, which stop says; ids are kept; over when it ends')
def _(root):
    if not os.path.exists('/dev/fuse'):
        skip('this kernel has no FUSE')
    everyones_device('fuse', 229)
    connections = f'{root.tmp}/connections'
    os.makedirs(connections, exist_ok=True)
    mount('fusectl', connections, 'fusectl')
    before = set(os.listdir(connections))
    store = Store(root)
    tree, binds = with_python(root)
    with open(f'{tree}/hangs.py', 'w') as file:
        file.write(HANGS)
    store.make('web', f'map = b:0:{FIRST}:65536', 'nesting = yes', *binds, tree=tree)
    well(store.do('start', 'web', command=[PYTHON, '/hangs.py']))
    try:
        wait_for(lambda: b'up' in store.log('web') or b'no fuse' in store.log('web'), 'the file system')
        if b'no fuse' in store.log('web'):
            skip('no FUSE in a user namespace here: ' + store.log('web').decode())
        done = store.do('stop', 'web', '--timeout=0s')
        assert done.code == 125 and 'web is not over' in done.err and 'hang' in done.err, done
        assert holders_of(FIRST) and 'running' in well(store.do('list', 'web')).out
        fails(store.do('destroy', 'web', '--force'), 'not over')
        monitor = store.state('web')['monitor']['pid']
        os.kill(monitor, signal.SIGKILL)
        wait_for(lambda: not alive(monitor), 'the end of the monitor')
        fails(store.do('start', 'web', command=['true']), 'not over')
        fails(store.do('destroy', 'web'), 'not over')
        assert holders_of(FIRST) and os.path.exists(f'{store.path}/web')
    finally:
        for name in set(os.listdir(connections)) - before:
            with open(f'{connections}/{name}/abort', 'w') as file:
                file.write('1')
    wait_for(lambda: not holders_of(FIRST), 'the process to end')
    well(store.do('destroy', 'web'))
    umount(connections)


# --- the port -----------------------------------------------------------------------------------

def begin_user_net(root):
    """A network of the test's own, so that the port is nobody else's."""
    if not shutil.which('pasta') and not shutil.which('slirp4netns'):
        skip('neither pasta nor slirp4netns is installed')
    if 'host' not in made:
        made['host'] = Host(root)
        everyones_device('net/tun', 200)
        way_out()


@cases([('a published port is free when the end is told; it is started, restarted and stopped again and again', ()),
        ('the same with the loopback of both published, as every pasta can', ('publish-loopback = yes',))])
def _(root, settings):
    begin_user_net(root)
    port = 18082
    store = Store(root)
    store.make('web', IDLE, 'net = user', f'publish = {port}:80', *settings)
    rounds = int(os.environ.get('USERNS_TEST_ROUNDS', '5'))
    for _ in range(rounds):
        well(store.do('start', 'web'))
        assert not is_free(port)
        if settings and shutil.which('pasta'):
            assert any(comm(pid).startswith((b'passt', b'pasta')) and is_ours(int(pid)) for pid in filter(str.isdigit, os.listdir('/proc')))
        well(store.do('restart', 'web'))
        assert not is_free(port)
        well(store.do('stop', 'web'))
        assert is_free(port)
    return f'{rounds} rounds'


@case('a reboot from inside keeps a published port')
def _(root):
    begin_user_net(root)
    port = 18083
    store = Store(root)
    tree, binds = with_python(root)
    reboot = 'import ctypes; ctypes.CDLL(None).reboot(0x01234567)'
    with open(f'{tree}/reboot.py', 'w') as file:
        file.write('import os, sys, time, ctypes\nprint("up", flush=True)\n'
                   'while not os.path.exists("/go"): time.sleep(0.02)\nos.unlink("/go")\n' + reboot)
    store.make('web', 'net = user', f'publish = {port}:80', *binds, tree=tree)
    well(store.do('start', 'web', command=[PYTHON, '/reboot.py']))
    for life in range(1, 4):
        state = wait_for(lambda: (s := store.state('web')) and s['restarts'] == life - 1 and s, f'life {life}')
        wait_for(lambda: store.log('web').count(b'up') == life, f'life {life} to be up')
        assert not is_free(port)
        with open(f'{tree}/go', 'w'):
            os.chown(f'{tree}/go', FIRST, FIRST)
        wait_for(lambda: not alive(state['init']['pid']), 'its end')
    wait_for(lambda: (s := store.state('web')) and s['restarts'] == 3, 'the last life')
    well(store.do('kill', 'web'))
    wait_for(lambda: store.state('web') is None, 'its end')
    assert is_free(port)


# --- records of other versions ------------------------------------------------------------------

def without(key):
    return lambda text: json.dumps({name: value for name, value in json.loads(text).items() if name != key})


OTHERS = [('without a key', without('dress')), ('with a key of another kind', lambda text: text.replace('"kind":"', '"kind":7,"was":"')),
          ('of version 9.9', lambda text: json.dumps({**json.loads(text), 'version': '9.9', 'init': 'elsewhere'})),
          ('that is not a JSON', lambda text: text[:40]), ('that is empty of sense', lambda text: '{}')]


@cases([(f'a record {name} is of a container that runs: list says so, stop and kill work', change) for name, change in OTHERS])
def _(root, change):
    store = Store(root)
    for verb in ('stop', 'kill'):
        store.make('web', IDLE)
        well(store.do('start', 'web'))
        await_log(store, 'web', 'up')
        state = store.state('web')
        path = f'{store.path}/web/state.json'
        with open(path) as file:
            text = change(file.read())
        with open(path, 'w') as file:
            file.write(text)
        done = well(store.do('list', 'web'))
        what = 'written by ' if text.rstrip().endswith('}') else 'damaged (state.json)'
        assert f'running ({what}' in done.out and ('9.9' in done.out) == ('9.9' in text), done
        fails(store.do('exec', 'web', command=['true']), 'web runs', what.split()[0])
        fails(store.do('destroy', 'web'), 'web is running')
        fails(store.do('start', 'web'), 'web')
        well(store.do(verb, 'web'))
        wait_for(lambda: not alive(state['init']['pid']) and not os.path.exists(path), 'its end')
        shutil.rmtree(f'{store.path}/web')


@case('a monitor that does not answer and whose record is of another version is found, and stop ends it')
def _(root):
    store = Store(root)
    store.make('web', IDLE)
    well(store.do('start', 'web'))
    await_log(store, 'web', 'up')
    state = store.state('web')
    with open(f'{store.path}/web/state.json', 'w') as file:
        file.write('{}')
    os.unlink(f'{store.path}/web/control')
    done = store.do('stop', 'web', '--timeout=0s', timeout=60)
    assert done.code == 0, done
    wait_for(lambda: not alive(state['init']['pid']) and not alive(state['monitor']['pid']), 'both to end')


@case('a monitor of an older build, kept in USERNS_TEST_OLD_BUILD: list, exec, stop, kill and restart work')
def _(root):
    old = os.environ.get('USERNS_TEST_OLD_BUILD')
    if not old:
        skip('USERNS_TEST_OLD_BUILD names no older build')
    monitor = next(path for path in (f'{old}/frontend/monitor/userns-monitor', f'{old}/frontend/container/userns-monitor') if os.path.exists(path))
    programs = {root.program('userns-run'): f'{old}/frontend/cli/userns-run',
                os.path.join(os.path.dirname(root.program('userns-net')), 'userns-monitor'): monitor}
    for verb in ('stop', 'kill', 'restart'):
        store = Store(root)
        store.make('web', IDLE)
        for new, older in programs.items():
            mount(older, new, None, MS_BIND)
        well(store.do('start', 'web'))
        for new in programs:
            umount(new)
        await_log(store, 'web', 'up')
        state = store.state('web')
        assert 'running' in well(store.do('list', 'web')).out
        # Without a cgroup that is what a freeze is.
        fails(store.do('exec', 'web', command=['true']), 'web is frozen', 'userns-run thaw web')
        well(store.do(verb, 'web'))
        wait_for(lambda: not alive(state['init']['pid']), 'its end')
        if verb == 'restart':
            assert store.state('web')['version']
            well(store.do('stop', 'web'))


# --- start at the end ---------------------------------------------------------------------------

@case('a start between the end of a life and the release of its lock waits for the lock')
def _(root):
    store = Store(root)
    store.make('web', IDLE)
    well(store.do('start', 'web'))
    well(store.do('stop', 'web'))
    with open(f'{store.path}/web/running', 'r+') as held:
        fcntl.fcntl(held, F_OFD_SETLK, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0))
        child = store.begin('start', 'web')
        wait_for(lambda: open(f'/proc/{child.pid}/syscall').read().startswith(f'{CLOCK_NANOSLEEP} '), 'it to wait')
    well(child.wait(60))
    well(store.do('stop', 'web'))


# --- exec at the end ----------------------------------------------------------------------------

@case('exec into a container that is about to end has ended it, or says that it has')
def _(root):
    store = Store(root)
    store.make('web')
    said = set()
    for turn in range(25):
        well(store.do('start', 'web', command=['sleep', f'0.0{turn % 5 * 2}']))
        for _ in range(3):
            done = store.do('exec', 'web', command=['true'])
            if done.code != 0:
                said.add(done.err.strip())
        wait_for(lambda: store.state('web') is None, 'its end')
    odd = [text for text in said if text and not any(piece in text for piece in (
        'web has just ended', 'web is not running', 'web is just being started or stopped', 'the container has just ended'))]
    assert not odd, odd


@case('a frozen container is not entered, and every client ends at once when it is asked to')
def _(root):
    store = Store(root)
    store.make('web', IDLE)
    well(store.do('start', 'web'))
    await_log(store, 'web', 'up')
    inside = store.begin('exec', 'web', command=['sleep', '1000'])
    wait_for(lambda: 'sleep 1000' in store.do('ps', 'web').out, 'the command')
    well(store.do('freeze', 'web'))
    fails(store.do('exec', 'web', command=['true']), 'web is frozen', 'userns-run thaw web')
    watcher = store.begin('console', 'web', stdin=os.open('/dev/null', os.O_RDONLY))
    for child, number in ((inside, signal.SIGTERM), (watcher, signal.SIGINT)):
        child.kill(number)
        assert child.wait(5).code in (-number, 128 + number)
    well(store.do('stop', 'web'))


# --- places -------------------------------------------------------------------------------------

@case('a container that was moved is known from its next start on, and never has ids that another one has by then')
def _(root):
    store, other = Store(root), Store(root, name='elsewhere')
    for file in ('/etc/subuid', '/etc/subgid'):
        root.write(file, f'alice:{FIRST}:{4 * 65536}\n')
    for name in ('a', 'b'):
        well(store.do('create', name, '--template=busybox', timeout=60))
    os.rename(f'{store.path}/a', f'{other.path}/a')
    well(store.do('create', 'c', '--template=busybox', timeout=60))  # gets the ids of a, whose place is not known
    fails(other.do('start', 'a'), 'a was brought to', f'{store.path}/c', 'same ids')
    well(store.do('destroy', 'c', timeout=60))
    well(other.do('start', 'a'))
    assert f'{other.path}' in well(store.root.run([root.program('userns-run'), 'list', '--all-paths'], store.user)).out
    well(store.do('create', 'd', '--template=busybox', timeout=60))

    def ids(where, name):
        with open(f'{where.path}/{name}/config') as file:
            return [line for line in file if line.startswith('map')]
    assert ids(store, 'd') != ids(other, 'a')
    well(other.do('stop', 'a'))


@case('a container whose init is stopped: each client ends at once by a signal, ps and list answer, stop and destroy end it')
def _(root):
    store = Store(root)
    store.make('web', IDLE, 'stop-timeout = 1000')
    for number in (signal.SIGINT, signal.SIGTERM):
        well(store.do('start', 'web'))
        await_log(store, 'web', 'up')
        os.kill(store.state('web')['init']['pid'], signal.SIGSTOP)
        assert 'web' in well(store.do('list')).out and 'web' in well(store.do('ps', 'web')).out
        # Without a cgroup that is what a freeze is.
        fails(store.do('exec', 'web', command=['true']), 'web is frozen', 'userns-run thaw web')
        with pipe_of_nothing() as stdin:
            for verb in ('console', 'wait'):
                client = store.begin(verb, 'web', stdin=stdin)
                wait_for(lambda: b'userns-run' in comm(client.pid) or b'3' in comm(client.pid), f'{verb} to run')
                time.sleep(0.3)
                client.kill(number)
                assert client.wait(10).code in (128 + number, -number), verb
        well(store.do('destroy' if number == signal.SIGTERM else 'stop', 'web', *(['--force'] if number == signal.SIGTERM else [])))


@case('a container that floods its terminal: its console can be left at once, and stop and destroy end it')
def _(root):
    store = Store(root)
    store.make('web', 'command = busybox yes ' + 'x' * 200, 'stop-timeout = 1000')
    for number in (signal.SIGINT, signal.SIGTERM):
        well(store.do('start', 'web'))
        read_end, write_end = os.pipe()  # nobody reads what the client writes
        with pipe_of_nothing() as stdin:
            client = spawn(['/bin/sh', '-c', 'exec "$@" >&9', 'sh', *store.words('console', 'web')], root.alice, stdin=stdin,
                           fds={9: write_end})
            time.sleep(1)
            client.kill(number)
            done = client.wait(10)
            assert done.code in (128 + number, -number), done
        os.close(read_end)
        os.close(write_end)
        well(store.do('destroy' if number == signal.SIGTERM else 'stop', 'web', *(['--force'] if number == signal.SIGTERM else [])))


YES = ['busybox', 'yes', 'x' * 200]
ZEROS = ['dd', 'if=/dev/zero', 'bs=1000', 'count=100']  # less than terminals and we hold, more than the one outside


@cases([('exec of a command that floods', lambda root, store: store.words('exec', 'web', command=YES)),
        ('exec of a command that has ended and left much to show', lambda root, store: store.words('exec', 'web', command=ZEROS)),
        ('the console of a container that floods', lambda root, store: store.words('console', 'flood')),
        ('a throw-away container that floods', lambda root, store: words(root, command=YES, where=f'{root.tmp}/trees/web'))])
def _(root, client_words):
    """On a terminal whose other side nobody reads, as after ^S: a write to it waits for ever."""
    store = Store(root)
    store.make('web', IDLE)
    store.make('flood', f'command = {" ".join(YES)}')
    for name in ('web', 'flood'):
        well(store.do('start', name))
    for number in (signal.SIGINT, signal.SIGTERM) * 3:  # how much room is left at the end differs
        master, slave = os.openpty()
        client = spawn(['/bin/sh', '-c', 'exec "$@" >&9 <&9', 'sh', *client_words(root, store)], root.alice, fds={9: slave})
        wait_for(lambda: is_full(slave), 'a full terminal')
        client.kill(number)
        client.wait(5)
        os.close(master)
        os.close(slave)
    for name in ('web', 'flood'):
        well(store.do('stop', name, '--timeout=0s'))


def is_full(terminal):
    with select.epoll() as look:
        look.register(terminal, select.EPOLLOUT)
        return not look.poll(0)


main()
