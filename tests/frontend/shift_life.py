#!/usr/bin/env python3
"""userns-run shift that is killed, interrupted, met by failures, or whose tree others change meanwhile."""

import os
import random
import shutil
import signal
import threading
import time

from shift_tree import (A, B, RANGE, TO_B, USER, acl, capability, check, exchange, expected, listing, logs, make_file, many, needs_acls,
                        on_disk, same, shift, start, state, there, zoo)
from container import fails, well
from harness import case, main, own_children, skip, spawn, trace, wait_for
from inside import is_zombie

KILLS = int(os.environ.get('SHIFT_TEST_KILLS', '50'))


def strangers(top):
    """Inodes that must not be taken along on the way back."""
    make_file(f'{top}/was there', B + 5, B + 6, 0o4755)
    make_file(f'{top}/half there', A + 5, B + 6, 0o2755)
    make_file(f'{top}/other', 5, 6, 0o4755, caps=capability(B))
    make_file(f'{top}/acl there', A, A, access=acl((USER, B + 7, 6), (USER, A + 7, 4)))


def killed_at(root, count, *words):
    """Kills it before its `count`-th system call. True where it had ended before."""
    calls = 0

    def on_entry(stop):
        nonlocal calls
        calls += 1
        if calls == count:
            os.kill(stop.pid, signal.SIGKILL)
    child = start(root, *words, '--jobs', 1, traced=True)
    done = trace(child, on_entry)
    assert done.code in (0, -signal.SIGKILL), done
    return done.code == 0, calls


@case(f'killed before {KILLS} random system calls, then resumed or undone (and killed there, too)')
def _(root):
    seed = int(os.environ.get('SHIFT_TEST_SEED', str(random.randrange(1 << 30))))
    dice = random.Random(seed)
    with on_disk() as place:
        needs_acls(place)
        top = many(f'{place}/tree', 120, A, 40)
        zoo(f'{top}/zoo', A)
        strangers(top)
        before = listing(top)
        after = expected(before, TO_B)
        ended, total = killed_at(root, -1, top, *there())
        assert ended
        check(top, after)
        shutil.rmtree(top)
        seen = {'nothing changed': 0, 'resumed': 0, 'undone': 0, 'killed again': 0, 'had ended': 0}
        for _ in range(KILLS):
            many(f'{place}/tree', 120, A, 40)
            zoo(f'{top}/zoo', A)
            strangers(top)
            assert not same(listing(top), before), f'seed {seed}'
            ended, _ = killed_at(root, dice.randrange(1, total + 10), top, *there())
            if not logs(root) or not logs(root)[0].endswith('.log'):
                check(top, after if ended else before) if not same(listing(top), before) or ended else None
                now = listing(top)
                assert not same(now, after) or not same(now, before), f'seed {seed}: changed in part without a log'
                seen['had ended' if not same(now, after) else 'nothing changed'] += 1
            else:
                fails(shift(root, top, *there()), 'not finished', '--resume')
                back = dice.random() < 0.5
                act = '--undo' if back else '--resume'
                if dice.random() < 0.5:
                    killed_at(root, dice.randrange(1, total), top, act)
                    seen['killed again'] += 1
                    if logs(root) and dice.random() < 0.3:
                        back = not back
                        act = '--undo' if back else '--resume'
                if logs(root):
                    well(shift(root, top, act))
                difference = same(listing(top), before if back else after)
                assert not difference, (f'seed {seed}', act, difference)
                assert not logs(root)
                seen['undone' if back else 'resumed'] += 1
            shutil.rmtree(top)
        assert seen['resumed'] and seen['undone'], seen
        return f'seed {seed}: ' + ', '.join(f'{count} {what}' for what, count in seen.items())


def duration(root, top, *words, user=None):
    begin = time.monotonic()
    well(shift(root, top, *words, user=user))
    return time.monotonic() - begin


@case('several threads killed at random times, resumed or undone')
def _(root):
    dice = random.Random(5)
    with on_disk() as place:
        needs_acls(place)
        top = many(f'{place}/tree', 3000, A)
        strangers(top)
        before, after = listing(top), None
        after = expected(before, TO_B)
        whole = duration(root, top, *there(), '--jobs', 4)
        shutil.rmtree(top)
        many(top, 3000, A)
        strangers(top)
        undone = 0
        for i in range(12):
            child = start(root, top, *there(), '--jobs', 4)
            time.sleep(dice.random() * whole)
            child.kill()
            child.wait()
            if logs(root):
                well(shift(root, top, '--undo', '--jobs', 3))
                undone += 1
            if same(listing(top), before):
                check(top, after)
                shutil.rmtree(top)
                many(top, 3000, A)
                strangers(top)
        child = start(root, top, *there(), '--jobs', 4)
        time.sleep(whole * 0.6)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        if logs(root):
            well(shift(root, top, '--resume'))
        elif same(listing(top), after):
            well(shift(root, top, *there()))
        check(top, after)
        return f'{undone} of 12 undone'


@case('an ordinary user\'s shift: killed, interrupted, resumed and undone')
def _(root):
    user = root.alice
    root.subuid('alice:100000:65536\nalice:300000:65536\n')
    root.subgid('alice:100000:65536\nalice:300000:65536\n')
    top = many(f'{root.tmp}/user-tree', 4000, A)
    make_file(f'{top}/was there', B + 5, B + 6, 0o4755)
    before = listing(top)
    after = expected(before, TO_B)
    whole = duration(root, top, *there(), user=user)
    check(top, after)
    shutil.rmtree(top)
    resumed, others = 0, own_children()

    def changes_begun():
        return [name for name in logs(root, user) if name.endswith('.log')]

    for i in range(6):
        many(top, 4000, A)
        make_file(f'{top}/was there', B + 5, B + 6, 0o4755)
        child = start(root, top, *there(), user=user)
        time.sleep(whole * (i + 3) / 10)
        os.kill(child.pid, signal.SIGKILL if i % 2 else signal.SIGINT)
        done = child.wait()
        # The worker dies with the one that was killed.
        wait_for(lambda: all(pid in others or is_zombie(pid) for pid in own_children()), 'the worker to be gone')
        if changes_begun():
            if i % 2 == 0:
                fails(done, 'interrupted by SIGINT', '--resume', '--undo')
            well(shift(root, top, '--resume' if i < 3 else '--undo', user=user))
            check(top, after if i < 3 else before)
            resumed += 1
        else:
            now = listing(top)
            assert not same(now, after) or (done.code != 0 and not same(now, before)), (done, same(now, after))
        assert not changes_begun()
        shutil.rmtree(top)
    return f'{resumed} of 6 were in the midst of it'


@case('interrupted by a signal, root\'s shift stops in good order and says how to go on')
def _(root):
    top = many(f'{root.tmp}/root-tree', 60000, A)  # several times what passes between two looks for a signal
    before = listing(top)
    for _ in range(10):
        child = start(root, top, *there())
        wait_for(lambda: logs(root) and logs(root)[0].endswith('.log') or child._reap(), 'the survey to end')
        if child.code is None:
            os.kill(child.pid, signal.SIGTERM)
        done = child.wait()
        if logs(root):
            break
        well(done)  # it was all but done when the signal came, and says so
        well(shift(root, top, *there(B, A)))
    fails(done, 'interrupted', '--resume', '--undo')
    well(shift(root, top, '--undo'))
    check(top, before)
    shutil.rmtree(top)


def injected(root, inject, *words):
    strace = shutil.which('strace') or skip('strace is not installed')
    return root.run([strace, '-f', '-o', '/dev/null', '-e', 'trace=all', *[w for i in inject for w in ('-e', f'inject={i}')],
                     root.program('userns-run'), 'shift', *words, '--jobs', '1'], env=state(root), timeout=120)


@case('a quota that is reached, a full or a failing disk: it stops, says so, and goes on or back')
def _(root):
    for code, text in (('EDQUOT', 'quota'), ('ENOSPC', 'No space'), ('EIO', 'Input/output'), ('EPERM', 'not permitted')):
        for act in ('--resume', '--undo'):
            top = zoo(f'{root.tmp}/faulty', A)
            strangers(top)
            before = listing(top)
            done = injected(root, [f'fchownat:error={code}:when=12'], top, *there())
            assert done.code == 125, done
            last = done.err.splitlines()[-1]
            assert 'only in part' in last and text in last and '--resume' in last, done
            well(shift(root, top, act))
            check(top, before if act == '--undo' else expected(before, TO_B))
            shutil.rmtree(top)


@case('what chown(2) took is given back, however the calls that do it fail')
def _(root):
    for inject in ('setxattr:error=EIO:when=1', 'setxattr:error=ENOSPC:when=2', 'fdatasync:error=EIO:when=1', 'fsync:error=EIO:when=1',
                   'renameat:error=EIO:when=1', 'write:error=ENOSPC:when=2', 'write:error=ENOSPC:when=3', 'lsetxattr:error=EIO:when=1',
                   'getdents64:error=EIO:when=1', 'getdents64:error=EIO:when=5', 'statx:error=EIO:when=40',
                   'openat:error=EMFILE:when=30', 'unlinkat:error=EIO:when=2'):
        for act in ('--resume', '--undo'):
            top = zoo(f'{root.tmp}/faulty', A)
            strangers(top)
            before = listing(top)
            done = injected(root, [inject], top, *there())
            if logs(root):
                assert done.code == 125, (inject, done)
                well(shift(root, top, act))
                check(top, before if act == '--undo' else expected(before, TO_B))
            else:
                check(top, before if done.code else expected(before, TO_B))
            assert not logs(root), inject
            shutil.rmtree(top)


@case('a log whose end a crash cut is read up to there; one with a cut head is refused')
def _(root):
    top = zoo(f'{root.tmp}/faulty', A)
    strangers(top)
    before = listing(top)
    injected(root, ['fchownat:error=EDQUOT:when=12'], top, *there())
    (name,) = logs(root)
    path = f"{state(root)['XDG_STATE_HOME']}/userns/shift/{name}"
    with open(path, 'rb') as file:
        whole = file.read()
    with open(path, 'wb') as file:
        file.write(whole[:40])
    fails(shift(root, top, '--undo'), 'not a whole undo log')
    with open(path, 'wb') as file:
        file.write(whole + b'old 1 2 3 4 5 6 - - -#0000')
    well(shift(root, top, '--undo'))
    check(top, before)
    shutil.rmtree(top)


@case('what an administrator did to a finished file between is not undone by going on')
def _(root):
    top = zoo(f'{root.tmp}/faulty', A)
    before = expected(listing(top), TO_B)
    injected(root, ['fchownat:error=EDQUOT:when=25'], top, *there())
    # Some setuid file that is done: its bit is taken away, and stays away.
    done = [name for name in ('suid', 'both', 'suid-with-acl', 'hard', 'caps-suid-acl') if os.stat(f'{top}/{name}').st_uid >= B]
    if not done:
        skip('no setuid file was among the first 24 in the order of this directory')
    os.chmod(f'{top}/{done[0]}', 0o700)
    well(shift(root, top, '--resume'))
    assert os.stat(f'{top}/{done[0]}').st_mode & 0o7777 == 0o700
    now = listing(top)
    inode = os.stat(f'{top}/{done[0]}').st_ino
    links = {name for name in now if os.lstat(os.path.join(os.fsencode(top), name)).st_ino == inode}
    difference = [d for d in same(now, before) if d[0] not in links]
    assert not difference, difference
    shutil.rmtree(top)


# --- others at work ---------------------------------------------------------------------------

class Attacker(threading.Thread):
    """Swaps names in a tree, never by a path that a symlink is in: it touches nothing outside itself."""

    def __init__(self, top):
        super().__init__()
        self.top, self.ended, self.swaps, self.dice = os.open(top, os.O_RDONLY), threading.Event(), 0, random.Random(3)

    def run(self):
        while not self.ended.is_set():
            d, other = self.dice.randrange(100), self.dice.randrange(100)
            try:
                inner = os.open(f'd{d}', os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self.top)
            except OSError:
                inner = None
            if inner is not None:
                self.swaps += exchange(inner, f'f{other % 19}', f'to-file-{d % 40}', self.top)
                self.swaps += exchange(inner, f'f{other % 19}', f'd{other}', self.top)
                os.close(inner)
            self.swaps += exchange(self.top, f'd{d}', f'to-dir-{d % 40}')
            for one, to in ((f'd{other}', f'deep/d{other}'), (f'deep/d{other}', f'd{other}')):
                try:
                    os.rename(one, to, src_dir_fd=self.top, dst_dir_fd=self.top)
                except OSError:
                    pass

    def stop(self):
        self.ended.set()
        self.join()
        os.close(self.top)


@case('renames and symlinks put in the place of directories and files while it works lead it nowhere')
def _(root):
    outside = f'{root.tmp}/outside'
    many(outside, 400, A, 20)
    before = listing(outside)
    top = f'{root.tmp}/inside'
    many(top, 3000, A, 20)
    for d in range(0, 40):
        os.symlink(f'{outside}/d{d % 10}', f'{top}/to-dir-{d}')
        os.symlink(f'{outside}/d1/f{d % 15}', f'{top}/to-file-{d}')
    os.mkdir(f'{top}/deep')
    attacker = Attacker(top)
    attacker.start()
    results = []
    try:
        for i in range(12):
            first, to = (A, B) if i % 2 == 0 else (B, A)
            done = shift(root, top, *there(first, to), '--jobs', 1 + i % 3)
            assert done.code in (0, 125) and not done.code < 0, done
            results.append(done.code)
            if logs(root):
                done = shift(root, top, '--undo' if i % 3 else '--resume')
                for path in logs(root):
                    os.unlink(f"{state(root)['XDG_STATE_HOME']}/userns/shift/{path}")
    finally:
        attacker.stop()
    check(outside, before)
    # And once nobody disturbs it, all of the tree is shifted.
    well(shift(root, top, *there(B, A)))
    well(shift(root, top, *there(A, B)))
    owners = {line[0] for line in listing(top).values()} - {0}
    assert all(B <= uid < B + RANGE for uid in owners), sorted(owners)[:5]
    shutil.rmtree(top)
    shutil.rmtree(outside)
    return f'{attacker.swaps} swaps, {results.count(0)} of 12 shifts ended well'


main()
