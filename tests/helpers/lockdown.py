#!/usr/bin/env python3
"""The lock that the helpers put on themselves before they act, and what each of them calls.

The exploits run in a program that is locked by the same code and filters. What runs call is compared with the tables of
common/generate/lockdown_profile.h and of tests/evidence/system-calls.md.
"""

import ctypes
import fcntl
import os
import re
import shutil
import signal
import socket
import struct
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cgroups import Cgroups
from harness import CAP, ROOT, SYSCALL, Result, case, cases, libc, main, skip, spawn, status_of, trace, wait_for
from net_host import Container, Host
from newidmap import KINDS, both, granted, refused

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))
sys.path.insert(0, TOP + '/tests/arch')
from libc_calls import AFTER_THE_LOCK  # noqa: E402
cgroups = Cgroups.become_tenant()


def attempt(root, who, what, user=None):
    program = f'{root.tmp}/lockdown-exploit'
    if not os.path.exists(program):
        root.copy_program(f'{root.build}/tests/helpers/lockdown-exploit', program, None)
    return root.run([program, who, what], user or ROOT)


X86_64, CPUS = 62, {3: 'x86', 62: 'x86_64'}  # elf.h; those whose programs can run here


def machine_of(program):
    with open(program, 'rb') as file:
        return struct.unpack_from('<H', file.read(20), 18)[0]


def stop_by_register(root):
    if machine_of(root.program('userns-cgroup')) != X86_64:
        skip('stops at calls by their numbers, which are those of x86_64')


POSSIBLE = {'newidmap': ('nothing', 'write', 'allocate'),
            'net': ('nothing', 'write', 'allocate', 'keepcaps', 'setresuid-down'),
            'cgroup': ('nothing', 'write', 'allocate', 'setresuid-down', 'openat2-in-tree', 'rmdir-in-tree')}
OF_SOME = set().union(*POSSIBLE.values())
# What a filter cannot tell from the same call in the tree: Landlock's part.
LANDLOCKS = {'cgroup': ('openat2', 'rmdir')}
KILLED = ('open', 'openat2', 'exec', 'execveat', 'socket', 'connect', 'setuid', 'setresuid', 'setresuid-wide', 'setgid',
          'setgroups', 'fork', 'clone3', 'kill', 'ptrace', 'unshare', 'setns', 'mount', 'map-code', 'make-code', 'dumpable',
          'prctl-wide', 'terminal', 'chmod', 'unlink', 'rmdir', 'io_uring', 'bpf', 'x32', 'i386')


@cases([(f'{who}: what the act needs is possible: {what}', who, what) for who, all in POSSIBLE.items() for what in all])
def _(root, who, what):
    assert attempt(root, who, what).code == 0


@cases([(f'{who}: an exploit that tries {what} is killed, as root', who, what) for who, possible in POSSIBLE.items()
        for what in (*KILLED, *(OF_SOME - set(possible))) if what not in LANDLOCKS.get(who, ())])
def _(root, who, what):
    if what in ('x32', 'i386') and machine_of(f'{root.build}/tests/helpers/lockdown-exploit') != X86_64:
        skip('programs of this CPU have no other table of system calls to try')
    if what == 'i386' and attempt(root, 'files', what).code == -signal.SIGSEGV:
        skip('this kernel has no system calls of i386: int 0x80 is a fault without any filter')
    done = attempt(root, who, what)
    assert done.code == -signal.SIGSYS, done


def landlock():
    return libc.syscall(444, None, ctypes.c_size_t(0), 1) >= 1


@cases([(f'Landlock alone: {what} is refused, as root', what) for what in ('open', 'openat2', 'exec', 'unlink')])
def _(root, what):
    if not landlock():
        skip('this kernel has no Landlock, or has it switched off')
    assert attempt(root, 'files', 'write').code == 0
    done = attempt(root, 'files', what)
    assert done.code == 1, done


@cases([(f'{who}: Landlock refuses {what} outside of the tree, as root', who, what) for who, all in LANDLOCKS.items() for what in all])
def _(root, who, what):
    if not landlock():
        skip('this kernel has no Landlock, or has it switched off')
    done = attempt(root, who, what)
    assert done.code == 1, done


# --- the helpers themselves -----------------------------------------------------------------

LOCK = 157  # prctl
PR_SET_SECCOMP = 22


@both('the filter is there, and Landlock where the kernel has it, before the map is written')
def _(root, kind):
    stop_by_register(root)
    at_write = []

    def look(stop):
        if stop.number == SYSCALL['write'] and stop.memory(stop.args[1], 2) == b'0 ':
            at_write.append(status_of(stop.pid))
    with root.target(root.alice) as target:
        granted(trace(spawn([kind.program(root), target.pid, 0, 100000, 10], root.alice, traced=True), look))
    (status,) = at_write
    assert status['Seccomp'] == '2' and status['Seccomp_filters'] == '1', status


@both('PR-LOCK: without the filter nothing is written')
def _(root, kind):
    stop_by_register(root)

    def refuse(stop):
        return Result(-22) if stop.number == LOCK and stop.args[0] == PR_SET_SECCOMP else None
    with root.target(root.alice) as target:
        done = trace(spawn([kind.program(root), target.pid, 0, 100000, 10], root.alice, traced=True), refuse)
        refused(done, 'PR-LOCK')
        assert kind.map(target) == []


# --- what each helper calls -----------------------------------------------------------------

def allowed(name):
    """The calls of one table of common/generate/lockdown_profile.h."""
    with open(f'{TOP}/common/generate/lockdown_profile.h') as file:
        (body,) = re.findall(rf'{name}\[\] = {{(.*?)}};', file.read(), re.S)
    return set(re.findall(r'{"(\w+)"', body))


def stated(program):
    """The calls of tests/evidence/system-calls.md: ({before the lock}, {after it})."""
    with open(f'{TOP}/tests/evidence/system-calls.md') as file:
        section = file.read()
    for row in re.findall(r'^\|(.*)\|$', section, re.M):
        cells = [cell.strip() for cell in row.split('|')]
        if program in re.findall(r'`([\w-]+)`', cells[0]):
            return tuple(set(re.findall(r'\w+', cell)) for cell in cells[1:3])
    raise AssertionError(f'tests/evidence/system-calls.md has no system calls of {program}')


def traced(root, argv, **how):
    """(calls before the lock, calls after it) of a run by alice and its children; before main() counts too."""
    log = f'{root.tmp}/calls'
    done = root.run(['/usr/bin/strace', '-f', '-qq', '-o', log, '-u', 'alice', *argv], ROOT, **how)
    with open(log) as file:
        lines = file.readlines()
    before, after = set(), set()
    # A child of a locked process is locked; only userns-idmap makes one, by a call that nothing else makes.
    locked = {child[1] for line in lines if (child := re.search(r'clone3.*= (\d+)$', line))}
    for line in lines:
        if call := re.match(r'(\d+) +(\w+)\(', line):
            (after if call[1] in locked else before).add(call[2])
            if 'PR_SET_SECCOMP' in line:
                locked.add(call[1])
    return done, before, after


def compare_elsewhere(cpu, program, after):
    """tests/evidence/system-calls.md has the names of x86_64; of others there is a record, which tests/arch holds against their filters."""
    through = {'send', 'recv', 'sendto', 'recvfrom', 'getsockopt', 'sendmsg'} if cpu == 'x86' else set()
    after = {f'socketcall.{call}' if call in through else call for call in after}
    assert after == set(AFTER_THE_LOCK[cpu].get(program, ())), f'{program} after the lock on {cpu}: {sorted(after)}'
    return f'{program}: {len(after)} after the lock, on {cpu}'


def compare(root, program, runs, *tables):
    """What runs called is what tests/evidence/system-calls.md and the filter say; after the lock no less and no more."""
    before, after = set().union(*(b for _, b, _ in runs)), set().union(*(a for _, _, a in runs))
    cpu = CPUS[machine_of(root.program(program))]
    if cpu != 'x86_64':
        return compare_elsewhere(cpu, program, after)
    assert after <= set().union(*map(allowed, tables)) if tables else not after, after
    # glibc 2.36 asks an open file's facts by newfstatat(2), 2.41 by fstat(2).
    before, after = ({'newfstatat' if call == 'fstat' else call for call in calls} for calls in (before, after))
    said_before, said_after = stated(program)
    assert before <= said_before, f'tests/evidence/system-calls.md does not say of {program}: {sorted(before - said_before)}'
    assert after == said_after, f'{program} after the lock: {sorted(after)}; tests/evidence/system-calls.md says {sorted(said_after)}'
    # What NSS modules and the loader do before the lock differs between hosts.
    unseen = f" (not here: {' '.join(sorted(said_before - before))})" if said_before - before else ''
    return f'{program}: {len(before)} before the lock{unseen}, {len(after)} after it'


@both('its runs make the system calls that tests/evidence/system-calls.md lists, and no others')
def _(root, kind):
    runs, program = [], kind.program(root)

    def run(*words, user=None, **how):
        with root.target(user or root.alice) as target:
            given = [word(target) if callable(word) else word for word in words]
            fds = {number: getattr(target, which) for number, which in how.pop('fds', {}).items()}
            runs.append(traced(root, [program, *given], fds=fds, **how))
    pid = lambda target: target.pid  # noqa: E731
    run(pid, 0, 100000, 65536)
    run(pid, 0, kind.own(root.alice), 1)
    run('fd:9', 0, 100000, 10, fds={9: 'dirfd'})
    run('fd:9', 0, 100000, 10, fds={9: 'pidfd'})
    run(pid, 0, 500000, 10)
    run(pid, 0, 100000, 10, user=root.bob)
    run('--version')
    run('x')
    run(2**22 + 1, 0, 1, 1)
    run(pid, 0, 100000, 10, rlimits={0: 10, 7: (100, 200)})
    os.symlink(kind.file + '.real', kind.file + '.link')
    shutil.move(kind.file, kind.file + '.real')
    os.rename(kind.file + '.link', kind.file)
    run(pid, 0, 100000, 10)
    os.rename(kind.file + '.real', kind.file)
    root.write('/etc/nsswitch.conf', 'passwd: files\nsubid: nowhere\n')
    run(pid, 0, 100000, 10)
    return compare(root, kind.name, runs, 'kAllMay', 'kNewidmapMay')


def unlocks_when(log, word, fd):
    """A thread that holds the lock of fd until `word` is in the file `log`."""
    fcntl.flock(fd, fcntl.LOCK_EX)

    def watch():
        wait_for(lambda: os.path.exists(log) and word in open(log).read(), word)
        fcntl.flock(fd, fcntl.LOCK_UN)
    watcher = threading.Thread(target=watch)
    watcher.start()
    return watcher


# Before the host of the network's test, which has mounts of its own.
def locked_at_refusal(root, argv):
    """Whether the process that wrote its refusal to stderr was under its filter."""
    stop_by_register(root)
    locked = []

    def look(stop):
        if stop.number == SYSCALL['write'] and stop.args[0] == 2:
            locked.append(status_of(stop.pid)['Seccomp'])
    done = trace(spawn(argv, root.alice, traced=True), look)
    assert done.code != 0 and done.err and locked, done
    return set(locked) == {'2'}


WORDS = {'userns-cgroup release': (['release', '../x'], ['release', 'x', 'y'], ['release']),
         'userns-cgroup list': (['list', '--xml'], ['lists'], []),
         'userns-net': (['add', '--netns', 'fd:1', '--bridge', 'br 0'], ['del', '..'], ['ad'], []),
         'userns-idmap': (['--source', 'x', '--userns', '1', '--to', 'fd:1'], []),
         'newuidmap': (['1', '0', '0x10', '1'], ['1', '0'], [])}


@cases([(f'{who}: what is wrong with its words is found behind the lock', who, all) for who, all in WORDS.items()])
def _(root, who, all):
    if who.startswith('userns-cgroup') and cgroups.why_not:
        skip(cgroups.why_not)
    name = who.split()[0]
    program = root.newuidmap if name == 'newuidmap' else root.program(name)
    root.write('/etc/userns/cgroup.conf', f'base = {cgroups.v2}\nalice containers=4\n')
    for words in all:
        assert locked_at_refusal(root, [program, *words]), words


@cases([(f'userns-cgroup {words[0]}: what is wrong with cgroup.conf is found behind the lock', words) for words in (['release', 'x'], ['list'])])
def _(root, words):
    if cgroups.why_not:
        skip(cgroups.why_not)
    for text in ('alice nonsense\n', 'base = relative\n', 'base = /\nalice containers=4\n'):
        root.write('/etc/userns/cgroup.conf', text)
        assert locked_at_refusal(root, [root.program('userns-cgroup'), *words]), text


@case('userns-cgroup release: once it knows its base it can read no file elsewhere')
def _(root):
    if cgroups.why_not:
        skip(cgroups.why_not)
    cgroups.begin(root, '@alice containers=1')
    calls = []

    def look(stop):
        if stop.number in (SYSCALL['openat2'], SYSCALL['landlock_restrict_self']):
            calls.append('open' if stop.number == SYSCALL['openat2'] else 'narrow')
    done = trace(spawn([root.program('userns-cgroup'), 'release', 'x'], root.alice, traced=True), look)
    assert '[CG-GONE]' in done.err, done
    first = calls.index('narrow')
    assert calls[first:].count('narrow') == 2 and 'open' in calls[first:], calls


@case('userns-cgroup enter parses its words without a lock: the case above can fail')
def _(root):
    if cgroups.why_not:
        skip(cgroups.why_not)
    assert not locked_at_refusal(root, [root.program('userns-cgroup'), 'enter', '../x', '--', '/bin/true'])


@case('PR-LOCK: without the filter userns-cgroup removes and lists nothing; enter needs none')
def _(root):
    stop_by_register(root)
    cgroups.begin(root, '@alice containers=1')
    program = root.program('userns-cgroup')
    assert root.run([program, 'enter', 'one', '--', '/bin/true'], root.alice).code == 0
    box = f'{cgroups.v2}/{root.alice.uid}/one'
    for words in (['release', 'one'], ['list']):
        held = []

        def refuse(stop):
            if stop.number == LOCK and stop.args[0] == PR_SET_SECCOMP:
                held.append([status_of(stop.pid)[what] for what in ('CapPrm', 'NoNewPrivs')])
                return Result(-22)
        done = trace(spawn([program, *words], root.alice, traced=True), refuse)
        assert held == [[f'{1 << CAP["dac_override"] | 1 << CAP["setuid"] | 1 << CAP["audit_write"]:016x}', '1']], held
        assert done.code == 125 and '[PR-LOCK]' in done.err and done.out == '' and os.path.exists(box), done


@case('userns-cgroup: its runs make the system calls that tests/evidence/system-calls.md lists, and no others; enter is not locked')
def _(root):
    limits = ' '.join(limit for c, limit in (('pids', 'pids.max=50'), ('cpuset', 'cpuset.cpus=0')) if c in cgroups.v1)
    cgroups.begin(root, f'@alice containers=1 {limits}')
    program, runs = root.program('userns-cgroup'), []
    for words in (['enter', 'one', '--', '/nonexistent/command'], ['enter', 'two', '--', '/nonexistent/command']):
        runs.append(traced(root, [program, *words]))
    assert not any(after for _, _, after in runs)
    node = os.open(f'{cgroups.v2}/{root.alice.uid}', os.O_RDONLY)
    for words in (['list', '--json'], ['release', 'two'], ['release', 'two'], ['x'], ['--version']):
        watcher = unlocks_when(f'{root.tmp}/calls', 'nanosleep(', node) if words == ['release', 'two'] and len(runs) == 3 else None
        runs.append(traced(root, [program, *words]))
        watcher and watcher.join()
    os.close(node)
    os.symlink(cgroups.v2, f'{root.tmp}/base')
    root.write('/etc/userns/cgroup.conf', f'base = {root.tmp}/base\nalice containers=4\n')
    runs.append(traced(root, [program, 'list']))
    return compare(root, 'userns-cgroup', runs, 'kAllMay', 'kCgroupMay')


@case('userns-idmap: its runs make the system calls that tests/evidence/system-calls.md lists, and no others')
def _(root):
    import idmap
    idmap.two_blocks(root)
    tree, runs = idmap.make_tree(root, 'locked'), []
    with idmap.Namespace(root, root.alice, [(idmap.DISK, idmap.SHOWN, idmap.BLOCK)]) as target:
        for words in (['--source', 'fd:3', '--userns', 'fd:4', '--to', 'fd:5'], ['--source', 'fd:3', '--userns', target.pid, '--to', 'fd:5', '--read-only'],
                      ['--source', 'fd:3', '--userns', 'fd:6', '--to', 'fd:5'], ['--source', 'fd:4', '--userns', 'fd:4', '--to', 'fd:5'],
                      ['--source', 'fd:3', '--userns', 'fd:4', '--to', 'fd:3'], ['--version'], ['x']):
            ours, theirs = socket.socketpair()
            directory = os.open(tree, os.O_PATH)
            runs.append(traced(root, [root.program('userns-idmap'), *words], fds={3: directory, 4: target.dirfd, 5: theirs.fileno(), 6: target.pidfd}))
            for end in ours, theirs:
                end.close()
            os.close(directory)
    return compare(root, 'userns-idmap', runs, 'kAllMay', 'kIdmapMay')


@case('userns-net: its runs make the system calls that tests/evidence/system-calls.md lists, and no others')
def _(root):
    host = Host(root)
    host.conf('@alice veth br0 2 mac=any\n')
    runs = []

    def run(*words, **how):
        runs.append(traced(root, [host.helper, *words], **how))
    with Container(root.alice) as c, Container(root.bob) as other:
        run('add', '--netns', f'pid:{c.pid}', '--bridge', 'br0')
        run('add', '--netns', 'fd:9', '--bridge', 'br0', '--mac', '02:00:00:00:00:09', fds={9: c.netns})
        run('add', '--netns', 'pidfd:9', '--bridge', 'br0', fds={9: c.pidfd})
        run('add', '--netns', f'pid:{other.pid}', '--bridge', 'br0')
        run('add', '--netns', f'pid:{c.pid}', '--bridge', 'nowhere')
        for port in host.ports():
            run('del', port)
        run('del', 'u00000000000000')
        run('x')
        run('--version')
    return compare(root, 'userns-net', runs, 'kAllMay', 'kNetMay')


if __name__ == '__main__':
    main()
