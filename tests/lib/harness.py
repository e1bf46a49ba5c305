"""What every system test of the suite stands on: TAP, a private root, scratch users, processes.

A test program is a list of functions, each a sentence:

    import os, sys
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
    from harness import case, main, skip

    @case('a delegated range is written')
    def _(root):
        with root.target(root.alice) as target:
            done = root.run([root.newuidmap, target.pid, 0, 100000, 65536], root.alice)
            assert done.code == 0, done
            assert target.uid_map() == [(0, 100000, 65536)]

    main()

It is called with the build directory and prints TAP. `root` is a private mount namespace: /etc is an
overlay that dies with the program, the build's programs are installed under their configured paths
(setuid root, or with file capabilities), /mnt is a fresh tmpfs. Nothing of the machine is changed and
every process that was started is ended. Before each case /etc/subuid, /etc/subgid and
/etc/nsswitch.conf are as at the start. The program has a PID namespace of its own, so that it sees no process of
another test's (whose ids would be taken) and nothing of it outlives it.
"""

import argparse
import ctypes
import json
import os
import re
import resource
import selectors
import shutil
import signal
import stat
import subprocess
import sys
import time
import traceback

libc = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWTIME = 0x10000000, 0x20000000, 0x40000000, 0x80
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 24, 36, 38
CAP = {'dac_override': 1, 'setgid': 6, 'setuid': 7, 'setpcap': 8, 'net_admin': 12, 'sys_admin': 21, 'audit_write': 29, 'setfcap': 31}

# tests/run gives programs that run side by side other users, if these would meet in a cgroup.
FIRST_UID = int(os.environ.get('TEST_FIRST_UID', '70001'))
FIRST_GID = FIRST_UID + 1000
MODES = {'userns-names': 0o711}  # of what is installed otherwise than programs are
# Capabilities that stand in for the setuid bit (privilege=filecaps). userns-cgroup has no such mode.
FILECAPS = {'userns-idmap': 'cap_sys_admin,cap_audit_write=ep',
            'newuidmap': 'cap_setuid,cap_audit_write=ep', 'newgidmap': 'cap_setgid,cap_audit_write=ep',
            'userns-net': 'cap_net_admin,cap_audit_write=ep'}


# --- system calls that Python lacks ---------------------------------------------------------

def _checked(result, what):
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f'{what}: {os.strerror(code)}')
    return result


def unshare(flags):
    _checked(libc.unshare(ctypes.c_int(flags)), 'unshare')


def setns(fd, kind=0):
    _checked(libc.setns(fd, kind), 'setns')


def mount(source, where, kind=None, flags=0, data=None):
    def c(text):
        return None if text is None else os.fsencode(text)
    _checked(libc.mount(c(source), c(where), c(kind), ctypes.c_ulong(flags), c(data)), f'mount {kind} on {where}')


def umount(where):
    _checked(libc.umount2(os.fsencode(where), MNT_DETACH), f'umount {where}')


def prctl(option, *args):
    words = [ctypes.c_ulong(a) for a in args] + [ctypes.c_ulong(0)] * (4 - len(args))
    return _checked(libc.prctl(option, *words), f'prctl {option}')


def raw_exec(path, argv, env):
    """execve(2) as it is: argv may be empty or hold any bytes."""
    def array(words):
        return (ctypes.c_char_p * (len(words) + 1))(*[os.fsencode(str(w)) if not isinstance(w, bytes) else w
                                                      for w in words], None)
    libc.execve(os.fsencode(path), array(argv), array([f'{k}={v}' for k, v in env.items()]))
    code = ctypes.get_errno()
    raise OSError(code, f'exec {path}: {os.strerror(code)}')


def build_dir():
    return os.path.abspath(sys.argv[1])


def build_info(name):
    """What meson knows: 'targets', 'buildoptions'."""
    with open(os.path.join(build_dir(), 'meson-info', f'intro-{name}.json')) as file:
        return json.load(file)


# --- cases and TAP --------------------------------------------------------------------------

class Skip(Exception):
    """Raised by skip()."""


def skip(why):
    """Ends the case: it can't be tried here, and the output says why."""
    raise Skip(why)


_cases = []


def case(sentence):
    """Registers a function that takes the private root; an exception is a failure, a text returned is a note."""
    def register(function):
        _cases.append((sentence, function))
        return function
    return register


def cases(table):
    """One case per row: @cases([('sentence', arg, ...), ...]) def _(root, arg, ...)."""
    def register(function):
        for sentence, *args in table:
            _cases.append((sentence, lambda root, args=args: function(root, *args)))
        return function
    return register


def _say(text):
    sys.stdout.write(text + '\n')
    sys.stdout.flush()


def _comment(text):
    for line in str(text).rstrip().splitlines():
        _say('#   ' + line)


def _end_at_sigterm(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a process group may have it twice
    sys.exit(143)


def _wait_for_program(pid):
    """Reaps what there is until `pid` has ended, and ends as it did; SIGTERM goes to it."""
    signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))
    while True:
        ended, status = os.wait()
        if ended == pid:
            os._exit(os.waitstatus_to_exitcode(status) & 0xff)


def in_own_pid_namespace():
    """Returns in process 2 of a new PID namespace, below a process 1 that reaps and dies with the program that was called."""
    unshare(CLONE_NEWPID)
    sys.stdout.flush()
    if first := os.fork():
        _wait_for_program(first)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if program := os.fork():
        _wait_for_program(program)


def main(need_root=True, own_pids=True):
    """Runs the registered cases: PROGRAM BUILD_DIR [-k PATTERN] [--privilege setuid|filecaps].

    own_pids=False: the program compares pids with what the kernel tells in the machine's own (audit records).
    """
    arguments = argparse.ArgumentParser()
    arguments.add_argument('build')
    arguments.add_argument('-k', metavar='PATTERN', default='', help='only cases that match')
    arguments.add_argument('--privilege', choices=['setuid', 'filecaps'], help="how helpers are installed; the build's way")
    told = arguments.parse_args()
    chosen = [c for c in _cases if re.search(told.k, c[0])]
    root, blocked = None, None
    if need_root and os.geteuid() != 0:
        blocked = 'needs root: run it with sudo'
    elif need_root:
        if own_pids:
            in_own_pid_namespace()
        try:
            root = Root(told.build, told.privilege)
            if own_pids:
                umount('/proc')
                mount('proc', '/proc', 'proc', MS_NOSUID | MS_NODEV | MS_NOEXEC)
        except PermissionError as error:
            blocked = f'cannot make a private root: {error}'
    _say(f'1..{len(chosen)}')
    failed = 0
    try:
        for number, (sentence, function) in enumerate(chosen, 1):
            failed += not _run_case(number, sentence, function, root, blocked)
    finally:
        end_all_children()
    sys.exit(1 if failed else 0)


def _run_case(number, sentence, function, root, blocked):
    # '#' would begin a TAP directive.
    name = f'{number} - {sentence}'.replace('#', '\\#')
    try:
        if blocked:
            skip(blocked)
        if root:
            root.reset()
        note = function(root)
        _say(f'ok {name}')
        if note:
            _say(f'# note: {note}')
    except Skip as why:
        _say(f'ok {name} # SKIP {why}')
    except Exception:  # noqa: a case may fail in any way
        _say(f'not ok {name}')
        _comment(traceback.format_exc())
        return False
    finally:
        end_all_children()
    return True


# --- processes ------------------------------------------------------------------------------

def wait_for(condition, what, seconds=20):
    """Waits until condition() is true and returns its value; a failure says what was awaited."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f'waited {seconds} s in vain: {what}')
        time.sleep(0.005)


def status_of(pid):
    """/proc/PID/status as a dictionary of texts."""
    with open(f'/proc/{pid}/status') as file:
        return dict(line.rstrip('\n').split(':\t', 1) for line in file if ':\t' in line)


def open_fds(pid):
    """{fd number: what it is} of a process."""
    found = {}
    for name in os.listdir(f'/proc/{pid}/fd'):
        try:
            found[int(name)] = os.readlink(f'/proc/{pid}/fd/{name}')
        except FileNotFoundError:
            pass
    return found


def own_children():
    found = []
    for thread in os.listdir('/proc/self/task'):
        try:
            with open(f'/proc/self/task/{thread}/children') as file:
                found += [int(pid) for pid in file.read().split()]
        except (FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            pass
    return found


def end_all_children():
    """Kills and reaps everything below this process (orphans come to it, it is their subreaper)."""
    end = time.monotonic() + 20
    while children := own_children():
        for pid in children:
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, os.WNOHANG)
            except (ProcessLookupError, ChildProcessError):
                pass
        if time.monotonic() > end:
            raise AssertionError(f'processes {children} can not be ended')
        time.sleep(0.001)


class User:
    """A scratch user. `egid`: the effective gid, where it is not the real one (a setgid caller)."""

    def __init__(self, name, uid, gid=None, groups=(), egid=None):
        self.name, self.uid, self.gid, self.groups = name, uid, uid if gid is None else gid, list(groups)
        self.egid = self.gid if egid is None else egid

    def but(self, **changes):
        """A copy with some fields changed."""
        fields = {'name': self.name, 'uid': self.uid, 'gid': self.gid, 'groups': self.groups}
        if self.egid != self.gid:
            fields['egid'] = self.egid
        return User(**{**fields, **changes})

    def become(self):
        os.setgroups(self.groups)
        os.setresgid(self.gid, self.egid, self.egid)
        os.setresuid(self.uid, self.uid, self.uid)
        # Changing ids made the process undumpable, which a login does not leave it.
        prctl(PR_SET_DUMPABLE, 1)


ROOT = User('root', 0)


class Done:
    """How a command ended: `code` (negative: by that signal), `out`, `err`."""

    def __init__(self, argv, code, out, err):
        self.argv, self.code, self.raw_out, self.raw_err = argv, code, out, err
        self.out, self.err = out.decode(errors='replace'), err.decode(errors='replace')

    def __repr__(self):
        shown = ' '.join(str(a) for a in self.argv)
        shown = shown if len(shown) < 300 else shown[:300] + '...'
        return f'[{shown}] ended with {self.code}\n  stdout: {self.out!r}\n  stderr: {self.err!r}'


class Child:
    """A command that runs; wait() collects it."""

    def __init__(self, argv, pid, out, err):
        self.argv, self.pid, self._out, self._err, self.code = argv, pid, out, err, None

    def wait(self, seconds=30):
        texts = {self._out: b'', self._err: b''}
        end = time.monotonic() + seconds
        with selectors.DefaultSelector() as waiter:
            for fd in texts:
                waiter.register(fd, selectors.EVENT_READ)
            while waiter.get_map() and time.monotonic() < end:
                for key, _ in waiter.select(0.2):
                    piece = os.read(key.fd, 1 << 16)
                    texts[key.fd] += piece
                    if not piece:
                        waiter.unregister(key.fd)
                # A grandchild may keep the pipe open for ever.
                if self.code is None and self._reap():
                    end = min(end, time.monotonic() + 1)
        if self.code is None:
            wait_for(self._reap, f'{self.argv} to end', max(0.0, end - time.monotonic()))
        os.close(self._out)
        os.close(self._err)
        return Done(self.argv, self.code, texts[self._out], texts[self._err])

    def _reap(self):
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def kill(self, number=signal.SIGKILL):
        os.kill(self.pid, number)


def _launcher():
    """The program that does what spawn() does; None where it is not built, or hidden by what a test has mounted."""
    path = os.path.join(build_dir(), 'tests', 'launch') if len(sys.argv) > 1 else ''
    return path if os.access(path, os.X_OK) else None


def _listed(items):
    """A list as launch.cc reads one: how many, then each, which may be several words."""
    items = list(items)
    return [len(items), *(word for item in items for word in (item if isinstance(item, tuple) else (item,)))]


def _launch(path, fds, user, umask, cwd, ignore, block, no_new_privs, drop_bounding, traced, rest):
    """Has launch.cc become what is told, as spawn() does; `rest`: argv, environment and limits, or what a target needs."""
    # Out of the way of the numbers that they are moved to.
    high = max([699, *fds, *fds.values()]) + 1
    moves = [(number, fds[number], high + place) for place, number in enumerate(sorted(fds))]
    who = [1, user.uid, user.gid, user.egid, *_listed(user.groups)] if user else [0]
    words = [path, *_listed((number, above) for number, _, above in moves), umask, cwd, *_listed(ignore), *_listed(block),
             *_listed(drop_bounding), int(traced), *who, int(no_new_privs), *rest]
    told = os.memfd_create('words')
    with open(told, 'wb') as file:
        for word in words:
            text = str(int(word)) if isinstance(word, int) else word  # a signal's str() is its name
            file.write((text if isinstance(text, bytes) else os.fsencode(text)) + b'\0')
        file.flush()
        actions = [(os.POSIX_SPAWN_DUP2, fd, above) for _, fd, above in moves + [(None, told, high + len(moves))]]
        return os.posix_spawn(_launcher(), ['launch', str(high + len(moves))], {}, file_actions=actions,
                              setsigmask=signal.valid_signals())


def spawn(argv, user=None, *, path=None, env=None, fds=None, closed=(), rlimits=None, umask=0o22, cwd='/',
          ignore=(), block=(), no_new_privs=False, drop_bounding=(), before=None, stdin=None, traced=False):
    """Starts a command as `user`, exactly as told. The caller's environment is not inherited.

    argv: words of any type; [] is argc 0 (then `path` is needed). fds: {number in the child: fd here}. closed: of
    0, 1, 2. rlimits: {resource.RLIMIT_X: value or (soft, hard)}. ignore, block: signals. before: called last before
    the exec. traced: stops before the exec, ready for Trace.
    """
    if os.environ.get('START_AT_THE_TOP'):
        with open('/sys/fs/cgroup/cgroup.procs', 'w') as file:
            file.write('0')
    argv = [a if isinstance(a, bytes) else str(a) for a in argv]
    path = path or argv[0]
    env = {'PATH': '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin'} if env is None else env
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    sys.stdout.flush()
    if before is None and _launcher():
        with open('/dev/null') as null:
            wanted = {0: null.fileno() if stdin is None else stdin, 1: out_write, 2: err_write, **(fds or {})}
            pid = _launch(path, {number: fd for number, fd in wanted.items() if number not in closed}, user, umask, cwd, ignore,
                          block, no_new_privs, drop_bounding, traced,
                          [*_listed(argv), *_listed(f'{k}={v}' for k, v in env.items()), *_listed(
                              (which, *(end % 2**64 for end in (value if isinstance(value, tuple) else (value, value))))
                              for which, value in (rlimits or {}).items())])
        os.close(out_write)
        os.close(err_write)
        return Child(argv, pid, out_read, err_read)
    # A signal that comes before the exec must find the child as it is meant to be, not as a copy of the test.
    mask = signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    else:
        try:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            wanted = {0: os.open('/dev/null', os.O_RDONLY) if stdin is None else stdin, 1: out_write, 2: err_write,
                      **(fds or {})}
            # Out of the way of the numbers that they are moved to.
            high = {number: libc.fcntl(fd, 0, 700) for number, fd in wanted.items()}
            for number, fd in high.items():
                os.dup2(fd, number)
            numbers = sorted(set(wanted) - set(closed))
            low = 0
            for number in numbers + [1 << 20]:
                if low < number:  # an empty range would close everything
                    os.closerange(low, number)
                low = number + 1
            os.umask(umask)
            os.chdir(cwd)
            for number in range(1, signal.SIGRTMAX + 1):
                if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
                    signal.signal(number, signal.SIG_IGN if number in ignore else signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, block)
            for cap in drop_bounding:
                prctl(PR_CAPBSET_DROP, cap)
            if traced:
                # As root: the kernel judges a setuid exec by who the tracee was at this call.
                _checked(libc.ptrace(0, 0, None, None), 'ptrace')
            if user:
                user.become()
                prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if no_new_privs:
                prctl(PR_SET_NO_NEW_PRIVS, 1)
            if before:
                before()
            if traced:
                os.kill(os.getpid(), signal.SIGSTOP)
            for which, value in (rlimits or {}).items():
                resource.setrlimit(which, value if isinstance(value, tuple) else (value, value))
            raw_exec(path, argv, env)
        except BaseException as error:  # noqa: nothing may escape into the copy of the test
            os.write(2, f'harness: {error}\n'.encode())
        os._exit(121)
    os.close(out_write)
    os.close(err_write)
    return Child(argv, pid, out_read, err_read)


class Target:
    """A process to be mapped: `user`'s, in a user namespace of its own, doing nothing.

    prepare: called in it after the namespace was made.
    """

    def __init__(self, user, namespaces=CLONE_NEWUSER, prepare=None):
        ready_read, ready_write = os.pipe()
        if prepare is None and _launcher():
            self.pid = _launch('', {0: 0, 1: 1, 2: 2, 3: ready_write}, user, 0o22, '/', (), (), False, (), False, [namespaces, 3])
        else:
            self.pid = os.fork()
        if self.pid == 0:
            try:
                prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                user.become()
                if namespaces:
                    unshare(namespaces)
                if prepare:
                    prepare()
                os.write(ready_write, b'ready')
                os.close(ready_write)
                while True:
                    signal.pause()
            except BaseException as error:  # noqa
                os.write(ready_write, str(error).encode())
            os._exit(121)
        os.close(ready_write)
        said = os.read(ready_read, 4096)
        os.close(ready_read)
        if said != b'ready':
            raise AssertionError(f'the target did not start: {said.decode()}')
        self.pidfd = os.pidfd_open(self.pid)
        self.dirfd = os.open(f'/proc/{self.pid}', os.O_RDONLY | os.O_DIRECTORY)

    def _map(self, name):
        with open(f'/proc/{self.pid}/{name}') as file:
            return [tuple(int(word) for word in line.split()) for line in file]

    def uid_map(self):
        return self._map('uid_map')

    def gid_map(self):
        return self._map('gid_map')

    def setgroups(self):
        with open(f'/proc/{self.pid}/setgroups') as file:
            return file.read().strip()

    def kill(self, reap=True):
        os.kill(self.pid, signal.SIGKILL)
        if reap:
            os.waitpid(self.pid, 0)
        else:
            wait_for(lambda: status_of(self.pid)['State'].startswith('Z'), 'the target to be a zombie')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.pidfd)
        os.close(self.dirfd)
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def with_own_pids():
    """Starts this program again in a pid namespace of its own: processes of other tests are not seen in /proc then."""
    if os.environ.get('OWN_PIDS') != '1' and len(sys.argv) > 1:
        os.environ['OWN_PIDS'] = '1'
        os.execv('/usr/bin/unshare', ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc', sys.executable, *sys.argv])


def in_pid_namespace(function):
    """Runs function() as a child of the first process of a new pid namespace with its own /proc; its failure is raised."""
    said_read, said_write = os.pipe()
    sys.stdout.flush()
    outer = os.fork()
    if outer == 0:
        code = 1
        try:
            unshare(CLONE_NEWPID | CLONE_NEWNS)
            first = os.fork()
            if first:
                os._exit(os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]) & 0xff)
            mount('proc', '/proc', 'proc')
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            function()
            code = 0
        except BaseException:  # noqa: all of it is the parent's
            os.write(said_write, traceback.format_exc().encode()[-4000:])
        os._exit(code)
    os.close(said_write)
    said = b''
    while piece := os.read(said_read, 4096):
        said += piece
    os.close(said_read)
    if os.waitstatus_to_exitcode(os.waitpid(outer, 0)[1]) != 0:
        raise AssertionError('in the pid namespace:\n' + said.decode())


def fork_with_pid(pid, function):
    """A child with exactly this pid (in a pid namespace that nobody else forks in) that runs function() and pauses."""
    with open('/proc/sys/kernel/ns_last_pid', 'w') as file:
        file.write(str(pid - 1))
    ready_read, ready_write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            function()
            os.write(ready_write, b'r')
            while True:
                signal.pause()
        finally:
            os._exit(121)
    os.close(ready_write)
    assert os.read(ready_read, 1) == b'r' and child == pid, f'the pid {pid} could not be had again, but {child}'
    os.close(ready_read)
    return child


# --- stop points ----------------------------------------------------------------------------

class _SyscallInfo(ctypes.Structure):
    _fields_ = [('op', ctypes.c_uint8), ('pad', ctypes.c_uint8 * 3), ('arch', ctypes.c_uint32),
                ('ip', ctypes.c_uint64), ('sp', ctypes.c_uint64), ('words', ctypes.c_uint64 * 8)]


class Stop:
    """A system call that the tracee is about to make: `number`, `args`; memory() reads from it."""

    def __init__(self, pid, number, args):
        self.pid, self.number, self.args = pid, number, args

    def memory(self, address, length):
        with open(f'/proc/{self.pid}/mem', 'rb', buffering=0) as file:
            file.seek(address)
            return file.read(length)


class Result:
    """What a system call that is not made is to return: Result(-errno) or Result(value)."""

    def __init__(self, value):
        self.value = value


def trace(child, on_entry, seconds=60):
    """Calls on_entry(Stop) before each system call of a Child that was spawned traced, from the exec on.

    Where it returns a Result, the call is not made and the tracee sees that result. This program is root, so a setuid
    bit still takes effect. Returns Done.
    """
    request = {'pokeuser': 6, 'syscall': 24, 'options': 0x4200, 'info': 0x420e}
    rax, orig_rax = 80, 120
    end = time.monotonic() + seconds

    def ptrace(what, address=None, data=None):
        return libc.ptrace(request[what], child.pid, ctypes.c_void_p(address), data)
    os.waitpid(child.pid, 0)
    # TRACESYSGOOD, TRACEEXEC, EXITKILL
    _checked(ptrace('options', 0, ctypes.c_void_p(1 | 0x10 | 0x100000)), 'ptrace')
    execed, pending, faked = False, 0, None
    while time.monotonic() < end:
        ptrace('syscall', 0, ctypes.c_void_p(pending))
        _, status = os.waitpid(child.pid, 0)
        pending = 0
        if not os.WIFSTOPPED(status):
            child.code = os.waitstatus_to_exitcode(status)
            return child.wait()
        number = os.WSTOPSIG(status)
        if status >> 16:
            execed = True
        elif number == signal.SIGTRAP | 0x80:
            info = _SyscallInfo()
            ptrace('info', ctypes.sizeof(info), ctypes.byref(info))
            if execed and info.op == 1:
                faked = on_entry(Stop(child.pid, info.words[0], list(info.words[1:7])))
                if isinstance(faked, Result):
                    # A call that does nothing and that every filter allows.
                    _checked(ptrace('pokeuser', orig_rax, ctypes.c_void_p(SYSCALL['getpid'])), 'ptrace')
            elif info.op == 2 and isinstance(faked, Result):
                _checked(ptrace('pokeuser', rax, ctypes.c_void_p(faked.value % 2**64)), 'ptrace')
                faked = None
        else:
            pending = number
    raise AssertionError(f'{child.argv} did not end under trace')


SYSCALL = {'read': 0, 'write': 1, 'open': 2, 'close': 3, 'ioctl': 16, 'pwrite64': 18, 'getpid': 39, 'socket': 41, 'sendto': 44, 'execve': 59, 'fstatfs': 138, 'exit_group': 231,
           'openat': 257, 'openat2': 437, 'landlock_restrict_self': 446}


def full_pipe():
    """(read end, write end) of a pipe that takes no byte more."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    try:
        while True:
            os.write(write, b'x' * 4096)
    except BlockingIOError:
        os.set_blocking(write, True)
    return read, write


def ends_when_killed_by(user, child, keeps=0):
    """Waits until the child hangs in a write(2) with no capabilities but `keeps`, permitted, and has `user` kill it."""
    def is_writing():
        with open(f'/proc/{child.pid}/syscall') as file:
            return file.read().startswith(f"{SYSCALL['write']} ")
    wait_for(is_writing, f'{child.argv} to write')
    status = status_of(child.pid)
    held = {name: int(status[name], 16) for name in ('CapPrm', 'CapEff')}
    assert held['CapEff'] == 0 and held['CapPrm'] & ~keeps == 0, (child.argv, held)
    assert status['Uid'].split() == [str(user.uid)] * 4, (child.argv, status['Uid'])
    killed = Root.run(['/bin/kill', '-9', child.pid], user)
    assert killed.code == 0, (killed, status_of(child.pid)['Uid'])
    assert child.wait().code == -signal.SIGKILL


# --- the private root -----------------------------------------------------------------------

class Root:
    """The private mount namespace; see the top of this file.

    Attributes: `tmp` (tmpfs, no nosuid), scratch users `alice` (subids 100000:65536), `bob` (200000:65536) and `carol`
    (none), installed paths of the build's programs by name (`newuidmap`, `newgidmap`, and `program(name)`).
    """

    def __init__(self, build, privilege=None):
        self.build = os.path.abspath(build)
        options = {o['name']: o['value'] for o in build_info('buildoptions')}
        self.privilege = privilege or options['privilege']
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        signal.signal(signal.SIGTERM, _end_at_sigterm)
        unshare(CLONE_NEWNS)
        mount(None, '/', None, MS_REC | MS_PRIVATE)
        self.tmp = '/mnt'
        mount('tmpfs', self.tmp, 'tmpfs', 0, 'mode=0755')
        self._overlaid = []
        self.overlay('/etc')
        self._programs = {}
        installed = [(t['filename'][0], t['install_filename'][0]) for t in build_info('targets')
                     if t['type'] == 'executable' and t['installed']]
        # Upper directories first: an overlay would hide one that is below it.
        for there in sorted({_existing(os.path.dirname(path)) for _, path in installed}):
            self.overlay(there)
        for built, path in installed:
            self._install(built, path)
        self.newuidmap = self._programs.get(options['newuidmap_name'])
        self.newgidmap = self._programs.get(options['newgidmap_name'])
        self.alice, self.bob, self.carol = (self.add_user(n, FIRST_UID + i, FIRST_GID + i) for i, n in
                                            enumerate(('alice', 'bob', 'carol')))
        self._first = {'/etc/nsswitch.conf': _read('/etc/nsswitch.conf')}
        for path in ('/etc/subuid', '/etc/subgid'):
            self._first[path] = 'alice:100000:65536\nbob:200000:65536\n'
        os.makedirs('/etc/userns', exist_ok=True)
        self.reset()

    def overlay(self, directory):
        """Writes to `directory` go to memory from now on."""
        if any(directory == o or directory.startswith(o + '/') for o in self._overlaid):
            return
        layer = os.path.join(self.tmp, 'layers', directory.strip('/').replace('/', '_'))
        for name in ('upper', 'work'):
            os.makedirs(os.path.join(layer, name))
        os.chmod(os.path.join(layer, 'upper'), stat.S_IMODE(os.stat(directory).st_mode))
        mount('overlay', directory, 'overlay', 0,
              f'lowerdir={directory},upperdir={layer}/upper,workdir={layer}/work')
        self._overlaid.append(directory)

    def _install(self, built, installed):
        os.makedirs(os.path.dirname(installed), exist_ok=True)
        self._programs[os.path.basename(installed)] = installed
        privileged = os.path.relpath(built, self.build).startswith('helpers/')
        self.copy_program(built, installed, self.privilege if privileged else None)

    def copy_program(self, source, destination, privilege):
        """Installs a program setuid root ('setuid'), with file capabilities ('filecaps') or plain (None)."""
        if os.path.lexists(destination):
            os.unlink(destination)
        shutil.copyfile(source, destination)
        os.chown(destination, 0, 0)
        caps = FILECAPS.get(os.path.basename(source))
        mode = 0o4755 if privilege == 'setuid' or (privilege and not caps) else MODES.get(os.path.basename(source), 0o755)
        os.chmod(destination, mode)
        if privilege == 'filecaps' and caps:
            subprocess.run(['/sbin/setcap', caps, destination], check=True)
        return destination

    def program(self, name):
        """The installed path of a program of the build; skips the case where it was not built."""
        return self._programs.get(name) or skip(f'{name} is not built')

    def add_user(self, name, uid, gid=None):
        gid = uid if gid is None else gid
        home = f'{self.tmp}/home/{name}'
        os.makedirs(home)
        os.chown(home, uid, gid)
        for path, line in (('/etc/passwd', f'{name}:x:{uid}:{gid}::{home}:/bin/sh\n'),
                           ('/etc/group', f'{name}:x:{gid}:\n')):
            with open(path, 'a') as file:
                file.write(line)
        return User(name, uid, gid)

    def reset(self):
        """/etc/subuid, /etc/subgid and /etc/nsswitch.conf as at the start."""
        for path, text in self._first.items():
            self.write(path, text)

    def write(self, path, text, mode=0o644, owner=(0, 0)):
        """Makes a fresh file, whatever was there."""
        if os.path.lexists(path):
            os.unlink(path)
        with open(path, 'wb') as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        os.chown(path, *owner)
        os.chmod(path, mode)

    def subuid(self, text, **how):
        self.write('/etc/subuid', text, **how)

    def subgid(self, text, **how):
        self.write('/etc/subgid', text, **how)

    @staticmethod
    def run(argv, user=None, *, timeout=30, **how):
        """spawn() and wait: Done."""
        return spawn(argv, user, **how).wait(timeout)

    @staticmethod
    def target(user, namespaces=CLONE_NEWUSER, prepare=None):
        return Target(user, namespaces, prepare)


def _existing(directory):
    """The nearest directory upwards that is there."""
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    if directory == '/':
        raise PermissionError('an installation directory and all above it are missing: configure another prefix')
    return directory


def _read(path):
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return ''
