#!/usr/bin/env python3
"""userns-run shift and convert: what they change, what they leave alone, what they refuse."""

import array
import contextlib
import fcntl
import os
import resource
import shutil
import subprocess

from shift_tree import (A, B, CAPABILITY, RANGE, TO_B, USER, acl, capability, check, expected, listing, logs, make_file, many,
                        mover, needs_acls, on_disk, own, same, shift, state, there, zoo)
from container import fails, well
from harness import MS_BIND, MS_RDONLY, MS_REMOUNT, case, main, mount, skip, umount

@contextlib.contextmanager
def tree(root, first=A, **how):
    path = f'{root.tmp}/tree'
    shutil.rmtree(path, ignore_errors=True)
    needs_acls(root.tmp)
    yield zoo(path, first, **how)
    shutil.rmtree(path)


# --- what is changed --------------------------------------------------------------------------

@case('root shifts every kind of inode, all that goes with its ids, and back')
def _(root):
    with tree(root) as top:
        before = listing(top)
        assert len(before) > 30 and b'./new\nline' in before
        done = well(shift(root, top, *there()))
        assert f"{len(before) - 5} inodes shifted, 2 devices left alone ('" in done.out, done  # the hard links are one inode
        check(top, expected(before, TO_B))
        well(shift(root, top, *there(B, A)))
        check(top, before)
        assert not logs(root)


@case('one thread and several do the same')
def _(root):
    for jobs in (1, 2, 7):
        with tree(root) as top:
            before = listing(top)
            well(shift(root, top, *there(), '--jobs', jobs))
            check(top, expected(before, TO_B))


@case('on a disk, as on a tmpfs')
def _(root):
    with on_disk() as place:
        needs_acls(place)
        top = zoo(f'{place}/tree', A)
        before = listing(top)
        well(shift(root, top, *there()))
        check(top, expected(before, TO_B))


@case('root ids become a container\'s: capabilities of the host\'s root get its root, and lose it on the way back')
def _(root):
    with tree(root, 0) as top:
        before = listing(top)
        assert len(before[b'./caps'][4][CAPABILITY]) == 20
        well(shift(root, top, *there(0, A)))
        after = listing(top)
        check(top, expected(before, mover(0, A, RANGE)))
        assert after[b'./caps'][4][CAPABILITY] == capability(A)
        assert after[b'./suid'][2] & 0o7777 == 0o4755 and after[b'./suid'][0] == A
        well(shift(root, top, *there(A, 0)))
        check(top, before)


@case('an ordinary user shifts from one part of his ids to another, by newuidmap and newgidmap')
def _(root):
    root.subuid('alice:100000:65536\nalice:300000:65536\n')
    root.subgid('alice:100000:65536\nalice:300000:65536\n')
    with tree(root, devices=False) as top:
        before = listing(top)
        done = well(shift(root, top, *there(), user=root.alice))
        assert 'inodes shifted' in done.out, done
        check(top, expected(before, TO_B))
        well(shift(root, top, *there(B, A), user=root.alice))
        check(top, before)
        assert not logs(root, root.alice)


@case('files of his own become his container\'s, and his again')
def _(root):
    top = f'{root.tmp}/home/alice/own'
    os.makedirs(f'{top}/sub')
    make_file(f'{top}/suid', root.alice.uid, root.alice.gid, 0o4755)
    for path in (top, f'{top}/sub'):
        own(path, root.alice.uid, root.alice.gid)
    before = listing(top)
    words = ['u:{}:1', 'u:100000:1', 'g:{}:1', 'g:100000:1']
    words = [w.format(root.alice.uid if w[0] == 'u' else root.alice.gid) for w in words]
    well(shift(root, top, '--from', words[0], '--to', words[1], '--from', words[2], '--to', words[3], user=root.alice))
    check(top, expected(before, lambda u: 100000 if u == root.alice.uid else u,
                        lambda g: 100000 if g == root.alice.gid else g))
    well(shift(root, top, '--from', words[1], '--to', words[0], '--from', words[3], '--to', words[2], user=root.alice))
    check(top, before)
    shutil.rmtree(top)


@case('uids and gids apart')
def _(root):
    with tree(root) as top:
        before = listing(top)
        well(shift(root, top, '--from', f'u:{A}:{RANGE}', '--to', f'u:{B}:{RANGE}'))
        check(top, expected(before, TO_B, lambda g: g))
        well(shift(root, top, '--from', f'g:{A}:{RANGE}', '--to', f'g:500000:{RANGE}'))
        check(top, expected(before, TO_B, mover(A, 500000, RANGE)))


@case('adjacent ranges, and several pairs at once')
def _(root):
    with tree(root) as top:
        before = listing(top)
        well(shift(root, top, *there(A, A + RANGE)))
        check(top, expected(before, mover(A, A + RANGE, RANGE)))
        well(shift(root, top, *there(A + RANGE, A)))
        well(shift(root, top, '--from', f'{A}:2', '--to', '500000:2', '--from', f'{A + 2}:{RANGE - 2}', '--to',
                   f'700000:{RANGE - 2}'))
        check(top, expected(before, lambda i: i - A + 500000 if A <= i < A + 2 else
                            i - A - 2 + 700000 if A + 2 <= i < A + RANGE else i))


@case('the same as tar that extracts an archive with the ids mapped')
def _(root):
    with tree(root, devices=False) as top:  # which a shift leaves
        # GNU tar keeps ids in headers, and no option shifts a range: the archive's own numbers are mapped one by one.
        ids = sorted({i for line in listing(top).values() for i in line[:2]})
        reference = f'{root.tmp}/reference'
        os.makedirs(reference)
        owner_map, group_map = f'{root.tmp}/owner-map', f'{root.tmp}/group-map'
        for path in (owner_map, group_map):
            root.write(path, ''.join(f'+{i} n{TO_B(i)}:{TO_B(i)}\n' for i in ids))
        # tar knows no sockets; ACLs and capabilities are compared elsewhere.
        archive = subprocess.run(['tar', '-C', top, '--numeric-owner', f'--owner-map={owner_map}', f'--group-map={group_map}',
                                  '--exclude=./socket', '-cf', '-', '.'], stdout=subprocess.PIPE, check=True)
        subprocess.run(['tar', '-C', reference, '--numeric-owner', '--same-owner', '-xpf', '-'], input=archive.stdout,
                       check=True)
        well(shift(root, top, *there()))
        ours, theirs = ({name: line[:4] for name, line in listing(path).items() if name != b'./socket'}
                        for path in (top, reference))
        assert not same(ours, theirs), same(ours, theirs)
        shutil.rmtree(reference)


@case('--in and --out: what a container calls its ids, and what the host does')
def _(root):
    with tree(root, 0) as top:
        before = listing(top)
        well(shift(root, top, '--in', '--map', f'b:0:{A}:{RANGE}'))
        check(top, expected(before, mover(0, A, RANGE)))
        well(shift(root, top, '--out', '--map', f'{A}:{RANGE}'))
        check(top, before)


# --- what is left alone -----------------------------------------------------------------------

@case('ids outside of --from are left alone and counted; --strict changes nothing then')
def _(root):
    with tree(root) as top:
        make_file(f'{top}/stranger', 5, A + 1, 0o4755)
        make_file(f'{top}/there already', B + 1, B + 1)
        before = listing(top)
        strict = fails(shift(root, top, *there(), '--strict'), 'nothing was changed', '2 inodes', "'stranger'")
        check(top, before)
        done = well(shift(root, top, *there()))
        assert "1 with ids outside of --from left alone ('stranger')" in done.out, done
        assert "1 with ids of --to before ('there already')" in done.out, (done, strict)
        check(top, expected(before, TO_B))


@case('a shift of what is shifted changes nothing')
def _(root):
    with tree(root) as top:
        well(shift(root, top, *there()))
        before = listing(top)
        done = well(shift(root, top, *there()))
        assert ' 0 to shift' in done.out, done
        check(top, before)
        assert not logs(root)


@case('--dry-run counts and shows, and changes nothing')
def _(root):
    with tree(root) as top:
        before = listing(top)
        done = well(shift(root, top, *there(), '--dry-run'))
        assert f'{len(before) - 3} inodes, {len(before) - 5} would be shifted' in done.out and '2 devices left alone' in done.out, done
        assert f"'.' {A}:{A} -> {B}:{B}" in done.out and done.out.endswith('  ...\n'), done
        check(top, before)
        assert not logs(root)


@case('what is mounted below is left alone, bind mounts of the same file system too; --cross-mounts takes it')
def _(root):
    with tree(root) as top:
        elsewhere = f'{root.tmp}/elsewhere'
        os.makedirs(f'{elsewhere}/deep')
        make_file(f'{elsewhere}/file', A, A)
        os.mkdir(f'{top}/bind')
        os.mkdir(f'{top}/other')
        make_file(f'{top}/filemount', 7, 7)
        mount(elsewhere, f'{top}/bind', None, MS_BIND)
        mount('tmpfs', f'{top}/other', 'tmpfs')
        mount(f'{elsewhere}/file', f'{top}/filemount', None, MS_BIND)
        make_file(f'{top}/other/file', A, A)
        try:
            done = well(shift(root, top, *there()))
            assert '3 mounts not entered' in done.out, done
            assert os.stat(f'{elsewhere}/file').st_uid == A and os.stat(f'{top}/other/file').st_uid == A
            well(shift(root, top, *there(), '--cross-mounts'))
            assert os.stat(f'{elsewhere}/file').st_uid == B and os.stat(f'{top}/other/file').st_uid == B
        finally:
            for name in ('bind', 'other', 'filemount'):
                umount(f'{top}/{name}')
        shutil.rmtree(elsewhere)


@case('symlinks are never followed: what they lead to stays as it is')
def _(root):
    with tree(root) as top:
        outside = f'{root.tmp}/outside'
        os.mkdir(outside)
        make_file(f'{outside}/file', A, A, 0o4755)
        os.symlink(outside, f'{top}/way-out')
        os.symlink(f'{outside}/file', f'{top}/way-out-file')
        before = listing(outside)
        well(shift(root, top, *there()))
        check(outside, before)
        shutil.rmtree(outside)


@case('hard links to outside of the tree are told of')
def _(root):
    with tree(root) as top:
        os.link(f'{top}/plain', f'{root.tmp}/elsewhere')
        done = well(shift(root, top, *there()))
        assert '1 with hard links outside of it' in done.out, done
        os.unlink(f'{root.tmp}/elsewhere')


# --- what is refused --------------------------------------------------------------------------

@case('ranges that overlap, do not match, or make no sense are refused with a hint')
def _(root):
    with tree(root) as top:
        before = listing(top)
        for words, pieces in (
                (there(A, A + 1000), ('overlap', 'in a second step')),
                (there(A, A), ('overlap',)),
                (('--from', '0:10', '--to', '5:10'), ('overlap',)),
                (('--from', '0:10', '--to', '100:11'), ('not as many',)),
                (('--from', '0:10'), ('1 --from and 0 --to',)),
                (('--from', 'u:0:10', '--to', '100:10'), ('same kind',)),
                (('--from', '0:0', '--to', '5:0'), ('holds no id',)),
                (('--from', '4294967290:10', '--to', '5:10'), ('leaves the id space',)),
                (('--from', '010:1', '--to', '5:1'), ('first id',)),
                (('--from', '10', '--to', '5:1'), ('FIRST:COUNT',)),
                (('--from', '0:5', '--to', '10:5', '--from', '4:3', '--to', '20:3'), ('both taken',)),
                (('--from', '0:5', '--to', '10:5', '--from', '20:3', '--to', '14:3'), ('both given',)),
                ((), ('which ids become which',)),
                (('--in', '--out'), ('do not go together',)),
                (('--in', '--from', '1:1', '--to', '2:1'), ('do not go together',)),
                ((*there(), '--jobs', '0'), ('--jobs',)),
                (('--resume', '--undo'), ('do not go together',)),
                (('--resume',), ('no unfinished shift',)),
                (('--undo',), ('no unfinished shift',)),
                ((*there(), '--undo'), ('does not go with --undo',)),
                (('--frmo', '1:1'), ('did you mean --from',))):
            fails(shift(root, top, *words), *pieces)
        fails(shift(root, *there()), 'no directory')
        fails(shift(root, f'{top}/plain', *there()), 'is not a directory')
        fails(shift(root, f'{top}/nothing', *there()), 'No such file')
        check(top, before)
        assert not logs(root)


@case('an ordinary user gets no ids that are not his')
def _(root):
    with tree(root, devices=False) as top:
        before = listing(top)
        fails(shift(root, top, *there(A, 200000), user=root.alice), '200000')
        fails(shift(root, top, *there(0, A), user=root.alice), "only root can shift from or to the host's uid 0")
        fails(shift(root, top, *there(), user=root.carol), 'carol')
        check(top, before)
        assert not logs(root, root.alice)


@case('an ordinary user is refused before any change where a file has a group that is not his')
def _(root):
    root.subuid('alice:100000:65536\nalice:300000:65536\n')
    root.subgid('alice:100000:65536\nalice:300000:65536\n')
    with tree(root, devices=False) as top:
        make_file(f'{top}/mixed', A, 5)
        before = listing(top)
        fails(shift(root, top, *there(), user=root.alice), 'nothing was changed', "'mixed'", 'only root')
        check(top, before)
        os.unlink(f'{top}/mixed')
        make_file(f'{top}/acl of others', A, A, access=acl((USER, 5, 6)))
        before = listing(top)
        fails(shift(root, top, *there(), user=root.alice), 'nothing was changed', "'acl of others'", 'ACL')
        check(top, before)
        os.unlink(f'{top}/acl of others')
        make_file(f'{top}/host caps', 0, 0, 0o755, caps=capability(0))
        before = listing(top)
        done = well(shift(root, top, *there(), user=root.alice))
        assert '1 with ids outside' in done.out, done
        check(top, expected(before, TO_B))


FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IMMUTABLE_FL, FS_APPEND_FL = 0x80086601, 0x40086602, 0x10, 0x20


def set_flags(path, flags):
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, FS_IOC_SETFLAGS, array.array('l', [flags]))
    finally:
        os.close(fd)


@case('immutable and append-only inodes are found before anything is changed')
def _(root):
    with on_disk() as place:
        top = zoo(f'{place}/tree', A)
        before = listing(top)
        for flag in (FS_IMMUTABLE_FL, FS_APPEND_FL):
            try:
                set_flags(f'{top}/plain', flag)
            except OSError as error:
                skip(f'no inode flags on /var/tmp: {error}')
            try:
                fails(shift(root, top, *there()), 'nothing was changed', "'plain'", 'chattr -i')
            finally:
                set_flags(f'{top}/plain', 0)
            check(top, before)
        assert not logs(root)


@case('a read-only mount is refused')
def _(root):
    with tree(root) as top:
        mount(top, top, None, MS_BIND)
        mount(None, top, None, MS_BIND | MS_REMOUNT | MS_RDONLY)
        try:
            fails(shift(root, top, *there()), 'read-only')
        finally:
            umount(top)


@case('two at once on one tree: the second is refused')
def _(root):
    with tree(root) as top:
        lock = os.open(top, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        fails(shift(root, top, *there()), 'another shift')
        fails(shift(root, top, top, *there()), 'another shift')
        os.close(lock)
        fails(shift(root, top, top, *there()), 'another shift')
        well(shift(root, top, *there()))


@case('an undo log in the tree itself is refused, one that others could write to is not believed')
def _(root):
    with tree(root) as top:
        before = listing(top)
        fails(shift(root, top, *there(), '--log', f'{top}/dir/log'), '--log FILE', 'in the tree')
        root.write(f'{root.tmp}/log', 'userns-shift 1\n', 0o666)
        fails(shift(root, top, '--undo', '--log', f'{root.tmp}/log'), 'not believed')
        root.write(f'{root.tmp}/log', 'userns-shift 1\n', 0o600, (root.alice.uid, 0))
        fails(shift(root, top, '--undo', '--log', f'{root.tmp}/log'), 'not believed')
        root.write(f'{root.tmp}/log', 'userns-shift 1\n', 0o600)
        fails(shift(root, top, '--undo', '--log', f'{root.tmp}/log'), 'not a whole undo log')
        check(top, before)


@case('a full disk for the log: nothing is changed')
def _(root):
    with tree(root) as top:
        small = f'{root.tmp}/small'
        os.mkdir(small)
        mount('tmpfs', small, 'tmpfs', 0, 'size=8k')
        with open(f'{small}/full', 'wb', 0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b'x' * 4096)
        before = listing(top)
        fails(shift(root, top, *there(), '--log', f'{small}/log'), 'cannot write the undo log', 'No space')
        check(top, before)
        assert os.listdir(small) == ['full']
        umount(small)


# --- size -------------------------------------------------------------------------------------

def deep(top, levels, first, beside):
    """A chain of directories; paths are far longer than the kernel takes."""
    os.mkdir(top)
    own(top, first, first)
    at = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        for name in ('d', 'e')[:1 + beside]:
            os.mkdir(name, dir_fd=at)
            os.chown(name, first, first, dir_fd=at)
        below = os.open('d', os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)


def owners_of_chain(top, beside):
    """How many directories there are with each owner."""
    counts = {}
    at = os.open(top, os.O_RDONLY)
    while True:
        uid = os.fstat(at).st_uid
        counts[uid] = counts.get(uid, 0) + 1
        try:
            if beside:
                uid = os.stat('e', dir_fd=at).st_uid
                counts[uid] = counts.get(uid, 0) + 1
            below = os.open('d', os.O_RDONLY, dir_fd=at)
        except FileNotFoundError:
            os.close(at)
            return counts
        os.close(at)
        at = below


def remove_chain(top):
    subprocess.run(['rm', '-rf', top], check=True)


@case('10,000 levels, with few open files allowed')
def _(root):
    for beside in (False, True):
        top = f'{root.tmp}/deep'
        deep(top, 10000, A, beside)
        try:
            for jobs in (1, 3):
                first, to = (A, B) if jobs == 1 else (B, A)
                well(shift(root, top, *there(first, to), '--jobs', jobs, rlimits={resource.RLIMIT_NOFILE: 64}))
                assert owners_of_chain(top, beside) == {to: 10001 + 10000 * beside}
        finally:
            remove_chain(top)


INODES = int(os.environ.get('SHIFT_TEST_INODES', '20000'))


@case(f'{INODES:,} inodes on a disk')
def _(root):
    count = INODES
    with on_disk() as place:
        needs_acls(place)
        top = many(f'{place}/tree', count, A)
        before = listing(top)
        assert len(before) == count
        done = well(shift(root, top, *there()))
        assert f'{count} inodes shifted' in done.out, done
        check(top, expected(before, TO_B))
        return f'{count} inodes'


@case('one directory with many files is shared by the threads')
def _(root):
    top = f'{root.tmp}/wide'
    os.mkdir(top)
    for i in range(3000):
        make_file(f'{top}/f{i}', A, A, 0o4755 if i % 100 == 0 else 0o644)
    before = listing(top)
    well(shift(root, top, *there(), '--jobs', '4'))
    difference = same({k: v for k, v in listing(top).items() if k != b'.'},
                      {k: v for k, v in expected(before, TO_B).items() if k != b'.'})
    assert not difference, difference
    shutil.rmtree(top)


main()
