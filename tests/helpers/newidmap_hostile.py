#!/usr/bin/env python3
"""newuidmap and newgidmap: callers who arrange things around them."""

import itertools
import os
import resource
import signal

from newidmap import KINDS, both, granted, refused, unmapped
from harness import (CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, MS_BIND, MS_PRIVATE, MS_REC, SYSCALL, cases,
                     fork_with_pid, in_pid_namespace, main, mount, spawn, trace, unshare)


def all_or_nothing(kind, target, done, wanted):
    """Success is the whole map, a failure no map, and a signal one of the two. Returns whether it was granted."""
    mapped = kind.map(target)
    assert mapped in ([wanted] if done.code == 0 else [[]] if done.code > 0 else [[], wanted]), (done, mapped)
    return done.code == 0


@both('argc 0 is a refusal')
def _(root, kind):
    done = root.run([], root.alice, path=kind.program(root))
    assert done.code == 1 and done.err, done


@both('an empty argv[0] changes nothing')
def _(root, kind):
    with root.target(root.alice) as target:
        granted(root.run(['', target.pid, 0, 100000, 1], root.alice, path=kind.program(root)))


@both('ST-STATE: with any of fds 0-2 closed, a grant is a grant and no message lands in a file')
def _(root, kind):
    for closed in itertools.chain.from_iterable(itertools.combinations((0, 1, 2), n) for n in (1, 2, 3)):
        with root.target(root.alice) as target:
            done = kind.run(root, target, 0, 500000, 1, closed=closed)
            assert done.code == 1 and kind.map(target) == [], (closed, done)
            done = kind.run(root, target, 0, 100000, 1, closed=closed)
            assert done.code == 0 and kind.map(target) == [(0, 100000, 1)], (closed, done)


@both('a target in the place of stderr is served, and the message of a refusal goes nowhere else')
def _(root, kind):
    with root.target(root.alice) as target:
        assert kind.run(root, 'fd:2', 0, 500000, 1, fds={2: target.dirfd}).code == 1
        unmapped(target)
        granted(kind.run(root, 'fd:2', 0, 100000, 1, fds={2: target.dirfd}))
        assert kind.map(target) == [(0, 100000, 1)]


LIMITS = [name for name in dir(resource) if name.startswith('RLIMIT_') and name != 'RLIMIT_OFILE']


@cases([(f'{kind.name}: with {name} at 0 all of the map is written, or nothing', kind, name) for kind in KINDS
        for name in LIMITS])
def _(root, kind, name):
    # With these at 0 no program can even be started, so the case would test nothing of ours: smaller than usual.
    starts = {'RLIMIT_AS': 8 << 20, 'RLIMIT_DATA': 1 << 20, 'RLIMIT_STACK': 64 << 10}
    which = getattr(resource, name)
    with root.target(root.alice) as target:
        all_or_nothing(kind, target, kind.run(root, target, 0, 100000, 10, rlimits={which: 0}), [(0, 100000, 10)])
    with root.target(root.alice) as target:
        done = kind.run(root, target, 0, 100000, 10, rlimits={which: (starts.get(name, 0), starts.get(name, 0))})
        if not all_or_nothing(kind, target, done, [(0, 100000, 10)]):
            # Either the kernel did not start it, or it says why.
            assert done.err.startswith(kind.name + ':') or 'harness: ' in done.err or done.code in (127, -9, -11, -24), done
            # 127: the loader, before main.
    with root.target(root.alice) as target:
        # A soft limit is raised to the hard one. (The loader, before main, needs some fds and some time.)
        hard, low = resource.getrlimit(which)[1], {**starts, 'RLIMIT_NOFILE': 6, 'RLIMIT_CPU': 1}.get(name, 0)
        done = kind.run(root, target, 0, 100000, 10, rlimits={which: (low, hard)})
        assert all_or_nothing(kind, target, done, [(0, 100000, 10)]), done


@both('with no memory to be had at any size all of the map is written, or nothing, and the reason is said')
def _(root, kind):
    said = 0
    for pages in list(range(0, 160, 8)) + list(range(160, 2000, 200)):
        with root.target(root.alice) as target:
            done = kind.run(root, target, 0, 100000, 10, rlimits={resource.RLIMIT_AS: (3 << 20) + pages * 4096})
            all_or_nothing(kind, target, done, [(0, 100000, 10)])
            said += done.err.startswith(kind.name + ':')


@both('blocked and ignored signals change nothing')
def _(root, kind):
    every = [n for n in range(1, 65) if n not in (signal.SIGKILL, signal.SIGSTOP, 32, 33)]
    with root.target(root.alice) as target:
        granted(kind.run(root, target, 0, 100000, 1, block=every, ignore=every))
    with root.target(root.alice) as target:
        refused(kind.run(root, target, 0, 500000, 1, block=every, ignore=every), 'IM-RANGE')


@both('an ignored SIGCHLD does not lose the answer of a child')
def _(root, kind):
    with root.target(root.alice) as target:
        granted(kind.run(root, target, 0, 100000, 1, ignore=[signal.SIGCHLD]))


@both('timers that the caller set end it at any moment, or never half way')
def _(root, kind):
    for number in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        for micros in (1, 50, 300, 700, 1200, 2000, 5000):
            with root.target(root.alice) as target:
                done = kind.run(root, target, 0, 100000, 10, before=lambda: signal.setitimer(number, micros / 1e6, 1e-4))
                all_or_nothing(kind, target, done, [(0, 100000, 10)])


@both('a signal storm of the caller\'s leaves all of the map or nothing')
def _(root, kind):
    for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
        with root.target(root.alice) as target:
            child = spawn([kind.program(root), target.pid, 0, 100000, 10], root.alice)
            for _ in range(50):
                try:
                    os.kill(child.pid, number)
                    os.kill(child.pid, signal.SIGCONT)
                except ProcessLookupError:
                    break
            all_or_nothing(kind, target, child.wait(), [(0, 100000, 10)])


@both('a kill at any system call leaves all of the map or nothing')
def _(root, kind):
    calls = []
    with root.target(root.alice) as target:
        granted(trace(spawn([kind.program(root), target.pid, 0, 100000, 10], root.alice, traced=True),
                      lambda stop: calls.append(stop.number)))
    assert len(calls) > 40
    mapped = 0
    step = 1 if root.privilege == 'setuid' else 5  # the same code, where each one is tried
    for at in range(len(calls) - 1, -1, -step):
        with root.target(root.alice) as target:
            seen = iter(range(len(calls) + 10))
            done = trace(spawn([kind.program(root), target.pid, 0, 100000, 10], root.alice, traced=True),
                         lambda stop: next(seen) == at and os.kill(stop.pid, signal.SIGKILL))
            assert done.code in (0, -signal.SIGKILL), done
            assert kind.map(target) in ([], [(0, 100000, 10)]), (at, calls[at], kind.map(target))
            mapped += kind.map(target) != []
    assert mapped > 0, 'the last calls come after the write'


@both('a stop before the write, and a target that dies meanwhile, do no harm to the next owner of its pid')
def _(root, kind):
    def inside():
        with root.target(root.alice) as target:
            met = []

            def at_write(stop):
                if stop.number == SYSCALL['write'] and not met:
                    met.append(target.pid)
                    target.kill()
                    fork_with_pid(target.pid, lambda: (root.alice.become(), unshare(CLONE_NEWUSER)))
            trace(spawn([kind.program(root), target.pid, 0, 100000, 1], root.alice, traced=True), at_write)
            assert met and kind.map(target) == [], kind.map(target)
    in_pid_namespace(inside)


def recycled(root, kind, call, word_of, heir):
    """Lets the target die and its pid be taken over just before each of the helper's `call`s in turn.

    Nothing may be mapped in the heir. Returns how many points there were.
    """
    points = 0
    while True:
        hit = []
        with root.target(root.alice) as target:
            counter = itertools.count()

            def swap(stop):
                if stop.number == call and next(counter) == points:
                    target.kill()
                    fork_with_pid(target.pid, heir)
                    hit.append(True)
            fds = {5: target.dirfd, 6: target.pidfd}
            done = trace(spawn([kind.program(root), word_of(target), 0, 100000, 1], root.alice, traced=True, fds=fds), swap)
            if not hit:
                return points
            assert kind.map(target) == [], (points, done, kind.map(target))
        points += 1


@cases([(f'{kind.name}: a pid recycled between check and use is never mapped, when named by {how}', kind, word)
        for kind in KINDS for how, word in (('directory fd', lambda t: 'fd:5'), ('pidfd', lambda t: 'fd:6'))])
def _(root, kind, word):
    # By pid alone the name itself is what was recycled; with an fd the caller said which process he means.
    def inside():
        points = recycled(root, kind, SYSCALL['openat2'], word,
                          lambda: (root.alice.become(), unshare(CLONE_NEWUSER)))
        assert points >= 5, points
    in_pid_namespace(inside)


@both('a pid recycled by another user\'s process is never mapped')
def _(root, kind):
    def inside():
        points = recycled(root, kind, SYSCALL['openat2'], lambda t: t.pid,
                          lambda: (root.bob.become(), unshare(CLONE_NEWUSER)))
        assert points >= 5, points
    in_pid_namespace(inside)


@both('IM-GONE: a pidfd whose process has died and whose pid lives again is refused')
def _(root, kind):
    def inside():
        with root.target(root.alice) as target:
            target.kill()
            fork_with_pid(target.pid, lambda: (root.alice.become(), unshare(CLONE_NEWUSER)))
            refused(kind.run(root, 'fd:6', 0, 100000, 1, fds={6: target.pidfd}), 'IM-GONE')
            refused(kind.run(root, 'fd:5', 0, 100000, 1, fds={5: target.dirfd}), 'IM-GONE')
            granted(kind.run(root, target.pid, 0, 100000, 1))
    in_pid_namespace(inside)


@both('a huge argv and environment change nothing')
def _(root, kind):
    env = {f'X{i}': 'y' * 30000 for i in range(40)}
    with root.target(root.alice) as target:
        granted(kind.run(root, target, 0, 100000, 1, env=env))
        done = kind.run(root, target, *(['9' * 3000] * 300))
        assert done.code == 1 and '[ST-ARGS]' in done.err and len(done.err) < 500, done


@both('an environment for the loader and the C library changes nothing')
def _(root, kind):
    env = {'LD_PRELOAD': '/nowhere/evil.so', 'LD_LIBRARY_PATH': '/tmp', 'LD_AUDIT': 'evil.so', 'LD_DEBUG': 'all',
           'GCONV_PATH': '/tmp', 'LOCPATH': '/tmp', 'MALLOC_PERTURB_': '1', 'GLIBC_TUNABLES': 'glibc.malloc.check=3',
           'HOSTALIASES': '/etc/shadow', 'RES_OPTIONS': 'debug', 'TZ': '/etc/shadow', 'LANG': 'xx_XX', 'PATH': '/tmp'}
    with root.target(root.alice) as target:
        done = kind.run(root, target, 0, 100000, 1, env=env)
        assert done.code == 0 and done.out == '', done
        assert all(line.startswith('ERROR: ld.so: object') for line in done.err.splitlines()), done
        assert kind.map(target) == [(0, 100000, 1)]


@both('umask 0777 changes nothing')
def _(root, kind):
    with root.target(root.alice) as target:
        granted(kind.run(root, target, 0, 100000, 1, umask=0o777))


@both('a working directory that is gone changes nothing')
def _(root, kind):
    def lost():
        os.mkdir('/tmp/lost-%d' % os.getpid())
        os.chdir('/tmp/lost-%d' % os.getpid())
        os.rmdir('/tmp/lost-%d' % os.getpid())
    with root.target(root.alice) as target:
        granted(kind.run(root, target, 0, 100000, 1, before=lost))


@both('stdout and stderr that nobody reads change nothing but the message')
def _(root, kind):
    read, write = os.pipe()
    os.close(read)
    full = os.open('/dev/full', os.O_WRONLY)
    for fds in ({1: write, 2: write}, {1: full, 2: full}):
        with root.target(root.alice) as target:
            assert kind.run(root, target, 0, 500000, 1, fds=fds).code != 0
            unmapped(target)
            assert kind.run(root, target, 0, 100000, 1, fds=fds).code == 0
    os.close(write)
    os.close(full)


class Sandbox:
    """A user's own user, mount and pid namespace with a /proc that he mounted; `prepare` runs in it as its root.

    `first`: a fd of its /proc/1 as seen inside; its process 1 waits. Who owns it: the user.
    """

    def __init__(self, root, prepare):
        ready_read, ready_write = os.pipe()
        go_read, go_write = os.pipe()
        up_read, up_write = os.pipe()
        self.outer = os.fork()
        if self.outer == 0:
            root.alice.become()
            unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID)
            os.write(up_write, b'u')
            os.read(go_read, 1)
            child = os.fork()
            if child == 0:
                try:
                    mount(None, '/', None, MS_REC | MS_PRIVATE)
                    mount('proc', '/proc', 'proc')
                    # Process 1 of the sandbox makes a namespace of its own, to be mapped.
                    inner = os.fork()
                    if inner == 0:
                        while True:
                            signal.pause()
                    prepare(inner)
                    os.write(ready_write, str(inner).encode())
                    while True:
                        signal.pause()
                except BaseException as error:  # noqa
                    os.write(ready_write, f'x{error}'.encode())
                os._exit(1)
            os.waitpid(child, 0)
            os._exit(0)
        os.close(ready_write)
        os.read(up_read, 1)
        for name, ident in (('uid_map', root.alice.uid), ('gid_map', root.alice.gid)):
            with open(f'/proc/{self.outer}/{name}', 'w') as file:
                file.write(f'0 {ident} 1')
        os.write(go_write, b'g')
        said = os.read(ready_read, 4096).decode()
        assert said.isdigit(), said
        with open(f'/proc/{self.outer}/task/{self.outer}/children') as file:
            self.first = int(file.read())
        self.proc = os.open(f'/proc/{self.first}/root/proc', os.O_RDONLY | os.O_DIRECTORY)
        self.inner = os.open(said, os.O_RDONLY | os.O_DIRECTORY, dir_fd=self.proc)


@both('IM-OPEN: a user\'s own procfs with a file bound over the map is refused and the file stays as it was')
def _(root, kind):
    bait = f'{root.tmp}/home/alice/bait-{kind.which}'
    root.write(bait, 'untouched', owner=(root.alice.uid, root.alice.gid), mode=0o666)

    def cover(pid):
        mount(bait, f'/proc/{pid}/{kind.map_file}', None, MS_BIND)
    box = Sandbox(root, cover)
    refused(kind.run(root, 'fd:5', 0, 100000, 1, fds={5: box.inner}), 'IM-OPEN')
    assert open(bait).read() == 'untouched'


@both('IM-PROC: a directory of the user\'s own making that has all the files of a process is refused, and none is written')
def _(root, kind):
    with root.target(root.alice) as target:
        fake = f'{root.tmp}/home/alice/fake-{kind.which}'
        os.makedirs(f'{fake}/ns')
        os.symlink(f'/proc/{target.pid}/ns/user', f'{fake}/ns/user')
        for name, text in (('status', 'State:\tS\nTgid:\t1\nPid:\t1\n'), ('setgroups', 'allow\n'), (kind.map_file, '')):
            root.write(f'{fake}/{name}', text, owner=(root.alice.uid, root.alice.gid), mode=0o666)
        os.chown(fake, root.alice.uid, root.alice.gid)
        directory = os.open(fake, os.O_RDONLY)
        refused(kind.run(root, 'fd:5', 0, 100000, 1, fds={5: directory}), 'IM-PROC')
        os.close(directory)
        assert open(f'{fake}/{kind.map_file}').read() == '', 'it wrote to a file that is not of procfs'
        assert open(f'{fake}/setgroups').read() == 'allow\n'


@both('a user\'s own procfs with a file or directory bound over status, setgroups or ns is refused')
def _(root, kind):
    bait = f'{root.tmp}/home/alice/status-{kind.which}'
    root.write(bait, 'Name:\tx\nState:\tS\nTgid:\t1\nPid:\t1\nUid:\t0\n', owner=(root.alice.uid, root.alice.gid))
    for name in ('status', 'ns') + (('setgroups',) if kind.which == 'gid' else ()):
        def cover(pid):
            mount('/etc' if name == 'ns' else bait, f'/proc/{pid}/{name}', None, MS_BIND)
        box = Sandbox(root, cover)
        done = kind.run(root, 'fd:5', 0, kind.own(root.alice), 1, fds={5: box.inner})
        assert done.code == 1 and '[IM-' in done.err, (name, done)


@both('another process bound over a process in a user\'s own procfs is seen as what it is')
def _(root, kind):
    # alice binds a directory of her own choice over /proc/N: the fd that is passed then is of that directory.
    def cover(pid):
        mount('/proc/1', f'/proc/{pid}', None, MS_BIND)
    box = Sandbox(root, cover)
    done = kind.run(root, 'fd:5', 0, 100000, 1, fds={5: box.inner})
    # Process 1 of the sandbox lives in the sandbox's own namespace, which is mapped already.
    refused(done, 'IM-WRITE')


@both('a /proc/PID directory of a nested pid namespace names the process itself')
def _(root, kind):
    def inside():
        with root.target(root.alice) as target:
            directory = os.open(f'/proc/{target.pid}', os.O_RDONLY)
            granted(kind.run(root, 'fd:5', 0, 100000, 1, fds={5: directory}))
            assert kind.map(target) == [(0, 100000, 1)]
    in_pid_namespace(inside)


@both('many supplementary groups change nothing')
def _(root, kind):
    member = root.alice.but(groups=list(range(300000, 301000)))
    with root.target(root.alice) as target:
        granted(kind.run(root, target, 0, 100000, 1, user=member))


@both('a hard link to the program elsewhere is the program')
def _(root, kind):
    there = f'{os.path.dirname(kind.program(root))}/linked-{kind.name}'
    os.link(kind.program(root), there)
    with root.target(root.alice) as target:
        granted(root.run([there, target.pid, 0, 100000, 1], root.alice))
    os.unlink(there)


if __name__ == '__main__':
    main()
