#!/usr/bin/env python3
"""Users who fight userns-cgroup: races in the delegated tree, huge trees, many at once, and every system call failing."""

import collections
import fcntl
import os
import re
import resource
import shutil
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cgroups import Cgroups, below, pids_in  # noqa: E402
from harness import case, ends_when_killed_by, full_pipe, main, prctl, spawn, status_of, wait_for  # noqa: E402

LIBRARIES = '/usr/lib/x86_64-linux-gnu'
PR_SET_TIMERSLACK = 29

cgroups = Cgroups.become_tenant()


def setup(root, lines):
    cgroups.begin(root, lines)


def enter(root, name, command, user=None, **how):
    return root.run([root.program('userns-cgroup'), 'enter', name, '--', *command], user or root.alice, **how)


def release(root, name, user=None, **how):
    return root.run([root.program('userns-cgroup'), 'release', name], user or root.alice, **how)


def box(root, name='web'):
    return f'{cgroups.v2}/{root.alice.uid}/{name}'


def python(text):
    return ['/usr/bin/python3', '-c', text]


@case('10,000 nested directories are tried: the kernel stops at depth=, and release removes what there is')
def _(root):
    setup(root, 'alice descendants=20000 depth=64')
    dive = (f'import os\nos.chdir("{box(root)}")\nmade = 0\n'
            'try:\n  for i in range(10000):\n    os.mkdir("d"); os.chdir("d"); made += 1\n'
            'except OSError as error: print(made, error.strerror)')
    done = enter(root, 'web', python(dive))
    assert done.out == '63 Resource temporarily unavailable\n', done
    assert release(root, 'web').code == 0
    assert cgroups.left() == []


@case('10,000 directories side by side are released, and descendants= stops one more')
def _(root):
    setup(root, 'alice descendants=10001 depth=64')
    widen = (f'import os\nos.chdir("{box(root)}")\nmade = 0\n'
             'try:\n  for i in range(20000):\n    os.mkdir(f"d{i}"); made += 1\n'
             'except OSError as error: print(made, error.strerror)')
    done = enter(root, 'web', python(widen), timeout=120)
    assert done.out == '10000 Resource temporarily unavailable\n', done
    assert release(root, 'web', timeout=120).code == 0
    assert cgroups.left() == []


@case('directories whose names begin with dots or are odd otherwise are released, and swept, like others')
def _(root):
    setup(root, 'alice containers=1')
    names = ('.a', '..b', '...', '.a/.b', ' ', '\t', '-', '\\', '%s', 'cgroup.x', 'ä', 'x' * 255)
    fill = python(f'import os\nfor name in {names!r}: os.mkdir("{box(root)}/" + name)')
    assert enter(root, 'web', fill).code == 0
    assert release(root, 'web').code == 0 and cgroups.left() == []
    assert enter(root, 'web', fill).code == 0
    assert enter(root, 'next', ['/bin/true']).code == 0
    assert release(root, 'next').code == 0 and cgroups.left() == []


@case('who makes, removes, renames and links in the tree while release walks it leads it nowhere else')
def _(root):
    setup(root, '* containers=4')
    victim = f'{cgroups.v2}/{root.bob.uid}/victim'
    assert enter(root, 'victim', ['/bin/mkdir', '-p', victim + '/a/b'], root.bob).code == 0
    storm = (f'import os\nos.chdir("{box(root)}")\n'
             'def tried(f, *args):\n  try: f(*args)\n  except OSError: pass\n'
             'while True:\n  for n in "abc":\n'
             '    tried(os.mkdir, n); tried(os.mkdir, n + "/x"); tried(os.mkdir, n + "/x/y")\n'
             f'    tried(os.symlink, "{victim}", n + "/link"); tried(os.symlink, "{victim}", n)\n'
             '    tried(os.rename, n, n + "2"); tried(os.rename, n + "/x", "c"); tried(os.chmod, n, 0)\n'
             f'    tried(os.link, "{victim}", "l"); tried(os.rmdir, n + "/x/y"); tried(os.chmod, n, 0o777)\n'
             '    tried(os.rmdir, n + "/x"); tried(os.rmdir, n)\n')
    outcomes = collections.Counter()
    for _ in range(20):
        assert enter(root, 'web', ['/bin/true']).code == 0
        racers = [spawn(python(storm), root.alice) for _ in range(2)]
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            done = release(root, 'web')
            outcomes[done.code] += 1
            if done.code == 0:
                enter(root, 'web', ['/bin/true'])
        for racer in racers:
            racer.kill()
            racer.wait()
        assert os.path.isdir(victim + '/a/b')
    wait_for(lambda: release(root, 'web').code in (0, 125) and not os.path.exists(box(root)), 'the last release')
    assert sorted(cgroups.left()) == sorted(below(victim)), cgroups.left()
    return f'{outcomes[0]} releases got through, {outcomes[125]} were refused'


@case('concurrent enter and release of one name, 100 rounds: each works whole or is refused whole')
def _(root):
    setup(root, 'alice containers=2 pids.max=100' if 'pids' in cgroups.v1 else 'alice containers=2')
    program = root.program('userns-cgroup')
    outcomes = collections.Counter()
    for _ in range(100):
        entering = [spawn([program, 'enter', 'web', '--', '/bin/cat', '/proc/self/cgroup'], root.alice) for _ in range(2)]
        releasing = [spawn([program, 'release', 'web'], root.alice) for _ in range(2)]
        for child in entering:
            done = child.wait()
            outcomes['entered' if done.code == 0 else done.err] += 1
            assert done.code == 0 and f'/{root.alice.uid}/web\n' in done.out, done
        for child in releasing:
            done = child.wait()
            rule = re.search(r'\[([A-Z-]+)\]', done.err)
            outcomes['released' if done.code == 0 else rule and rule[1]] += 1
            assert done.code == 0 or rule[1] in ('CG-GONE', 'CG-BUSY'), done
    assert outcomes['entered'] == 200 and outcomes['released'] > 0, outcomes
    release(root, 'web')
    assert cgroups.left() == [], cgroups.left()
    return str(dict(outcomes))


@case('thirty containers entered at once are thirty, at most containers= of them')
def _(root):
    setup(root, 'alice containers=20')
    program = root.program('userns-cgroup')
    children = [spawn([program, 'enter', f'c{i}', '--', '/bin/sh', '-c', 'echo in; read x'], root.alice,
                      stdin=os.open('/dev/null', os.O_RDONLY)) for i in range(5)]
    for child in children:
        child.wait()
    children = [spawn([program, 'enter', f'c{i}', '--', '/bin/sleep', '60'], root.alice) for i in range(30)]

    def settled():
        done = sum(1 for c in children if c._reap())
        return done == 10 and len(pids_in(f'{cgroups.v2}/{root.alice.uid}')) == 20
    wait_for(settled, 'twenty to run and ten to be refused', 30)
    refused = [c.wait() for c in children if c.code is not None]
    assert all(r.code == 125 and '[CG-COUNT]' in r.err for r in refused), refused


@case('a caller who freezes or kills the helper half-way blocks nobody but himself')
def _(root):
    setup(root, '* containers=4')
    done = enter(root, 'web', ['/bin/sh', '-c', f'mkdir {box(root)}/jail && echo made'])
    assert done.out == 'made\n', done
    jail = box(root) + '/jail'
    program = root.program('userns-cgroup')
    for _ in range(30):
        os.makedirs(jail, exist_ok=True)
        os.chown(jail, root.alice.uid, root.alice.gid)
        script = f'echo $$ > {jail}/cgroup.procs && exec {program} enter other -- /bin/true'
        child = spawn([program, 'enter', 'web', '--', '/bin/sh', '-c', script], root.alice)
        wait_for(lambda: child._reap() or os.path.isdir(jail) and pids_in(jail), 'the jail to be entered')
        with open(jail + '/cgroup.kill', 'w') as file:
            file.write('1')
        child.wait()
        assert enter(root, 'web', ['/bin/true'], root.bob).code == 0
        assert enter(root, 'third', ['/bin/true']).code == 0, 'his own next one works, too'
    for name in ('web', 'other', 'third'):
        release(root, name)
    release(root, 'web', root.bob)
    assert cgroups.left() == [], cgroups.left()


@case('no directory in the tree, however its owner sets its mode, keeps release out')
def _(root):
    setup(root, 'alice containers=2')
    assert enter(root, 'web', ['/bin/sh', '-c', f'cd {box(root)} && mkdir -p a/b && chmod 0 a/b a .']).code == 0
    assert enter(root, 'web', ['/bin/true']).code == 0
    assert release(root, 'web').code == 0
    assert cgroups.left() == []


@case('small rlimits refuse whole or change nothing')
def _(root):
    setup(root, 'alice containers=2')
    for which, value in ((resource.RLIMIT_NOFILE, 3), (resource.RLIMIT_NOFILE, 4), (resource.RLIMIT_NOFILE, 6),
                         (resource.RLIMIT_NOFILE, 8), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_NPROC, 0),
                         (resource.RLIMIT_CPU, 1), (resource.RLIMIT_STACK, 1 << 16), (resource.RLIMIT_DATA, 1 << 16),
                         (resource.RLIMIT_MEMLOCK, 0), (resource.RLIMIT_CORE, 0)):
        done = enter(root, 'web', ['/bin/true'], rlimits={which: value})
        if done.code != 0:
            assert done.err or done.code < 0, done
            assert cgroups.left() == [] or release(root, 'web').code == 0, (which, value, done)
        release(root, 'web')
        assert cgroups.left() == [], (which, value, done)


def faults_of(root, words, prepare):
    """Each (system call, n) of a successful run: strace counts in each process apart."""
    log = f'{root.tmp}/trace'
    prepare()
    done = strace(root, log, words)
    assert done.code == 0, done
    counts, seen, started, execs = collections.Counter(), {}, set(), 0
    with open(log) as file:
        for line in file:
            call = re.match(r'(\d+) +(\w+)\(', line)
            if not call:
                continue
            pid, name = call.groups()
            execs += name == 'execve'
            if execs > 1:
                break  # from here on it is the command
            counts[pid, name] += 1
            # The helper's first line; the loader's work before it is not ours.
            if name == 'rt_sigprocmask' or len(started) > 0:
                started.add(pid)
                seen[name, counts[pid, name]] = True
    return [fault for fault in seen if fault[0] not in ('exit_group', 'execve')]


def strace(root, log, words, inject=()):
    user = root.alice
    return root.run(['/usr/bin/strace', '-f', '-q', '-o', log, *inject, '-u', user.name, root.program('userns-cgroup'), *words],
                    timeout=60)


# What may fail without harm: the record of what is done, and what is tried as a proof or to be thorough.
ERRORS = {'mkdirat': 'ENOSPC', 'openat2': 'EMFILE', 'openat': 'EMFILE', 'write': 'EIO', 'fork': 'EAGAIN', 'clone': 'EAGAIN'}


def strike(root, words, prepare, check):
    """Every system call of the run fails in turn. check(done, call): raises where the outcome is neither whole nor none."""
    wrong, injected = [], 0
    for call, number in faults_of(root, words, prepare):
        prepare()
        error = ERRORS.get(call, 'EPERM')
        done = strace(root, '/dev/null', words, ['-e', f'inject={call}:error={error}:when={number}'])
        injected += 1
        try:
            check(done, call)
        except AssertionError as why:
            wrong.append(f'{call} #{number} ({error}): {why}')
        cgroups.clear()
    assert not wrong, '\n'.join(wrong)
    assert injected > 50, injected
    return f'{injected} faults injected'


@case('enter: every system call failing in turn leaves the command in its cgroup or nothing at all')
def _(root):
    lines = 'alice containers=2' + (' pids.max=50 memory.max=200M' if 'memory' in cgroups.v1 else '')
    setup(root, lines)

    def check(done, call):
        inside = done.out.count(f'/userns-{root.alice.uid}/web\n') == (2 if 'memory' in cgroups.v1 else 0) and (
            f'/{root.alice.uid}/web\n' in done.out)
        if done.code == 0:
            assert inside, f'ended well outside: {done}'
            return
        # The write that fails may be that of the reason.
        assert done.out == '' and (done.err or done.code < 0 or call == 'write'), done
        assert pids_in(cgroups.v2) == [], 'a process is left'
        left = cgroups.left()
        # After the last directory is entered nothing can be unmade by who has dropped his privilege.
        if 'PR-DROP' not in done.err and 'ST-EXEC' not in done.err:
            assert left == [], (left, done)
    return strike(root, ['enter', 'web', '--', '/bin/cat', '/proc/self/cgroup'], cgroups.clear, check)


@case('release: every system call failing in turn says so or has removed all')
def _(root):
    setup(root, 'alice containers=2')

    def prepare():
        cgroups.clear()
        assert enter(root, 'web', ['/bin/mkdir', '-p', box(root) + '/a/b']).code == 0

    def check(done, call):
        if done.code == 0:
            assert not os.path.exists(box(root)), done
            return
        assert done.err or done.code < 0 or call == 'write', done
        # And the next one finishes the work.
        assert release(root, 'web').code == 0 or not os.path.exists(box(root)), done
    return strike(root, ['release', 'web'], prepare, check)


@case('SU-NAME: a caller who stops the child that asks for names is refused, and nothing of root\'s is left waiting')
def _(root):
    setup(root, '* containers=3')
    root.overlay(LIBRARIES)
    # A source that does not answer, so that there is time.
    shutil.copyfile(os.path.join(root.build, 'tests', 'helpers', 'libsubid_x.so'), f'{LIBRARIES}/libnss_x.so.2')
    root.write('/etc/subid-plugin', 'pause')
    root.write('/etc/nsswitch.conf', 'passwd: x files\ngroup: files\n')
    helper = spawn([root.program('userns-cgroup'), 'enter', 'web', '--', '/bin/true'], root.alice)

    def asked():
        with open(f'/proc/{helper.pid}/task/{helper.pid}/children') as file:
            pids = [int(word) for word in file.read().split()]
        return pids and status_of(pids[0])['Uid'].split() == [str(root.alice.uid)] * 4 and pids[0]
    asker = wait_for(asked, 'the child that asks')
    assert root.run(['/bin/kill', '-STOP', asker], root.alice).code == 0
    done = helper.wait()
    assert done.code == 125 and '[SU-NAME]' in done.err, done
    wait_for(lambda: not os.path.exists(f'/proc/{asker}') or status_of(asker)['State'].startswith('Z'), 'the end of the child')


@case('CG-BUSY, ST-STATE: a caller whose timers may be late for ever waits five seconds, and the command has them as they were')
def _(root):
    setup(root, 'alice containers=3')
    late = lambda: prctl(PR_SET_TIMERSLACK, 12345678901234)  # noqa: one line
    with open('/proc/self/timerslack_ns') as file:
        before = file.read()
    done = enter(root, 'web', ['/bin/cat', '/proc/self/timerslack_ns'], before=late)
    assert done.out == '12345678901234\n' != before, done
    held = os.open(f'{cgroups.v2}/{root.alice.uid}', os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        for words in ['enter', 'web', '--', '/bin/true'], ['release', 'web']:
            done = root.run([root.program('userns-cgroup'), *words], root.alice, before=late)
            assert done.code == 125 and '[CG-BUSY]' in done.err, done
    finally:
        os.close(held)
    assert release(root, 'web').code == 0


@case('whoever does not read what it says can end it: it is a process of his by then, in his limits')
def _(root):
    setup(root, 'alice containers=3')
    enter(root, 'web', ['/bin/true'])
    for words, number in ((['list'], 1), (['--version'], 1), (['nonsense'], 2), (['release', 'none'], 2)):
        read, write = full_pipe()
        helper = spawn([root.program('userns-cgroup'), *words], root.alice, fds={number: write})
        ends_when_killed_by(root.alice, helper)
        os.close(read)
        os.close(write)


main()
