"""userns-run exec: a command in a container that runs, and what a hostile one gets of it."""

import fcntl
import json
import os
import select
import shutil
import signal
import struct
import sys
import termios
import time

sys.path.insert(0, os.path.dirname(__file__))
from container import FIRST, fails, rootfs, run, well  # noqa: E402
from named import IDLE, Store, alive, await_log  # noqa: E402
from harness import case, cases, main, skip, spawn, wait_for  # noqa: E402



def started(root, *settings, name='web', **how):
    store = Store(root)
    store.make(name, IDLE, *settings, **how)
    well(store.do('start', name))
    await_log(store, name, 'up')
    return store


@case('a command runs in all namespaces of the container, as its root, with its exit status')
def _(root):
    store = started(root)
    pid = store.state('web')['init']['pid']
    inner = {kind: os.readlink(f'/proc/{pid}/ns/{kind}') for kind in ('user', 'pid', 'mnt', 'net', 'ipc', 'uts', 'cgroup')}
    done = well(store.do('exec', 'web', command=['sh', '-c', 'for n in user pid mnt net ipc uts cgroup; do readlink /proc/self/ns/$n; done; '
                                                 'id -u; id -g; pwd; hostname; exit 7']), 7)
    lines = done.out.split()
    assert lines == [*inner.values(), '0', '0', '/', 'web'], (lines, inner)
    well(store.do('exec', 'web', command=['sh', '-c', 'kill -9 $$']), 137)
    fails(store.do('exec', 'web', command=['nothing-there']), 'nothing-there', code=127)
    fails(store.do('exec', 'web', command=['/etc/passwd']), '/etc/passwd', code=126)
    well(store.do('stop', 'web'))
    fails(store.do('exec', 'web', command=['true']), 'web is not running', 'userns-run start web')


@case('user, group, working directory and environment are those asked for, by the files of the container')
def _(root):
    store = started(root, 'env = FROM_CONFIG=1')
    script = 'id -u; id -g; pwd; echo $HOME $USER $A $FROM_CONFIG $SECRET; env | wc -l'
    done = well(store.do('exec', 'web', '--user=u', '--cwd=/home', '--env=A=b c', command=['sh', '-c', script],
                         env={'PATH': '/usr/bin:/bin', 'SECRET': 'x'}))
    assert done.out.splitlines()[:4] == ['1000', '1000', '/home', '/home/u u b c 1'], done
    done = well(store.do('exec', 'web', '--user=7', '--group-id=8', command=['id']))
    assert 'uid=7' in done.out and 'gid=8' in done.out, done
    fails(store.do('exec', 'web', '--user=nobody-there', command=['id']), 'nobody-there')
    fails(store.do('exec', 'web', '--user=99999', command=['id']), '99999')
    fails(store.do('exec', 'web', '--cwd=/nowhere', command=['id']), '/nowhere')


# --- standard input and output --------------------------------------------------------------------

def ends(kind, store, number):
    """(fd for the child, how to read what it wrote). kind: pipe, file or tty."""
    if kind == 'pipe':
        read, write = os.pipe()
        return (read, write) if number == 0 else (write, read)
    if kind == 'file':
        path = f'{store.path}/stdio{number}'
        with open(path, 'w') as file:
            file.write('in\n' if number == 0 else '')
        fd = os.open(path, os.O_RDWR)
        return fd, os.open(path, os.O_RDONLY)
    master, slave = os.openpty()
    os.chown(os.ttyname(slave), store.user.uid, 5)
    return slave, master


def read_until(fd, piece, seconds=20, before=b'', what=''):
    text, end = before, time.monotonic() + seconds
    while piece not in text:
        assert time.monotonic() < end, (piece, text)
        if select.select([fd], [], [], 0.2)[0]:
            try:
                text += os.read(fd, 65536)
            except OSError:  # EIO: a terminal's other side is closed
                break
        if not os.isatty(fd) and text == b'':
            time.sleep(0.01)
    assert piece in text, (what, text)
    return text


ASK = """import ctypes as t
c = t.CDLL(None, use_errno=True)
closed = c.syscall(250, 0, t.c_int(-3), 0) < 0 and t.get_errno() == 38  # keyctl, ENOSYS
kept = c.mount(None, b'/kept', None, 4096 | 32, None) < 0 and t.get_errno() == 1  # a bind remounted writable, EPERM
print(closed, kept)
"""


@cases([('what is run beside a first process has its filter: keyrings are closed', (), 'True False'),
        ('with nesting they are open for both', ('nesting = yes',), 'False False'),
        ('flags of mounts stay for both where one is read-only by wish', ('bind = /usr/share:/kept:ro',), 'True True')])
def _(root, settings, answer):
    store = Store(root)
    binds = [f'bind = {place}:{place}' for place in ('/usr', '/lib', '/lib64') if os.path.exists(place)]
    tree = rootfs(root)
    with open(tree + '/ask.py', 'w') as file:
        file.write(ASK)
    store.make('web', *settings, *binds, 'command = sh -c "/usr/bin/python3 /ask.py; exec sleep 1000"', tree=tree)
    well(store.do('start', 'web'))
    assert await_log(store, 'web', 'e\r\n').decode().split('\r\n')[0] == answer, store.log('web')
    assert well(store.do('exec', 'web', command=['/usr/bin/python3', '/ask.py'])).out.strip() == answer
    counts = well(store.do('exec', 'web', command=['grep', '-h', 'Seccomp_filters', '/proc/1/status', '/proc/self/status'])).out.split()
    assert counts[1] == counts[3], counts
    well(store.do('kill', 'web'))


@case('a hundred times, with each of the three a pipe, a file or a terminal in turn')
def _(root):
    store = started(root)
    kinds = ('pipe', 'file', 'tty')
    turns = [(a, b, c) for a in kinds for b in kinds for c in kinds]
    for turn in range(100):
        how = turns[turn % len(turns)]
        pairs = [ends(kind, store, number) for number, kind in enumerate(how)]
        child = store.begin('exec', 'web', command=['sh', '-c', f'read x; echo out-$x; echo err-$x >&2; exit {turn % 7}'],
                            stdin=pairs[0][0], fds={1: pairs[1][0], 2: pairs[2][0]})
        for fd, _ in pairs:
            os.close(fd)
        if how[0] != 'file':
            os.write(pairs[0][1], b'in\n')
        # With a terminal for both, the command has one of its own, and errors that go to a terminal go there, too.
        joined, seen = how == ('tty', 'tty', 'tty'), {}
        assert child.wait().code == turn % 7, how
        for number, piece in ((1, b'out-in'), (1 if joined else 2, b'err-in')):
            seen[number] = read_until(pairs[number][1], piece, before=seen.get(number, b''), what=how)
        for _, fd in pairs:
            os.close(fd)
    assert alive(store.state('web')['init']['pid'])


@case('a megabyte goes in and out unchanged')
def _(root):
    store = started(root)
    data = os.urandom(1 << 20)
    path = f'{store.path}/data'
    with open(path, 'wb') as file:
        file.write(data)
    done = well(store.do('exec', 'web', command=['cat'], stdin=os.open(path, os.O_RDONLY)))
    assert done.raw_out == data


@case('signals reach the command, and its terminal has our size')
def _(root):
    store = started(root)
    child = store.begin('exec', 'web', command=['sh', '-c', 'trap "exit 9" USR1; echo up >&2; while :; do sleep 0.05; done'])
    wait_for(lambda: any(p['command'] == 'sleep 0.05' for p in processes(store, 'web')), 'the trap and the loop behind it')
    child.kill(signal.SIGUSR1)
    assert child.wait().code == 9
    child = store.begin('exec', 'web', command=['sleep', '100'])
    wait_for(lambda: any(p['command'] == 'sleep 100' for p in processes(store, 'web')), 'the command')
    child.kill(signal.SIGTERM)
    assert child.wait().code == 143
    master, slave = os.openpty()
    os.chown(os.ttyname(slave), root.alice.uid, 5)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack('HHHH', 31, 99, 0, 0))
    child = store.begin('exec', 'web', command=['sh', '-c', 'stty size; tty'], stdin=slave, fds={1: slave, 2: slave})
    assert child.wait().code == 0
    assert b'31 99\r\n/dev/pts/' in read_until(master, b'/dev/pts')


def processes(store, name):
    return json.loads(store.do('ps', name, '--json').out)


# --- a hostile container --------------------------------------------------------------------------

SPY = r'''
import os, sys, time
print("watching", flush=True)
seen, opened = set(), []
while not os.path.exists("/stop"):
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or int(pid) in (1, os.getpid()):
            continue
        for what in ("exe", "cwd", "root", "fd", "mem", "environ", "maps"):
            path = f"/proc/{pid}/{what}"
            try:
                if what == "fd":
                    for n in os.listdir(path):
                        opened.append((what, n, os.readlink(f"{path}/{n}")))
                elif what in ("exe", "cwd", "root"):
                    opened.append((what, os.readlink(path)))
                else:
                    open(path, "rb").close()
                    opened.append((what, ""))
                seen.add(what)
            except OSError:
                pass
    if seen >= {"exe", "cwd", "root", "fd"}:
        open("/seen", "w").close()
for entry in sorted(set(map(str, opened))):
    print(entry, flush=True)
print("done", len(seen), flush=True)
time.sleep(1000)
'''


def python_tree(root, name):
    """The host's own tree as a container's root, so that there is a python in it: nothing is copied."""
    tree = rootfs(root, f'trees/{name}')
    for top in ('usr', 'lib', 'lib64'):
        os.makedirs(f'{tree}/{top}', exist_ok=True)
        os.lchown(f'{tree}/{top}', FIRST, FIRST)
    return tree


@case('the container sees nothing of the process that comes in: no program, directory or descriptor of the host')
def _(root):
    store = Store(root)
    store.make('web', *(f'bind = /{top}:/{top}:ro' for top in ('usr', 'lib', 'lib64')), tree=python_tree(root, 'web'))
    with open(f'{root.tmp}/trees/web/spy.py', 'w') as file:
        file.write(SPY)
    well(store.do('start', 'web', command=['/usr/bin/python3', '/spy.py']))
    await_log(store, 'web', 'watching')
    directory = os.open('/', os.O_RDONLY)
    for _ in range(60):
        well(store.do('exec', 'web', command=['true'], fds={50: directory, 51: directory}))
    # One that stays shows that the spy can see.
    lasting = store.begin('exec', 'web', command=['sleep', '1000'], fds={50: directory, 51: directory})
    wait_for(lambda: os.path.exists(f'{root.tmp}/trees/web/seen'), 'the spy to see a command', 60)
    open(f'{root.tmp}/trees/web/stop', 'w').close()
    text = await_log(store, 'web', 'done').decode()
    lasting.kill(signal.SIGTERM)
    lasting.wait()
    # Of what runs inside (true, of busybox) all may be seen; nothing of the program that came from the host.
    assert 'userns-run' not in text and 'userns-monitor' not in text, text
    for line in text.splitlines():
        if line.startswith("('cwd'") or line.startswith("('root'"):
            assert line.endswith("'/')"), line
    assert f"'50'" not in text and f"'51'" not in text, text


@cases([
    ('a working directory that is a link to a descriptor of ours is refused', '--cwd=/link', None),
    ('a command behind a link to a descriptor of ours is not run', None, '/link/bin/sh'),
])
def _(root, cwd, command):
    store = started(root)
    host = os.open('/', os.O_RDONLY)
    tree = f'{root.tmp}/trees/web'
    for number in range(3, 20):
        link = f'{tree}/link'
        if os.path.lexists(link):
            os.unlink(link)
        os.symlink(f'/proc/self/fd/{number}', link)
        words = [cwd] if cwd else []
        done = store.do('exec', 'web', *words, command=[command or '/bin/true'], fds={number: host})
        assert done.code in (125, 126, 127), (number, done)
    os.close(host)


@case('a program in the container that leads to ours gets a sealed copy, where the container could write to it')
def _(root):
    store = Store(root)
    # The caller's own id is root inside, and the program is the caller's own.
    program = f'{store.path}/userns-run'
    shutil.copy(root.program('userns-run'), program)
    os.chown(program, root.alice.uid, root.alice.gid)
    os.chmod(program, 0o755)
    tree = rootfs(root, 'trees/own', root.alice.uid)
    for top in ('usr', 'lib', 'lib64'):
        os.makedirs(f'{tree}/{top}', exist_ok=True)
    store.make('own', IDLE, 'map-self = yes', *(f'bind = /{top}:/{top}:ro' for top in ('usr', 'lib', 'lib64')), tree=tree)
    well(store.do('start', 'own'))
    await_log(store, 'own', 'up')
    os.symlink('/proc/self/exe', f'{tree}/bin/trap')
    done = root.run([program, 'exec', f'--path={store.path}', 'own', '--', '/bin/trap', '--version'], root.alice)
    assert done.code == 0 and 'userns-run (userns suite)' in done.out, done
    # What it really runs from is looked at while it waits.
    child = spawn([program, 'exec', f'--path={store.path}', 'own', '--', 'sleep', '100'], root.alice)
    wait_for(lambda: any(p['command'] == 'sleep 100' for p in processes(store, 'own')), 'the command')
    link = os.readlink(f'/proc/{child.pid}/exe')
    assert link.startswith('/memfd:userns-run'), link
    with open(f'/proc/{child.pid}/exe', 'rb') as file:
        assert fcntl.fcntl(file.fileno(), 1034) == 15  # F_GET_SEALS: seal, shrink, grow, write
    child.kill()


# What the kernel runs for our program, and what that becomes: it holds our program open until it may write to it.
LOADER = '''
static long sc(long n, long a, long b, long c) {
  long r;
  __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return r;
}
void _start(void) {
  char exe[] = "/proc/self/exe", up[] = "held\\n", bad[] = "written\\n", own[] = "/proc/self/fd/9", self[] = "/second";
  char* argv[] = {self, 0};
#ifndef SECOND
  sc(33, sc(2, (long)exe, 0, 0), 9, 0);
  sc(59, (long)self, (long)argv, (long)(argv + 1));
#else
  long nap[2] = {0, 2000000};
  sc(1, 1, (long)up, 5);
  for (int i = 0; i < 300; ++i, sc(35, (long)nap, 0, 0)) {
    long fd = sc(2, (long)own, 1, 0);
    if (fd >= 0) {
      if (sc(1, fd, (long)bad, 8) == 8) sc(1, 1, (long)bad, 8);
      break;
    }
  }
  sc(1, 1, (long)"over\\n", 5);
#endif
  sc(231, 7, 0, 0);
}
'''


def trapped(root, store):
    """A program of alice's own, and a tree where her id is root, whose /bin/trap leads to it."""
    if os.uname().machine != 'x86_64' or not shutil.which('gcc'):
        skip('needs gcc and x86-64: a loader in small')
    program = f'{store.path}/userns-run'
    shutil.copy(root.program('userns-run'), program)
    os.chown(program, root.alice.uid, root.alice.gid)
    os.chmod(program, 0o755)
    tree = rootfs(root, 'trees/own', root.alice.uid)
    os.makedirs(f'{tree}/lib64')
    with open(f'{root.tmp}/loader.c', 'w') as file:
        file.write(LOADER)
    for name, *how in (('lib64/ld-linux-x86-64.so.2', '-static-pie', '-fPIE'), ('second', '-static', '-DSECOND')):
        well(root.run([shutil.which('gcc'), '-O1', '-nostdlib', '-fno-stack-protector', '-fcf-protection=none', *how,
                       '-o', f'{tree}/{name}', f'{root.tmp}/loader.c']))
    os.symlink('/proc/self/exe', f'{tree}/bin/trap')
    return program, tree


def bytes_of(path):
    with open(path, 'rb') as file:
        return file.read()


@case('the same for the first process of a start, after which the monitor is another program; and when it starts again')
def _(root):
    store = Store(root)
    program, tree = trapped(root, store)
    store.make('own', 'map-self = yes', 'restart = on-failure:1', tree=tree)
    before = bytes_of(program)
    well(root.run([program, 'start', f'--path={store.path}', 'own', '--', '/bin/trap'], root.alice))
    wait_for(lambda: store.log('own').count(b'over') == 2, 'both lives')
    assert store.log('own').count(b'held') == 2 and b'written' not in store.log('own'), store.log('own')
    assert bytes_of(program) == before


@case('the same for a container that outlives the userns-run it was started by')
def _(root):
    store = Store(root)
    program, tree = trapped(root, store)
    before = bytes_of(program)
    log = f'{root.tmp}/trapped.log'
    with open(log, 'wb') as file:
        child = spawn([program, f'--rootfs={tree}', '--map-self', '--tty=no', '--', '/bin/trap'], root.alice,
                      fds={1: file.fileno()})
        wait_for(lambda: b'held' in bytes_of(log), 'the program to be held')
        child.kill()
        wait_for(lambda: b'over' in bytes_of(log), 'the end')
    assert b'written' not in bytes_of(log) and bytes_of(program) == before


@case("the container's files cannot hold it up or lead it out: passwd as a FIFO, a link out, a huge file; no ptmx")
def _(root):
    store = started(root)
    tree = f'{root.tmp}/trees/web'
    passwd = f'{tree}/etc/passwd'
    for make in (lambda: os.mkfifo(passwd), lambda: os.symlink('/proc/1/root/etc/passwd', passwd),
                 lambda: os.truncate(os.open(passwd, os.O_CREAT | os.O_RDWR), 1 << 40), lambda: os.mkdir(passwd)):
        os.path.isdir(passwd) and not os.path.islink(passwd) and os.rmdir(passwd)
        os.path.lexists(passwd) and os.unlink(passwd)
        make()
        fails(store.do('exec', 'web', '--user=alice', command=['true']), 'alice')
        well(store.do('exec', 'web', command=['true']))
    os.rmdir(passwd)
    well(store.do('exec', 'web', command=['mount', '-t', 'tmpfs', 'none', '/dev/pts']))
    well(store.do('exec', 'web', command=['sh', '-c', 'echo x > /dev/pts/ptmx']))
    fails(store.do('exec', 'web', '--tty=yes', command=['true']), 'terminal')


@case('what a command leaves behind, and what that writes without end to a slow terminal, do not hold the client up')
def _(root):
    store = started(root)
    master, slave = os.openpty()
    child = store.begin('exec', 'web', '--tty=no', fds={1: slave},
                        command=['sh', '-c', 'for n in 1 2; do setsid busybox yes & done; sleep 1; exit 3'])
    os.close(slave)
    until, ended = time.monotonic() + 20, False
    while not ended:
        assert time.monotonic() < until, 'the client still waits for others than its command'
        try:
            os.read(master, 2048)
        except OSError:  # nobody has the terminal any more
            ended = True
        time.sleep(0.02)
    os.close(master)
    assert child.wait().code == 3
    well(store.do('stop', 'web'))


@case('an open directory of the caller\'s as fd 0, 1 or 2 is no way out: it is refused, by a start, too')
def _(root):
    store = started(root)
    directory = os.open(root.tmp, os.O_RDONLY)
    out = ['ls', '/proc/self/fd/0/', '/proc/self/fd/1/', '/proc/self/fd/2/']
    for number in range(3):
        for done in (store.do('exec', 'web', command=out, fds={number: directory}),
                     run(root, command=out, where=f'{root.tmp}/trees/web', fds={number: directory}),
                     run(root, '--read-only', command=out, fds={number: directory})):
            assert done.code == 125 and done.out == '', done
            assert number == 2 or f'file descriptor {number} is a directory' in done.err, done
    os.close(directory)
    well(store.do('stop', 'web'))


main()
