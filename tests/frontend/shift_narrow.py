#!/usr/bin/env python3
"""The plain inodes of a tree are changed by name, in a namespace that knows their owner alone: what that is worth when others are at work."""

import contextlib
import os
import random
import re
import shutil
import signal
import threading
import time

from shift_tree import A, B, TO_B, USER, acl, capability, check, exchange, expected, listing, logs, make_file, own, plain, same, shift, start, state, there
from container import well
from harness import case, main, skip, spawn, wait_for
from inside import is_zombie

CALLS = 'statx,fchownat,openat'


def traced(root, *words, inject=None):
    """Its calls by name, of all its processes."""
    record = f'{root.tmp}/calls'
    options = ['-e', f'inject={inject}'] if inject else ['-e', f'trace={CALLS}']
    well(spawn([shutil.which('strace') or skip('strace is not installed'), '-f', '-c', '-o', record, *options, root.program('userns-run'), 'shift', *words], env=state(root)).wait(120))
    with open(record) as file:
        return {words[-1]: int(words[3]) for words in map(str.split, file) if len(words) >= 5 and words[3].isdigit()}


def settled(top):
    """Its directories as if they had stood for a minute: those that change just now are left to the careful way."""
    for where, _, _ in os.walk(top):
        os.utime(where, (time.time() - 60, time.time() - 60))
    return top


@case('a plain tree costs one chown(2) for an inode and no fd; one of strangers costs more')
def _(root):
    top = settled(plain(f'{root.tmp}/tree1', 3000, A))
    calls = traced(root, top, *there(), '--jobs', 1)
    assert calls['statx'] < 3300 and calls['openat'] < 300 and calls['fchownat'] < 3100, calls
    for at, (where, names, files) in enumerate(os.walk(top)):
        for name in files:
            own(f'{where}/{name}', A + hash(name) % 40, A + at)
    calls = traced(root, top, '--from', f'{A}:{1 << 15}', '--to', f'{B}:{1 << 15}', '--jobs', 1)
    assert calls['openat'] > 2500, calls


@case('no namespace to be had: the careful way does it all')
def _(root):
    top = plain(f'{root.tmp}/tree2', 1000, A)
    before = listing(top)
    traced(root, top, *there(), '--jobs', 1, inject='clone3:error=EPERM')
    check(top, expected(before, TO_B))


@case('two owners with most of a tree each, strangers, special bits, ACLs and capabilities among them')
def _(root):
    top = plain(f'{root.tmp}/tree3', 2000, A)
    for d in range(10):
        for i in range(50):
            own(f'{top}/d{d}/f{i}', A + 1000, A + 1000)
    make_file(f'{top}/d3/was there', B + 5, B + 6, 0o4755)
    make_file(f'{top}/d4/setuid', A, A, 0o4755)
    make_file(f'{top}/d5/capable', A, A, 0o755, caps=capability(A))
    before = listing(top)
    for jobs in (1, 2):
        well(shift(root, top, *there(), '--jobs', jobs))
        check(top, expected(before, TO_B))
        own(f'{top}/d3/was there', 0, 0)
        well(shift(root, top, *there(B, A), '--jobs', jobs))
        make_file(f'{top}/d3/was there', B + 5, B + 6, 0o4755)
        check(top, before)


class Swapper(threading.Thread):
    """Puts a user's inode in the place of root's and back, in a directory of the user's, as long as it lives."""

    def __init__(self, top, directories, files):
        super().__init__()
        self.fds = [os.open(f'{top}/d{d}', os.O_RDONLY) for d in range(directories)]
        self.files, self.ended, self.swaps, self.dice = files, threading.Event(), 0, random.Random(5)

    def run(self):
        while not self.ended.is_set():
            directory = self.dice.choice(self.fds)
            for name in self.dice.sample(range(self.files), 16):
                self.swaps += exchange(directory, f'f{name}', f'u{name}')

    def stop(self):
        self.ended.set()
        self.join()
        for fd in self.fds:
            os.close(fd)


@case('an inode that is put in the place of another while it works gets its own new owner, and no other')
def _(root):
    directories, files = 3, 400
    top = f'{root.tmp}/tree4'
    os.makedirs(top)
    own(top, A, A)
    for d in range(directories):
        os.mkdir(f'{top}/d{d}')
        own(f'{top}/d{d}', A + 1000, A + 1000)
        for i in range(files):
            make_file(f'{top}/d{d}/f{i}', A, A)
            make_file(f'{top}/d{d}/u{i}', A + 1000, A + 1000, 0o4755 if i % 50 == 0 else 0o644)
    owner = {entry.inode(): entry.stat().st_uid - A for d in range(directories) for entry in os.scandir(f'{top}/d{d}')}
    special = {entry.inode() for d in range(directories) for entry in os.scandir(f'{top}/d{d}') if entry.stat().st_mode & 0o4000}
    swapper, done = Swapper(top, directories, files), 0
    swapper.start()
    try:
        for turn in range(30):
            first, to = (A, B) if turn % 2 == 0 else (B, A)
            result = shift(root, top, *there(first, to), '--jobs', 1 + turn % 2)
            while result.code != 0:
                assert result.code == 125, result
                result = shift(root, top, '--resume') if logs(root) else shift(root, top, *there(first, to))
            for d in range(directories):
                for entry in os.scandir(f'{top}/d{d}'):
                    status = os.stat(f'/proc/self/fd/{swapper.fds[d]}/{entry.name}')
                    # A swap may take it out of the walk's sight: then it has its old owner, never another's.
                    assert status.st_uid in (owner[status.st_ino] + first, owner[status.st_ino] + to), (turn, entry.name, status)
                    done += status.st_uid == owner[status.st_ino] + to
    finally:
        swapper.stop()
    assert not logs(root)
    well(shift(root, top, *there(B, A)))
    well(shift(root, top, *there(A, B)))
    for d in range(directories):
        for entry in os.scandir(f'{top}/d{d}'):
            status = entry.stat()
            assert status.st_uid == owner[status.st_ino] + B, (entry.name, status)
            assert bool(status.st_mode & 0o4000) == (status.st_ino in special), (entry.name, status)
    return f'{swapper.swaps} swaps, {done} of {30 * 2 * directories * files} in their new owner\'s hands'


def stopped_between(root, top, between):
    """A shift that stands still between its survey and its change, while `between` is done to the tree."""
    child = spawn([shutil.which('strace') or skip('strace is not installed'), '-f', '-qq', '-o', '/dev/null', '-e', 'inject=clone3:signal=SIGSTOP:when=1',
                   root.program('userns-run'), 'shift', top, *there(), '--jobs', 1], env=state(root))
    wait_for(lambda: logs(root), 'the undo log, which comes after the survey')
    between()
    while not is_zombie(child.pid):
        # Before the stop it would be in vain, so it is sent again.
        for pid in children_of(child.pid):
            os.kill(pid, signal.SIGCONT)
        time.sleep(0.05)
    well(child.wait(60))
    assert not logs(root)


def children_of(pid):
    with contextlib.suppress(OSError), open(f'/proc/{pid}/task/{pid}/children') as file:
        return [int(word) for word in file.read().split()]
    return []


@case('a special bit that is set between the survey and the change is kept: the kernel refuses to take it away')
def _(root):
    top = settled(plain(f'{root.tmp}/tree6', 400, A))
    before = listing(top)

    def set_bits():
        os.chmod(f'{top}/d1/f1', 0o4755)
        os.chmod(f'{top}/d2/f2', 0o2755)
    stopped_between(root, top, set_bits)
    after = expected(before, TO_B)
    for name, bits in ((b'./d1/f1', 0o104755), (b'./d2/f2', 0o102755)):
        after[name] = (*after[name][:2], bits, *after[name][3:])
    check(top, after)


@case('names that come, go, move and change places between the survey and the change: all get the right owner')
def _(root):
    top = settled(plain(f'{root.tmp}/tree7', 800, A))
    make_file(f'{top}/d3/acl', A, A, access=acl((USER, A + 7, 6)))
    settled(top)

    def change():
        make_file(f'{top}/d1/new', A + 3, A + 3)
        os.unlink(f'{top}/d1/f1')
        os.rename(f'{top}/d2', f'{top}/d1/moved')
        fd = os.open(f'{top}/d3', os.O_RDONLY)
        assert exchange(fd, 'f1', 'acl')
        os.close(fd)
        os.mkdir(f'{top}/d2')
        own(f'{top}/d2', A, A)
        make_file(f'{top}/d2/f1', A, A, 0o4755)
        nonlocal before
        before = listing(top)
    before = None
    stopped_between(root, top, change)
    check(top, expected(before, TO_B))


@case('a directory that was moved out of the tree meanwhile, and a link in its place: nothing outside is changed')
def _(root):
    top = settled(plain(f'{root.tmp}/tree8', 400, A))
    outside = plain(f'{root.tmp}/outside', 400, A)
    untouched = listing(outside)

    def change():
        os.rename(f'{top}/d1', f'{root.tmp}/taken')
        os.symlink(f'{outside}/d1', f'{top}/d1')
        os.chown(f'{top}/d1', A, A, follow_symlinks=False)
        os.rename(f'{top}/d2/f1', f'{root.tmp}/file')
        os.symlink(f'{outside}/d2/f1', f'{top}/d2/f1')
        os.chown(f'{top}/d2/f1', A, A, follow_symlinks=False)
        nonlocal before
        before = listing(top)
    before, taken = None, listing(f'{top}/d1')
    stopped_between(root, top, change)
    check(top, expected(before, TO_B))
    check(outside, untouched)
    check(f'{root.tmp}/taken', taken)


def in_narrow(pid):
    """Whether its process in the narrow namespace is there."""
    try:
        with open(f'/proc/{pid}/task/{pid}/children') as file:
            children = file.read().split()
        for child in children:
            with open(f'/proc/{child}/uid_map') as file:
                if re.fullmatch(r'\s*0\s+\d+\s+1\n\s*1\s+\d+\s+1\n', file.read()):
                    return True
    except OSError:
        pass
    return False


@case('killed while that process works: it dies, too, and the shift is resumed or undone')
def _(root):
    seen = []
    for turn in range(8):
        top = plain(f'{root.tmp}/tree5', 6000, A)
        make_file(f'{top}/was there', B + 5, B + 6, 0o4755)
        make_file(f'{top}/setuid', A, A, 0o4755)
        before = listing(top)
        child = start(root, top, *there(), '--jobs', 1 + turn % 2)
        wait_for(lambda: in_narrow(child.pid) or is_zombie(child.pid), 'the narrow namespace')
        os.kill(child.pid, signal.SIGKILL if turn < 6 else signal.SIGTERM)
        child.wait()
        now = listing(top)
        if logs(root):
            seen.append('midst')
            well(shift(root, top, '--undo' if turn % 2 else '--resume'))
            check(top, before if turn % 2 else expected(before, TO_B))
        else:
            assert not same(now, before) or not same(now, expected(before, TO_B)), 'changed in part without a log'
        assert not logs(root)
        shutil.rmtree(top)
    assert seen, 'it was never killed in the midst'
    return f'{len(seen)} of 8 in the midst'


main()
