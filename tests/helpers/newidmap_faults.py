#!/usr/bin/env python3
"""newuidmap and newgidmap: every system call of a run made to fail in turn.

Each run does the whole of the right thing, or ends with a failure that it gives a reason for and maps nothing. The
faults are put in by this program as the tracer (root, so that the setuid bit works), which can count calls over all of
their names; what `strace -e inject` does, it does by the same means.
"""

import errno
import itertools
import os
import re
import signal

from newidmap import KINDS, refused
from harness import SYSCALL, Result, cases, main, spawn, trace

ERRORS = (errno.EPERM, errno.ENOMEM, errno.EINTR)
NEVER_FAIL = {231, 12}  # exit_group; brk, which returns a break and no error
CLOSE_RANGE = 436  # among the first calls of main
NAMES = {0: 'read', 1: 'write', 3: 'close', 5: 'fstat', 7: 'poll', 8: 'lseek', 9: 'mmap', 10: 'mprotect', 12: 'brk',
         13: 'rt_sigaction', 14: 'rt_sigprocmask', 17: 'pread64', 38: 'setitimer', 44: 'sendto', 89: 'readlink',
         102: 'getuid', 116: 'setgroups', 117: 'setresuid', 125: 'capget', 126: 'capset', 157: 'prctl', 257: 'openat',
         262: 'newfstatat', 302: 'prlimit64', 436: 'close_range', 437: 'openat2'}


def name_of(number):
    return NAMES.get(number, f'call {number}')


def calls_of(root, kind, target, numbers):
    seen = []
    trace(spawn([kind.program(root), target.pid, *numbers], root.alice, traced=True),
          lambda stop: seen.append(stop.number))
    return seen


def run_with(root, kind, target, numbers, at, result):
    """The run with its at-th call answered by `result`, and what that call was."""
    count, hit = itertools.count(), []

    def fault(stop):
        if next(count) == at:
            hit.append(stop.number)
            return Result(result)
        return None
    done = trace(spawn([kind.program(root), target.pid, *numbers], root.alice, traced=True), fault)
    return done, hit[0] if hit else None


def telling(calls):
    """Indices of the calls to try. Of a long run of the same call (signals, bounding set) the first and last two."""
    for _, group in itertools.groupby(enumerate(calls), key=lambda call: call[1]):
        indices = [at for at, number in group if number not in NEVER_FAIL]
        yield from indices if len(indices) < 6 else indices[:2] + indices[-2:]


def judge(kind, target, done, wanted, told):
    mapped, other = kind.map(target), (target.gid_map() if kind.which == 'uid' else target.uid_map())
    assert other == [], f'{told}: the other map was touched'
    if done.code == 0:
        assert mapped == wanted, f'{told}: success, but mapped {mapped}: {done}'
    elif done.code == -signal.SIGABRT:
        # A capability that can't be lowered ends the process at once, whatever was done before.
        assert mapped in ([], wanted), f'{told}: mapped {mapped}: {done}'
    else:
        assert mapped == [], f'{told}: failed, but mapped {mapped}: {done}'


@cases([(f'{kind.name}: each system call of a {what} fails in turn', kind, outside, owner) for kind in KINDS
        for what, outside, owner in (('grant', 100000, 'alice'), ('refused range', 200000, 'alice'),
                                     ('refused target', 100000, 'bob'))])
def _(root, kind, outside, owner):
    numbers, user = (0, outside, 10), getattr(root, owner)
    may = outside == 100000 and owner == 'alice'
    wanted = [(0, outside, 10)] if may else []
    errors = ERRORS if may else (errno.ENOENT,)
    with root.target(user) as target:
        calls = calls_of(root, kind, target, numbers)
    main_at = calls.index(CLOSE_RANGE)
    injected, survived, silent = 0, 0, []
    for at in telling(calls):
        number = calls[at]
        for error in errors if at > main_at - 10 else errors[:1]:
            with root.target(user) as target:
                done, hit = run_with(root, kind, target, numbers, at, -error)
                told = f'{name_of(number)} (call {at} of {len(calls)}) with {errno.errorcode[error]}'
                assert hit == number, f'{told}: the run is not the same each time ({hit})'
                judge(kind, target, done, wanted, told)
                if done.code != 0 and not done.err.strip():
                    silent.append((at, told))
                if not may:
                    assert done.code != 0, f'{told}: a refusal became a grant: {done}'
                injected += 1
                survived += done.code == 0
    # Where stderr itself is what fails there is nobody to tell; before main it is the loader's to say why.
    quiet = [told for at, told in silent if at > main_at - 10 and not told.startswith('write ')]
    assert not quiet, quiet
    return f'{injected} faults in the {len(calls)} calls of a run, {survived} survived'


# What fails: a call, and an expression for the file or the path that it is about.
SPEAKING = [('IM-WRITE', 'write', '_map$', 'newuidmap'), ('IM-WRITE', 'write', '_map$', 'newgidmap'),
            ('IM-SETGROUPS', 'write', 'setgroups$', 'newgidmap'), ('IM-SETGROUPS', 'read', 'setgroups$', 'newgidmap'),
            ('IM-SETGROUPS', 'openat2', '^setgroups$', 'newgidmap'), ('SU-READ', 'read', '/etc/nsswitch.conf$', 'newgidmap'),
            ('SU-READ', 'read', '/etc/subuid$', 'newuidmap'), ('SU-READ', 'read', '/etc/subgid$', 'newgidmap'),
            ('IM-PROC', 'openat2', r'^/proc/\d+$', 'newuidmap'), ('IM-PROC', 'read', r'/fdinfo/\d+$', 'newuidmap'),
            ('IM-OPEN', 'openat2', '^uid_map$', 'newuidmap')]


def is_about(stop, what):
    if stop.number == SYSCALL['openat2']:
        subject = stop.memory(stop.args[1], 64).split(b'\0')[0].decode()
    else:
        subject = os.readlink(f'/proc/{stop.pid}/fd/{stop.args[0]}')
    return re.search(what, subject)


@cases([(f'{program}: {rule} speaks where {call} of {what.strip("^$")} fails', rule, SYSCALL[call], what, program)
        for rule, call, what, program in SPEAKING])
def _(root, rule, number, what, program):
    (kind,) = [kind for kind in KINDS if kind.name == program]

    def fault(stop):
        return Result(-errno.EIO) if stop.number == number and is_about(stop, what) else None
    with root.target(root.alice) as target:
        # Without a delegated gid setgroups(2) has to be denied first.
        outside = kind.own(root.alice) if rule == 'IM-SETGROUPS' else 100000
        argv = [kind.program(root), 'fd:6', 0, outside, 1]
        refused(trace(spawn(argv, root.alice, traced=True, fds={6: target.pidfd}), fault), rule,
                *(['cannot open'] if what == '^setgroups$' else []))
        assert kind.map(target) == []


@cases([(f'{kind.name}: a short read at any place is not a wrong answer', kind) for kind in KINDS])
def _(root, kind):
    for outside, wanted in ((100000, [(0, 100000, 10)]), (200000, [])):
        with root.target(root.alice) as target:
            calls = calls_of(root, kind, target, (0, outside, 10))
        for at, number in enumerate(calls):
            if number not in (0, 17):
                continue
            with root.target(root.alice) as target:
                done, _ = run_with(root, kind, target, (0, outside, 10), at, 0)
                judge(kind, target, done, wanted, f'read (call {at}) of nothing')


@cases([(f'{kind.name}: PR-DROP: a drop that the kernel only pretends to make is found out', kind) for kind in KINDS])
def _(root, kind):
    pretended, found = 0, 0
    setresuid, capset = 117, 126
    with root.target(root.alice) as target:
        calls = calls_of(root, kind, target, (0, 100000, 10))
    for at, number in enumerate(calls):
        if number not in (setresuid, capset):
            continue
        with root.target(root.alice) as target:
            done, _ = run_with(root, kind, target, (0, 100000, 10), at, 0)
            judge(kind, target, done, [(0, 100000, 10)], f'{name_of(number)} (call {at}) pretended')
            pretended += 1
            found += done.code != 0
    assert found >= 3, f'{found} of {pretended}'
    return f'{pretended} pretended drops, {found} ended the run'


# A kernel that says a call was made and makes it not: what is answered to which call of a run, by number.
LIES = [('uids that stay are seen, though they cannot be undone', 117, {0: 0, 1: -errno.EPERM}),
        ('capabilities that stay are seen, though they cannot be undone', 126, {0: 0, 1: -errno.EPERM, 2: -errno.EPERM})]


@cases([(f'newuidmap: PR-DROP: {what}', call, answers) for what, call, answers in LIES])
def _(root, call, answers):
    count = itertools.count()

    def lie(stop):
        answer = answers.get(next(count)) if stop.number == call else None
        return None if answer is None else Result(answer)
    kind = KINDS[0]
    with root.target(root.alice) as target:
        done = trace(spawn([kind.program(root), target.pid, 0, 100000, 1], root.alice, traced=True), lie)
        refused(done, 'PR-DROP', 'still there after it was dropped')
        assert kind.map(target) == []


if __name__ == '__main__':
    main()
