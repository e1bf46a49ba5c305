"""Named containers under violence: many at once, kill -9 at any moment, hostile clients of the monitor."""

import fcntl
import os
import random
import signal
import socket
import struct
import sys
import termios
import time

sys.path.insert(0, os.path.dirname(__file__))
from container import fails, rootfs, well  # noqa: E402
from named import IDLE, Store, alive, await_log, below  # noqa: E402
from harness import case, main, status_of, wait_for  # noqa: E402
from inside import killed_at_each_moment  # noqa: E402

# 200 take minutes.
ROUNDS = 200 if os.environ.get('USERNS_TEST_LONG') == '1' else 25


def processes_of(user):
    """Pids of a user and of the ids delegated to him; other tests have such, too."""
    found = set()
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            uid = int(status_of(pid)['Uid'].split()[0])
            if (uid == user.uid or 100000 <= uid < 165536) and alive(pid) and below(int(pid)):
                found.add(int(pid))
        except (FileNotFoundError, ProcessLookupError, KeyError):
            pass
    return found


def nothing_left(store, names, seconds=20):
    wait_for(lambda: not processes_of(store.user), 'all processes to end', seconds)
    for name in names:
        left = store.files(name) - {'config', 'lock', 'running', 'console.log', 'console.log.1', 'console.times', 'last.json'}
        assert not left, (name, left)


@case(f'kill -9 of front-end, monitor or first process at a random moment, {ROUNDS} times: the next start works, nothing leaks')
def _(root):
    store = Store(root)
    store.make('web', IDLE)
    seed = random.randrange(1 << 30)
    dice = random.Random(seed)
    try:
        for turn in range(ROUNDS):
            child = store.begin('start', 'web')
            victim = turn % 3
            time.sleep(dice.random() * 0.05)
            state = store.state('web')
            if victim == 0 or not state:
                child.kill()
            else:
                try:
                    os.kill(state['monitor' if victim == 1 else 'init']['pid'], signal.SIGKILL)
                except ProcessLookupError:
                    pass
            child.wait()
            if dice.random() < 0.3:
                time.sleep(dice.random() * 0.02)

            def start_again():
                # The killed one may be dying still; a start that was over before the kill runs.
                done = store.do('start', 'web')
                assert done.code == 0 or 'runs since' in done.err or 'just being' in done.err, done
                return done.code == 0 or 'runs since' in done.err
            wait_for(start_again, 'the next start to work')
            if turn % 5 == 0:
                done = store.do('exec', 'web', command=['true'])  # one that is dying still may have been met
                assert done.code == 0 or 'not running' in done.err or 'has just' in done.err or 'being' in done.err, done
            done = store.do('stop', 'web', '--timeout=200ms')
            assert done.code == 0 or any(t in done.err for t in ('not running', 'was killed', 'has just ended')), done
        wait_for(lambda: store.do('stop', 'web').code == 125, 'no run to be left')
        well(store.do('start', 'web'))
        well(store.do('stop', 'web'))
        nothing_left(store, ['web'])
    except BaseException:
        print(f'# seed {seed}, turn {turn}')
        raise


# A process that has said that its namespaces are there may be killed before or after its ids are.
def stages(at, words):
    if at <= words[0]:
        return ('while its namespaces were made',)
    if at <= words[1]:
        return ('while its ids were mapped', 'while its file system and terminal were made')
    return ('while its file system and terminal were made',) if at <= words[-1] else ('at its exec',)


@case('killed inside before and after each word of the start, and at each kind of call: it says at which stage, and leaves nothing')
def _(root):
    store = Store(root)
    store.make('web', IDLE)
    well(store.do('start', 'web'))
    well(store.do('stop', 'web'))
    files = store.files('web')
    count = 0
    for at, words, done in killed_at_each_moment(lambda: store.begin('start', 'web', traced=True)):
        fails(done, 'web', 'was killed')
        assert any(stage in done.err for stage in stages(at, words)), (at, words, done)
        assert store.files('web') == files, store.files('web')
        count += 1
        if count % 8 == 0:
            well(store.do('start', 'web'))
            well(store.do('stop', 'web'))
    return f'{count} moments'


@case('exec killed inside before and after each word of it says so, and the container does not notice')
def _(root):
    store = Store(root)
    store.make('web', IDLE)
    well(store.do('start', 'web'))
    for _, _, done in killed_at_each_moment(lambda: store.begin('exec', 'web', command=['true'], traced=True), left=1, kinds=False):
        fails(done, 'was killed')
        assert 'as it entered' in done.err or 'at its exec' in done.err, done
    well(store.do('exec', 'web', command=['true']))
    well(store.do('stop', 'web'))


# --- the monitor's socket -----------------------------------------------------------------------

def connect(store, name, user=None):
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.settimeout(10)
    directory = os.open(f'{store.path}/{name}', os.O_RDONLY)
    client.connect(f'/proc/self/fd/{directory}/control')
    os.close(directory)
    return client


def answer(client):
    try:
        return client.recv(70000)
    except ConnectionResetError:
        return b''


def hangs_up(client):
    while answer(client):
        pass
    client.close()


def as_user(user, function):
    """In a fork; its value is 'ok' or the exception's text."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            user.become()
            function()
            os.write(write, b'ok')
        except BaseException as error:  # noqa
            os.write(write, repr(error).encode())
        os._exit(0)
    os.close(write)
    text = os.read(read, 4096).decode()
    os.close(read)
    os.waitpid(pid, 0)
    return text


@case('another user is not heard, even where he gets to the socket')
def _(root):
    store = Store(root)
    store.make('web', IDLE)
    well(store.do('start', 'web'))
    def try_it():
        client = connect(store, 'web')
        try:
            client.send(b'stop 0')
            got = answer(client)
        except BrokenPipeError:
            got = b''
        assert got == b'', got
    assert 'Permission' in as_user(root.bob, try_it)
    os.chmod(f'{store.path}/web', 0o755)
    os.chmod(store.path, 0o755)
    os.chmod(store.user_home(), 0o755)
    os.chmod(f'{store.path}/web/control', 0o666)
    assert as_user(root.bob, try_it) == 'ok'
    assert alive(store.state('web')['init']['pid'])
    client = connect(store, 'web')
    client.send(b'init')
    assert answer(client).startswith(b'o'), 'root is heard'


@case('garbage, half requests, descriptors without end and hundreds of connections do not disturb it')
def _(root):
    store = Store(root)
    store.make('web', IDLE)
    well(store.do('start', 'web'))
    monitor = store.state('web')['monitor']['pid']
    fds = len(os.listdir(f'/proc/{monitor}/fd'))
    dice = random.Random(1)
    for size in (1, 2, 10, 1000, 32768, 32769, 60000):
        client = connect(store, 'web')
        client.send(dice.randbytes(size))
        hangs_up(client)
    for text in (b'exec', b'exec\0\0', b'exec\0\0/bin/true\0', b'console 1', b'stop', b'stop x', b'init\0', b'console 0x0 leash x'):
        client = connect(store, 'web')
        client.send(text)
        hangs_up(client)
    for count in (1, 3, 200):
        client = connect(store, 'web')
        socket.send_fds(client, [b'nonsense'], [0] * count)
        hangs_up(client)
    client = connect(store, 'web')
    client.send(b'console -')
    assert answer(client) == b'o'
    client.send(b'?')  # no packet of a watcher's
    hangs_up(client)
    client = connect(store, 'web')
    client.send(b'wait')
    client.send(b'wait')
    hangs_up(client)
    silent = [connect(store, 'web') for _ in range(60)]
    well(store.do('exec', 'web', command=['true']))
    for client in silent:
        hangs_up(client)  # after some seconds it is closed by the monitor
    wait_for(lambda: len(os.listdir(f'/proc/{monitor}/fd')) == fds, 'the connections to be closed')
    assert int(status_of(monitor)['VmRSS'].split()[0]) < 2048
    well(store.do('stop', 'web'))


# --- the console --------------------------------------------------------------------------------

class Console:
    def __init__(self, store, name, *args, size=(24, 80)):
        self.master, slave = os.openpty()
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack('HHHH', *size, 0, 0))
        os.chown(os.ttyname(slave), store.user.uid, 5)
        self.before = termios.tcgetattr(slave)
        self.child = store.begin('console', name, *args, stdin=slave, fds={1: slave, 2: slave},
                                 before=lambda: (os.setsid(), fcntl.ioctl(0, termios.TIOCSCTTY, 0)))
        self.slave, self.text = slave, b''

    def type(self, text):
        os.write(self.master, text)

    def expect(self, piece, seconds=20):
        end = time.monotonic() + seconds
        os.set_blocking(self.master, False)
        while piece not in self.text:
            assert time.monotonic() < end, (piece, self.text[-500:])
            try:
                self.text += os.read(self.master, 65536)
            except BlockingIOError:
                time.sleep(0.005)
        return self.text


SHELL = "command = sh -c 'echo up; stty -echo; while read line; do echo got-$line; [ $line = size ] && stty size; done'"


@case('the console: what was missed, several watchers, window size, keys that detach, the terminal as it was')
def _(root):
    store = Store(root)
    store.make('web', SHELL)
    well(store.do('start', 'web'))
    await_log(store, 'web', 'up')
    one, two = Console(store, 'web', size=(31, 91)), Console(store, 'web', '--escape=^aq')
    one.expect(b'up')
    two.expect(b'up')
    one.type(b'hello\r')
    one.expect(b'got-hello')
    two.expect(b'got-hello')
    fcntl.ioctl(one.master, termios.TIOCSWINSZ, struct.pack('HHHH', 33, 93, 0, 0))
    os.kill(one.child.pid, signal.SIGWINCH)
    one.type(b'size\r')
    one.expect(b'33 93')
    one.type(b'\x1d')
    one.type(b'\x1d')
    assert one.child.wait().code == 0 and termios.tcgetattr(one.slave) == one.before
    two.type(b'\x1d\x1dq\x01q')
    assert two.child.wait().code == 0
    assert store.state('web')
    three = Console(store, 'web')
    three.expect(b'got-hello')
    well(store.do('stop', 'web'))
    three.child.wait()


@case('a megabyte through the console arrives unchanged, and a watcher that sleeps holds up neither it nor the others')
def _(root):
    store = Store(root)
    tree = rootfs(root, 'trees/web')
    data = os.urandom(1 << 20)
    with open(f'{tree}/data', 'wb') as file:
        file.write(data)
    store.make('web', "command = sh -c 'stty raw -echo; echo -n ready; read x; cat /data; echo -n end; sleep 1000'", tree=tree)
    well(store.do('start', 'web', '--log-size=4M'))
    await_log(store, 'web', 'ready')
    asleep = connect(store, 'web')
    asleep.send(b'console -')
    read, write = os.pipe()
    out = os.open(f'{store.path}/out', os.O_CREAT | os.O_RDWR)
    child = store.begin('console', 'web', stdin=read, fds={1: out})
    wait_for(lambda: os.fstat(out).st_size >= 5, 'what was missed')
    os.write(write, b'\n')
    wait_for(lambda: os.fstat(out).st_size >= 5 + len(data) + 3, 'all of it', 60)
    assert os.pread(out, 1 << 21, 0) == b'ready' + data + b'end'
    assert store.log('web') == b'ready' + data + b'end'
    asleep.close()
    child.kill()
    well(store.do('stop', 'web', '--timeout=0'))


@case('the log is bounded and rotated; logs shows it, its last lines, and what follows')
def _(root):
    store = Store(root)
    store.make('web', SHELL)
    well(store.do('start', 'web', '--log-size=2000', command=[
        'sh', '-c', 'i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); done; echo end; while [ ! -e /go ]; do sleep 0.02; done; echo last; exit 0']))
    await_log(store, 'web', 'end')
    seen = os.open(f'{store.path}/seen', os.O_CREAT | os.O_RDWR)
    follower = store.begin('logs', 'web', '-f', '-n', '2', fds={1: seen})
    for name in ('console.log', 'console.log.1'):
        assert os.stat(f'{store.path}/web/{name}').st_size <= 2000
    text = well(store.do('logs', 'web')).out
    assert 'line 998\r\nline 999\r\nend\r\n' in text and 'line 100\r' not in text, text
    assert well(store.do('logs', 'web', '--lines=1')).out.count('\n') == 1
    wait_for(lambda: os.fstat(seen).st_size > 0, 'what was there before')
    open(f'{root.tmp}/trees/web/go', 'w').close()
    well(follower.wait())
    assert os.pread(seen, 4096, 0) == b'line 999\r\nend\r\nlast\r\n', os.pread(seen, 4096, 0)


@case('with a full disk it runs all the same; only the log stops')
def _(root):
    from harness import mount, umount
    store = Store(root)
    directory = store.make('web', SHELL)
    mount('tmpfs', directory, 'tmpfs', 0, f'size=64k,mode=0700,uid={root.alice.uid},gid={root.alice.gid}')
    try:
        with open(f'{directory}/config', 'w') as file:
            file.write(f'{SHELL}\nrootfs = {root.tmp}/trees/web\n')
        os.chown(f'{directory}/config', root.alice.uid, root.alice.gid)
        well(store.do('start', 'web', '--log-size=1M', command=[
            'sh', '-c', 'i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; touch /done; sleep 1000']))
        wait_for(lambda: os.path.exists(f'{root.tmp}/trees/web/done'), 'the command to get through', 60)
        well(store.do('exec', 'web', command=['true']))
        well(store.do('stop', 'web'))
        os.unlink(f'{directory}/console.log')
        try:
            with open(f'{directory}/fill', 'wb', buffering=0) as file:
                while True:
                    file.write(b'x' * 4096)
        except OSError:
            pass
        done = store.do('start', 'web')
        assert done.code in (0, 125), done
        if done.code == 125:
            assert 'No space left' in done.err, done
    finally:
        store.do('stop', 'web', '--timeout=0')
        umount(directory)


main()
