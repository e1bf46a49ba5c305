"""userns-run: terminals, signals, the end of things, and what a failed start leaves behind."""

import errno
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

sys.path.insert(0, os.path.dirname(__file__))
from container import PYTHON, ended, fails, rootfs, run, shell, start, well, words  # noqa: E402
from harness import case, cases, main, prctl, spawn, status_of, trace, wait_for  # noqa: E402
from inside import killed_at_each_moment  # noqa: E402


def descendants(pid):
    """Pids below a process, however deep."""
    found = []
    try:
        with open(f'/proc/{pid}/task/{pid}/children') as file:
            for child in file.read().split():
                found += [int(child)] + descendants(int(child))
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def name_of(pid):
    """Empty where the process is gone meanwhile."""
    try:
        return status_of(pid)['Name']
    except (FileNotFoundError, ProcessLookupError):
        return ''


def payload(child):
    """The container's first process, once the command runs in it (its name is no longer ours)."""
    def look():
        for pid in descendants(child.pid):
            try:
                if status_of(pid)['NSpid'].split()[1:] == ['1'] and status_of(pid)['Name'] not in ('userns-run',):
                    return pid
            except (FileNotFoundError, KeyError, ProcessLookupError):
                pass
        return None
    return wait_for(look, 'the command to run')


def gone(pid):
    return not os.path.exists(f'/proc/{pid}')


# --- terminals ------------------------------------------------------------------------------

class Terminal:
    """A terminal with a person before it: userns-run's fds 0-2 are its slave side."""

    def __init__(self, root, *args, command, where=None, user=None, stdin=True, rows=(33, 101)):
        self.master, slave = os.openpty()
        self.resize(*rows)
        self.slave_name = os.ttyname(slave)
        self.before = termios.tcgetattr(slave)
        os.chown(self.slave_name, (user or root.alice).uid, 5)

        def own():
            os.setsid()
            fcntl.ioctl(0 if stdin else 1, termios.TIOCSCTTY, 0)
        fds = {1: slave, 2: slave}
        self.child = spawn(words(root, *args, command=command, where=where), user or root.alice, fds=fds,
                           stdin=slave if stdin else None, before=own)
        self.slave = slave
        self.text = ''

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text.encode())

    def expect(self, piece, seconds=10):
        end = time.monotonic() + seconds
        while piece not in self.text:
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            assert ready, f'no {piece!r} on the terminal, only {self.text!r}'
            self.text += os.read(self.master, 65536).decode(errors='replace')
        before, self.text = self.text.split(piece, 1)
        return before

    def wait(self):
        return self.child.wait().code

    def is_restored(self):
        return termios.tcgetattr(self.slave) == self.before


@case('at a terminal the command gets one of its own, of the same size')
def _(root):
    terminal = Terminal(root, command=('sh', '-c', 'tty; stty size; readlink /proc/self/fd/2; echo end'), where=rootfs(root))
    terminal.expect('/dev/pts/0')
    terminal.expect('33 101')
    terminal.expect('end')
    assert terminal.wait() == 0 and terminal.is_restored()


@case('it has job control, takes what is typed, and ^C reaches the foreground job')
def _(root):
    terminal = Terminal(root, command=('sh', '-i'), where=rootfs(root))
    terminal.expect('#')
    terminal.type('echo a$((40+2))b\r')
    terminal.expect('a42b')
    terminal.type('sleep 100; echo after $?\r')
    wait_for(lambda: any(status_of(p)['Name'] == 'sleep' for p in descendants(terminal.child.pid)), 'sleep')
    terminal.type('\x03')
    terminal.type('echo again\r')
    terminal.expect('again\r\nagain')
    terminal.type('exit 5\r')
    assert terminal.wait() == 5 and terminal.is_restored()


@case('a new window size is handed on')
def _(root):
    terminal = Terminal(root, command=('sh', '-c', 'echo ready; until stty size | grep "50 120"; do sleep 0.02; done'), where=rootfs(root))
    terminal.expect('ready')
    terminal.resize(50, 120)
    terminal.child.kill(signal.SIGWINCH)
    terminal.expect('50 120')
    assert terminal.wait() == 0


@case('^C ends a plain command that is process 1 and deaf to it')
def _(root):
    terminal = Terminal(root, command=('sleep', '100'))
    payload(terminal.child)
    wait_for(lambda: not terminal.is_restored(), 'raw mode')
    terminal.type('\x03')
    assert terminal.wait() == 130 and terminal.is_restored()


@case('^C does not end a process 1 that handles it')
def _(root):
    script = ('import os, signal, time; met = []; signal.signal(2, lambda *_: met.append(os.write(1, b"handled")))\n'
              'os.write(1, b"ready")\nwhile not met: time.sleep(0.02)\nprint("end")')
    terminal = Terminal(root, command=(PYTHON, '-c', script))
    terminal.expect('ready')
    terminal.type('\x03')
    terminal.expect('handled')
    terminal.expect('end')
    assert terminal.wait() == 0


@cases([(f'the terminal is restored when {how}', number, code) for how, number, code in (
    ('userns-run gets TERM', signal.SIGTERM, 143), ('userns-run gets INT', signal.SIGINT, 130), ('userns-run gets HUP', signal.SIGHUP, 129))])
def _(root, number, code):
    terminal = Terminal(root, command=('sleep', '100'))
    payload(terminal.child)
    wait_for(lambda: not terminal.is_restored(), 'raw mode')
    terminal.child.kill(number)
    ended_with = terminal.wait()
    assert ended_with == code and terminal.is_restored(), (ended_with, termios.tcgetattr(terminal.slave), terminal.before)


@case('the caller\'s terminal is not among the command\'s fds, with and without one of its own')
def _(root):
    look = 'import os\nfor n in range(3): print(n, os.isatty(n), os.readlink(f"/proc/self/fd/{n}"))\ntry: open("/dev/tty"); print("tty")\nexcept OSError as e: print("none")\nprint("end")'
    own = Terminal(root, command=(PYTHON, '-c', look))
    text = own.expect('end')
    assert text.count('True') == 3 and own.slave_name + '\r' not in text.replace('/dev/pts/0', '', 3), text
    assert own.wait() == 0
    without = Terminal(root, '--tty', 'no', command=(PYTHON, '-c', look))
    text = without.expect('end')
    assert text.count('pipe:') == 3 and 'none' in text, text
    assert without.wait() == 0 and without.is_restored()


@case('without a terminal of its own what is typed goes in through a pipe, and its end too')
def _(root):
    terminal = Terminal(root, '--tty', 'no', command=('cat',))
    terminal.type('hello\n')
    terminal.expect('hello\r\nhello')
    terminal.type('\x04')
    assert terminal.wait() == 0


@case('redirected output stays redirected and is not a terminal')
def _(root):
    done = well(shell(root, 'tty; test -t 1 || echo plain'), 0)
    assert done.out.split('\n')[-2] == 'plain', done


@cases([(f'--tty yes works without a terminal outside, and ends at the end of input{how}', text, command) for how, text, command in (
    ('', b'echo it is $(tty)\n', ('sh',)),
    (', when the shell is late', b'echo it is $(tty)\n', ('sh', '-c', 'sleep 0.3; exec sh')),
    (', when there is none', b'', ('sh', '-c', 'echo it is $(tty); sleep 0.3; exec sh')),
    (' by lines', b'echo it is $(tty)\n', ('sh', '-c', 'read line; eval $line; sleep 0.1; cat')))])
def _(root, text, command):
    """An editor of lines (busybox's) sets the terminal raw: a mark that was typed before is a NUL to it."""
    read, write = os.pipe()
    os.write(write, text)
    os.close(write)
    done = well(run(root, '--tty', 'yes', command=command, where=rootfs(root), stdin=read))
    assert 'it is /dev/pts/0' in done.out, done


@case('a long output is not cut at the end')
def _(root):
    terminal = Terminal(root, command=('sh', '-c', 'i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done; echo last'))
    text = terminal.expect('last')
    assert text.count('line') == 5000, text[-200:]
    assert terminal.wait() == 0


@case('the terminal belongs to the command\'s user')
def _(root):
    terminal = Terminal(root, '--uid', 1000, '--gid', 1000, command=('sh', '-c', 'stat -c "owner %u" $(tty); echo end'), where=rootfs(root))
    terminal.expect('owner 1000')
    assert terminal.wait() == 0


# --- signals --------------------------------------------------------------------------------

@cases([(f'{signal.Signals(n).name} ends a plain command with {128 + n}{how}', n, args)
        for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1) for how, args in (('', ()), (' below --init', ('--init',)))])
def _(root, number, args):
    child = start(root, *args, command=('sleep', '100'))
    payload(child)
    if args:
        wait_for(lambda: any(status_of(p)['Name'] == 'sleep' for p in descendants(child.pid)), 'sleep')
    child.kill(number)
    assert child.wait().code == 128 + number


TRAP = """
import os, signal, sys, time
def got(number, _):
    os.write(1, b'got %d\\n' % number)  # print() is not for handlers
    if number == 15: sys.exit(9)
for number in (1, 2, 10, 12, 15, 28): signal.signal(number, got)
os.write(1, b'ready\\n')
while True: time.sleep(1)
"""


@cases([(f'signals are handed on to a command that handles them{how}', args) for how, args in (('', ()), (' below --init', ('--init',)))])
def _(root, args):
    read, write = os.pipe()
    child = start(root, *args, command=(PYTHON, '-c', TRAP), fds={1: write})
    os.close(write)
    with os.fdopen(read) as file:
        assert file.readline() == 'ready\n'
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2) + ((signal.SIGWINCH,) if args else ()):
            child.kill(number)
            line = file.readline()
            assert line == f'got {int(number)}\n', (number, line, child.wait() if not line else '')
        child.kill(signal.SIGTERM)
        assert file.readline() == 'got 15\n'
    assert child.wait().code == 9


@cases([(f'a command that ignores TERM is killed after --stop-timeout{how}', args) for how, args in (('', ()), (' below --init', ('--init',)))])
def _(root, args):
    read, write = os.pipe()
    child = start(root, *args, '--stop-timeout', '200ms', command=('sh', '-c', 'trap "" TERM; echo ready; while :; do sleep 1; done'), fds={1: write})
    os.close(write)
    os.read(read, 6)
    os.close(read)
    pid = payload(child)
    child.kill(signal.SIGTERM)
    done = child.wait()
    assert done.code == 137 and '--stop-timeout' in done.err and gone(pid), done


@case('a signal that the caller ignores (nohup) is not handed on')
def _(root):
    child = start(root, command=('sleep', '1'), ignore=(signal.SIGHUP,))
    payload(child)
    child.kill(signal.SIGHUP)
    assert child.wait().code == 0


@case('a caller that ignores SIGCHLD still learns how the command ended')
def _(root):
    assert shell(root, 'exit 4', ignore=(signal.SIGCHLD,)).code == 4


@case('everything inside ends with the command')
def _(root):
    read, write = os.pipe()
    child = start(root, command=('sh', '-c', 'sleep 100 & setsid sleep 100 & read x; exit 6'), stdin=read)
    os.close(read)
    payload(child)
    below = wait_for(lambda: len(found := descendants(child.pid)) >= 3 and found, 'the others')
    os.close(write)
    assert child.wait().code == 6
    assert all(gone(pid) for pid in below)


@case('--init reaps orphans')
def _(root):
    # Its own sleep is over whenever it looks.
    script = '(sleep 0.05 &); i=0; while grep -q "^Name:.sleep" /proc/[0-9]*/status && [ $i -lt 200 ]; do sleep 0.1; i=$((i+1)); done; echo $i'
    assert int(well(shell(root, script, '--init')).out) < 200


@cases([(f'--die-with-parent: the container ends with whoever started it{how}', args) for how, args in (('', ()), (' below --init', ('--init',)), (' sharing pids', ('--share', 'pid')))])
def _(root, args):
    command = words(root, '--die-with-parent', *args, command=('sleep', '100'))
    parent = spawn([PYTHON, '-c', f'import subprocess,time; subprocess.Popen({[str(w) for w in command]!r}); time.sleep(100)'], root.alice)
    pids = wait_for(lambda: any(name_of(p) == 'sleep' for p in descendants(parent.pid)) and descendants(parent.pid), 'the container')
    parent.kill()
    parent.wait()
    wait_for(lambda: all(gone(pid) or status_of(pid)['State'].startswith('Z') for pid in pids), 'it to end')


@case('--die-with-parent: the container ends with userns-run itself')
def _(root):
    child = start(root, '--die-with-parent', command=('sleep', '100'))
    pid = payload(child)
    child.kill()
    child.wait()
    wait_for(lambda: gone(pid) or status_of(pid)['State'].startswith('Z'), 'it to end')


# --- --wait ---------------------------------------------------------------------------------

def waiting(root, *args, command=('cat', '/proc/self/uid_map'), **how):
    read, write = os.pipe()
    err_read, err_write = os.pipe()
    child = start(root, '--wait', *args, command=command, stdin=read, fds={2: err_write}, **how)
    os.close(read)
    os.close(err_write)
    said = os.read(err_read, 4096).decode()
    pid = int(re.search(r'process (\d+) waits', said)[1])
    return child, pid, write, err_read


@case('--wait prints the pid; ids mapped by hand from another terminal are kept')
def _(root):
    child, pid, write, _ = waiting(root)
    well(root.run([root.newuidmap, pid, 0, 110000, 10000], root.alice))
    os.write(write, b'\n')
    os.close(write)
    done = well(child.wait())
    assert done.out.split() == ['0', '110000', '10000'], done


@case('--wait: what is not mapped then is mapped as asked, and the rest of the input is the command\'s')
def _(root):
    child, _, write, _ = waiting(root, command=('sh', '-c', 'cat /proc/self/uid_map; cat'))
    os.write(write, b'\nfor the command')
    os.close(write)
    done = well(child.wait())
    assert done.out.split() == ['0', '100000', '65536', 'for', 'the', 'command'], done


@cases([('the end of input', None), ('TERM', signal.SIGTERM), ('INT', signal.SIGINT)])
def _(root, number):
    child, pid, write, errors = waiting(root)
    if number:
        child.kill(number)
    else:
        os.close(write)
    assert child.wait().code == 125 and gone(pid)
    assert os.read(errors, 4096).decode().count('\n') == 1


# --- failures leave nothing -----------------------------------------------------------------

def replaced(root, path, text):
    class Replaced:
        def __enter__(self):
            os.rename(path, path + '.away')
            if text is not None:
                root.write(path, text, mode=0o755)

        def __exit__(self, *_):
            if text is not None:
                os.unlink(path)
            os.rename(path + '.away', path)
    return Replaced()


@cases([(f'a map helper that {what} is one sentence', text, piece) for what, text, piece in (
    ('says nothing', '#!/bin/sh\nexit 3\n', 'failed with status 3'),
    ('is killed', '#!/bin/sh\nkill -9 $$\n', 'signal 9'),
    ('complains in several lines', '#!/bin/sh\necho one >&2; echo two >&2; exit 1\n', 'one two'),
    ('is not executable as such', 'no program', 'cannot start newuidmap'))])
def _(root, text, piece):
    with replaced(root, root.newuidmap, text):
        done = fails(run(root, command=('sleep', '100')), piece)
        assert 'newuidmap' in done.err or piece == 'one two', done


@case('a helper that is nowhere is named with what to install')
def _(root):
    with replaced(root, root.newgidmap, None):
        fails(run(root, env={'PATH': '/nowhere'}), 'cannot find newgidmap', 'install')


@case('user namespaces switched off are explained')
def _(root):
    limit = '/proc/sys/user/max_user_namespaces'
    child, pid, write, _ = waiting(root, '--unshare', 'all')
    try:
        assert os.path.exists(limit)
        inner = well(root.run(['/usr/bin/env', 'true'], root.alice))
        assert inner
    finally:
        os.close(write)
        child.wait()
    # The limit is per user namespace: set it in one of our own.
    program = root.program('userns-run')
    done = shell(root, f'echo 0 >{limit} && {program} -- true')
    assert done.code == 125 and 'user namespace' in done.err and 'limit' in done.err, done


# Calls of the sequence, made to fail in turn in whatever process makes them.
INJECT = [('clone3', 'EPERM'), ('socketpair', 'EMFILE'), ('signalfd4', 'EMFILE'), ('unshare', 'ENOSPC'), ('mount_setattr', 'EPERM'),
          ('open_tree', 'EACCES'), ('fsopen', 'EPERM'), ('fsconfig', 'EINVAL'), ('fsmount', 'EPERM'), ('move_mount', 'EPERM'),
          ('pivot_root', 'EINVAL'), ('umount2', 'EINVAL'), ('setgroups', 'EPERM'), ('setresuid', 'EINVAL'), ('setresgid', 'EINVAL'),
          ('sethostname', 'EPERM'), ('close_range', 'EINVAL'), ('symlinkat', 'ENOSPC'), ('fchdir', 'EACCES')]


@cases([(f'{call} failing with {error} is one sentence, status 125, and leaves nothing', call, error) for call, error in INJECT])
def _(root, call, error):
    """strace injects into userns-run and its children; the map helpers are the privileged part's own test."""
    where = rootfs(root, owner=500000)
    from harness import ROOT
    argv = words(root, '--map', 'b:0:500000:1000', '--hostname', 'box', command=('echo', 'ran'), where=where)
    trace = f'{root.tmp}/trace'
    done = root.run(['/usr/bin/strace', '-f', '-qq', '-o', trace, '-e', f'trace={call}', '-e', f'inject={call}:error={error}', *argv], ROOT)
    with open(trace) as file:
        assert 'INJECTED' in file.read(), f'{call} was not called'
    if call == 'fsconfig' and done.code == 0:
        return
    assert done.code == 125 and 'ran' not in done.out, done
    assert done.err.startswith('userns-run: ') and done.err.count('\n') == 1, done
    assert not os.listdir(where + '/dev') if os.path.isdir(where + '/dev') else True


@cases([(f'killed inside before and after each word of the start{how}: one sentence, nothing left', args)
        for how, args in (('', ()), (' below --init', ('--init',)))])
def _(root, args):
    where = rootfs(root)
    for _, _, done in killed_at_each_moment(lambda: start(root, *args, where=where, traced=True), kinds=False):
        if not args or done.code != 137:  # an init was there already, and has ended as its command has
            fails(done, 'was killed')


@case('userns-run itself killed at such moments leaves nothing')
def _(root):
    where = rootfs(root)
    for _, _, done in killed_at_each_moment(lambda: start(root, '--die-with-parent', where=where, traced=True), trace):
        assert done.code == -signal.SIGKILL, done


main()
