#!/usr/bin/env python3
"""userns-idmap against chown(1): what a mount shows equals what a namespace with both ranges would have made of the tree."""

import ast
import ctypes
import os
import random
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'helpers'))
from idmap_lib import AT_FDCWD, MOVE_MOUNT, Namespace, ask, given, syscall  # noqa: E402
from harness import case, main, setns, umount  # noqa: E402

CASES = int(os.environ.get('IDMAP_ORACLE_CASES', '1000'))
FIRST, TOTAL = 100000, 262144
EOVERFLOW = 75
NOBODY = 65534
OFFSET = 10_000_000


def random_map(rng):
    """Extents (disk, mount, count), neither column overlapping, all of alice's; the first has the tree's owner."""
    count = rng.randint(1, 4)
    cuts = sorted(rng.sample(range(0, TOTAL // 2, 16), 2 * count))
    disk = [(FIRST + cuts[2 * i], cuts[2 * i + 1] - cuts[2 * i]) for i in range(count)]
    cuts = sorted(rng.sample(range(0, TOTAL // 2, 16), 2 * count))
    shown = [(FIRST + TOTAL // 2 + cuts[2 * i], cuts[2 * i + 1] - cuts[2 * i]) for i in range(count)]
    rng.shuffle(shown)
    return [(d, s, min(a, b)) for (d, a), (s, b) in zip(disk, shown)]


def chown(extents, number):
    """What a process in a namespace with both ranges makes of `number` on disk: its id in the mount, or none."""
    for disk, shown, count in extents:
        if disk <= number < disk + count:
            return shown + number - disk
    return None


def both_ranges(extents):
    """The maps of a namespace that has the ids on disk, from 0 on, and those of the mount, from OFFSET on."""
    inside, rows = 0, []
    for disk, shown, count in extents:
        rows += [(inside, disk, count), (OFFSET + inside, shown, count)]
        inside += count
    return rows


def chown_all(root, tree, count, uids, gids):
    """Really: the root of such a namespace gives each file from its id on disk to the one of the mount. Those that it could."""
    with Namespace(root, root.alice, both_ranges(uids), both_ranges(gids)) as target:
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            space = os.open(f'/proc/{target.pid}/ns/user', os.O_RDONLY)
            setns(space)
            os.setgroups([])
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
            given_away = []
            for number in range(count):
                facts = os.lstat(f'{tree}/{number}')
                try:
                    if NOBODY not in (facts.st_uid, facts.st_gid):
                        os.chown(f'{tree}/{number}', facts.st_uid + OFFSET, facts.st_gid + OFFSET)
                        given_away.append(number)
                except OSError:
                    pass
            os.write(theirs, repr(given_away).encode())
            os._exit(0)
        os.close(theirs)
        assert os.waitpid(child, 0)[1] == 0
        with os.fdopen(ours) as file:
            return set(ast.literal_eval(file.read()))


def pick(rng, extents):
    """An id on disk: mostly one of the map's, its edges as often as not."""
    disk, _, count = rng.choice(extents)
    return rng.choice([disk, disk + count - 1, disk + rng.randrange(count), disk + count, disk - 1, rng.randrange(FIRST, FIRST + TOTAL)])


def inverse(extents, shown):
    return chown([(s, d, c) for d, s, c in extents], shown)


@case(f'owners that are shown, owners of new files and chown: {CASES} random cases')
def _(root):
    seed = int(os.environ.get('IDMAP_ORACLE_SEED', str(random.randrange(1 << 30))))
    rng = random.Random(seed)
    for write in root.subuid, root.subgid:
        write(f'alice:{FIRST}:{TOTAL}\n')
    done = 0
    while done < CASES:
        uids, gids = random_map(rng), random_map(rng)
        tree = f'{root.tmp}/tree'
        shutil.rmtree(tree, ignore_errors=True)
        os.makedirs(tree)
        rows = [(pick(rng, uids), pick(rng, gids)) for _ in range(25)]
        for number, (uid, gid) in enumerate(rows):
            with open(f'{tree}/{number}', 'w'):
                pass
            os.chown(f'{tree}/{number}', uid, gid)
        os.chown(tree, uids[0][0], gids[0][0])
        os.chmod(tree, 0o777)
        copy = f'{root.tmp}/copy'
        shutil.rmtree(copy, ignore_errors=True)
        os.makedirs(copy, 0o755)
        for number, owner in enumerate(rows):
            with open(f'{copy}/{number}', 'w'):
                pass
            os.chown(f'{copy}/{number}', *owner)
        given_away = chown_all(root, copy, len(rows), uids, gids)
        with Namespace(root, root.alice, uids, gids) as target:
            mount = given(ask(root, tree, target))
        done += check(root, rng, mount, tree, uids, gids, rows, (seed, uids, gids), given_away)
        os.close(mount)
    return f'seed {seed}'


def check(root, rng, mount, tree, uids, gids, rows, seed, given_away):
    """Looks and acts through the mount as the host's root, who has all ids: compared with chown()."""
    place = f'{root.tmp}/shown'
    os.makedirs(place, exist_ok=True)
    syscall(MOVE_MOUNT, mount, ctypes.c_char_p(b''), AT_FDCWD, ctypes.c_char_p(place.encode()), 4)
    try:
        for number, (uid, gid) in enumerate(rows):
            seen = os.lstat(f'{place}/{number}')
            expected = tuple(NOBODY if one is None else one for one in (chown(uids, uid), chown(gids, gid)))
            assert (seen.st_uid, seen.st_gid) == expected, (seed, uid, gid, expected)
            assert (number in given_away) == (NOBODY not in expected), (seed, number, uid, gid, expected)
            if number in given_away:
                real = os.lstat(f'{root.tmp}/copy/{number}')
                assert (real.st_uid, real.st_gid) == (seen.st_uid, seen.st_gid), (seed, number, real, seen)
        for number in range(25):
            act(rng, place, tree, uids, gids, number, seed)
    finally:
        umount(place)
    return 2 * len(rows)


def act(rng, place, tree, uids, gids, number, seed):
    """Gives a file of the caller's block another owner, and makes one, as an id of the mount's."""
    pair = [pick(rng, [(s, d, c) for d, s, c in extents]) for extents in (uids, gids)]
    expected = [inverse(extents, one) for extents, one in zip((uids, gids), pair)]
    path = f'new-{number}'
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setresgid(pair[1], pair[1], pair[1])
        os.setresuid(pair[0], pair[0], pair[0])
        try:
            os.close(os.open(f'{place}/{path}', os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            os._exit(0)
        except OSError as error:
            os._exit(error.errno)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if None in expected:
        assert code == EOVERFLOW and not os.path.exists(f'{tree}/{path}'), (seed, pair, code)
        return
    made = os.lstat(f'{tree}/{path}')
    assert code == 0 and [made.st_uid, made.st_gid] == expected, (seed, pair, expected, code, made)


main()
