"""Unpacking a root file system: as tar does it where tar is right, and nothing outside of it whatever the archive says."""

import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tarfile

sys.path.insert(0, os.path.dirname(__file__))
from rootfs_tree import (FIRST, Archive, call, clean, counts, fails, home, listing, rich_tree, same, start,  # noqa: E402
                         tar_of, target, unpack, well)
from harness import case, cases, main, mount, skip, umount, wait_for  # noqa: E402


def outside(root):
    """What an escape would change: a file and a directory beside the target's own parent, open to everyone."""
    path = f'{root.tmp}/outside'
    clean(path)
    os.mkdir(path)
    os.chmod(path, 0o777)
    with open(f'{path}/secret', 'w') as file:
        file.write('untouched')
    os.chmod(f'{path}/secret', 0o666)
    return path


def untouched(path):
    assert os.listdir(path) == ['secret'], os.listdir(path)
    with open(f'{path}/secret') as file:
        assert file.read() == 'untouched'
    facts = os.stat(f'{path}/secret')
    assert facts.st_mode & 0o7777 == 0o666 and facts.st_uid == 0 and facts.st_nlink == 1, facts


# --- beside tar -----------------------------------------------------------------------------

def by_tar(root, archive, name='theirs'):
    """What tar makes of it inside unshare --map-auto, as alice."""
    where = target(root, name)
    os.chmod(os.path.dirname(where), 0o711)
    os.chown(where, FIRST, FIRST)
    done = root.run(['/usr/bin/unshare', '--map-auto', '--setuid', '0', '--setgid', '0', 'tar', '-C', where, '-xpf', archive,
                     '--numeric-owner', '--xattrs', '--xattrs-include=*', '--acls'], root.alice, timeout=60)
    return where, well(done)


def beside_tar(root, archive):
    where = target(root, 'ours')
    done = unpack(root, archive, where)
    well(done)
    ours = listing(where, FIRST)
    blocks = os.stat(f'{where}/var/sparse').st_blocks
    assert blocks * 512 < 1 << 20, f'the holes of a sparse file take {blocks} blocks'
    theirs, _ = by_tar(root, archive)
    same(ours, listing(theirs, FIRST))
    return counts(done)


@cases([('a whole tree is what tar makes of it', []),
        ('so it is in the format of GNU tar, which has no attributes', ['--format=gnu'])])
def _(root, options):
    counted = beside_tar(root, tar_of(rich_tree(f'{root.tmp}/tree'), f'{root.tmp}/tree.tar', *options))
    assert counted['devices'] == 0 and counted['entries'] > 20, counted
    return f"{counted['entries']} entries"


@cases([(f'the compression {name} is recognised', name, program) for name, program in
        (('gzip', 'gzip'), ('bzip2', 'bzip2'), ('xz', 'xz'), ('zstd', 'zstd'), ('lz4', 'lz4'), ('lzma', 'lzma'))])
def _(root, name, program):
    if not shutil.which(program):
        skip(f'{program} is not installed')
    archive = Archive().directory('.').add('etc/a', b'text' * 5000).write(f'{root.tmp}/a.tar')
    packed = f'{root.tmp}/a.tar.{name}'
    with open(archive, 'rb') as plain, open(packed, 'wb') as out:
        subprocess.run([program, '-c'], stdin=plain, stdout=out, check=True)
    where = target(root)
    assert counts(unpack(root, packed, where))['bytes'] == 20000
    assert open(f'{where}/etc/a').read() == 'text' * 5000


@case('standard input is read where the archive is -')
def _(root):
    archive = Archive().add('a', b'x').write(f'{root.tmp}/a.tar')
    where = target(root)
    with open(archive, 'rb') as file:
        done = call(root, 'archive', '-', where, stdin=file.fileno())
    assert counts(done)['entries'] == 1 and os.path.exists(f'{where}/a')


@case('an archive and a directory that only the caller may read are read, and the container root cannot')
def _(root):
    where = target(root)
    closed = f'{os.path.dirname(where)}/a.tar'
    Archive().add('a', b'x').write(closed)
    os.chown(closed, root.alice.uid, root.alice.gid)
    os.chmod(closed, 0o600)
    well(unpack(root, closed, where))


@case("a directory of another group of the caller's, as a setgid directory above makes it, is given away as well")
def _(root):
    where = target(root)
    os.chown(where, root.alice.uid, 4242)
    well(unpack(root, Archive().add('a', b'x').write(f'{root.tmp}/a.tar'), where))
    facts = os.stat(where)
    assert (facts.st_uid, facts.st_gid) == (FIRST, FIRST), facts


@case('devices are left out and counted, with the hard links to them; fifos stay')
def _(root):
    archive = Archive().directory('dev').add('dev/null', type=tarfile.CHRTYPE, devmajor=1, devminor=3) \
        .add('dev/sda', type=tarfile.BLKTYPE, devmajor=8).hard('dev/zero', 'dev/null').add('dev/fifo', type=tarfile.FIFOTYPE)
    where = target(root)
    counted = counts(unpack(root, archive.write(f'{root.tmp}/a.tar'), where))
    assert counted['devices'] == 3, counted
    assert os.listdir(f'{where}/dev') == ['fifo'] and stat.S_ISFIFO(os.lstat(f'{where}/dev/fifo').st_mode)


@case('labels of the host and trusted attributes are left out and counted')
def _(root):
    archive = Archive().add('a', b'x', pax_headers={'SCHILY.xattr.security.selinux': 'system_u', 'SCHILY.xattr.trusted.x': '1',
                                                    'SCHILY.xattr.user.overlay.opaque': 'y', 'SCHILY.xattr.user.mine': '1'})
    where = target(root)
    assert counts(unpack(root, archive.write(f'{root.tmp}/a.tar'), where))['attributes'] == 3
    assert os.listxattr(f'{where}/a') == ['user.mine']


@case("a file capability that names another namespace's root becomes the container root's")
def _(root):
    value = struct.pack('<IIIIII', 0x03000001, 1 << 13, 0, 0, 0, 555).decode('latin-1')
    archive = Archive().add('ping', b'x', mode=0o755, pax_headers={'SCHILY.xattr.security.capability': value})
    where = target(root)
    unpacked = unpack(root, archive.write(f'{root.tmp}/a.tar'), where)
    well(unpacked)
    found = struct.unpack('<IIIIII', os.getxattr(f'{where}/ping', 'security.capability'))
    assert found == (0x03000001, 1 << 13, 0, 0, 0, FIRST), found


@case('ids that are not mapped inside are an error that says which')
def _(root):
    where = target(root)
    for owner in ({'uid': 65536}, {'gid': 70000}, {'uid': 2**32 - 1}, {'uid': 2**40}):
        clean(where)
        os.mkdir(where)
        os.chown(where, root.alice.uid, root.alice.gid)
        archive = Archive().add('a', b'x', **owner).write(f'{root.tmp}/a.tar')
        fails(unpack(root, archive, where), 'a.tar', "'a'")


# --- hostile --------------------------------------------------------------------------------

UP = '../' * 20


@cases([
    ('a path with .. is refused', lambda a, out: a.add(f'{UP}{out}/new', b'x'), 'would leave'),
    ('.. in the middle of a path is refused', lambda a, out: a.directory('a').add(f'a/../{UP}{out}/new', b'x'), 'would leave'),
    ('a hard link to a path with .. is refused', lambda a, out: a.hard('a', f'{UP}{out}/secret'), 'would leave'),
    ('a hard link to outside finds nothing: an absolute target is of the root', lambda a, out: a.hard('a', f'/{out}/secret'),
     'No such file'),
    ('a hard link to the root is refused', lambda a, out: a.hard('a', '/'), 'root'),
    ('a hard link through a link to outside', lambda a, out: a.link('l', f'/{out}').hard('a', 'l/secret'), 'No such file'),
    ('a root that is a link', lambda a, out: a.link('.', f'/{out}'), 'root'),
    ('a root that is a file', lambda a, out: a.add('.', b'x'), 'root'),
    ('a file with a name of 300 bytes', lambda a, out: a.add('n' * 300, b'x'), 'more than 255'),
    ('a path of 5000 bytes', lambda a, out: a.add('d/' * 2500, b'x'), 'more than 4095'),
    ('a malformed capability', lambda a, out: a.add('a', b'x', pax_headers={'SCHILY.xattr.security.capability': 'no'}), 'malformed'),
    ('a malformed ACL', lambda a, out: a.add('a', b'x', pax_headers={'SCHILY.xattr.system.posix_acl_access': '\2\0\0\0xx'}),
     'malformed'),
    ('a capability for a link is no way to a file', lambda a, out: a.link('l', f'/{out}/secret').hard('h', 'l').add('h/x', b'x'), ''),
])
def _(root, make, says):
    out = outside(root)
    where = target(root)
    done = unpack(root, make(Archive(), out.lstrip('/')).write(f'{root.tmp}/bad.tar'), where)
    fails(done, 'bad.tar', *([says] if says else []))
    untouched(out)
    well(call(root, 'remove', os.path.dirname(where), 'target'))
    assert os.listdir(os.path.dirname(where)) == []


@cases([
    ('a file through a link to outside', lambda a, out: a.link('l', f'/{out}').add('l/new', b'x')),
    ('a file through a relative link to outside', lambda a, out: a.link('l', f'{UP}{out}').add('l/new', b'x')),
    ('a file through a chain of links', lambda a, out: a.link('x', '..').link('y', f'x/{UP}').link('l', f'y/{out}').add('l/new', b'x')),
    ('a file over a link to a file outside', lambda a, out: a.link('l', f'/{out}/secret').add('l', b'changed')),
    ('a directory over a link to a directory outside', lambda a, out: a.link('l', f'/{out}').directory('l', mode=0o700, uid=7).add('l/new', b'x')),
    ('modes, owners and times through a link', lambda a, out: a.link('l', f'/{out}/secret', uid=5, mode=0o777).link('l', f'/{out}/secret', mtime=1)),
    ('an absolute path', lambda a, out: a.add(f'/{out}/secret', b'changed')),
    ('a link over a directory with files', lambda a, out: a.directory('d').add('d/f', b'x').link('d', f'/{out}').add('d/new', b'y')),
    ('a hard link to a link, then a file over it', lambda a, out: a.link('l', f'/{out}/secret').hard('h', 'l').add('h', b'changed')),
    ('a whiteout in a plain archive is a file', lambda a, out: a.add('.wh.secret', b'').add('.wh..wh..opq', b'')),
])
def _(root, make):
    """What is meant for outside lands inside, or replaces what was there."""
    out = outside(root)
    where = target(root)
    # So that the way exists inside, as it would have to outside.
    archive = Archive()
    archive.directory(out.lstrip('/'))
    done = unpack(root, make(archive, out.lstrip('/')).write(f'{root.tmp}/bad.tar'), where)
    well(done)
    untouched(out)
    for directory, names, files in os.walk(where):
        for name in names + files:
            assert os.lstat(f'{directory}/{name}').st_uid >= FIRST


@case('entries that come again: the last one wins, whatever it is')
def _(root):
    archive = Archive().add('a', b'one').add('a', b'two').directory('b').add('b/c', b'x').add('b', b'file').link('c', 'a') \
        .directory('c').add('c/d', b'y').directory('e', mode=0o700).directory('e', mode=0o2751, uid=5).hard('f', 'a').add('f', b'alone')
    where = target(root)
    well(unpack(root, archive.write(f'{root.tmp}/a.tar'), where))
    content = {name: open(f'{where}/{name}').read() for name in ('a', 'b', 'c/d', 'f')}
    assert content == {'a': 'two', 'b': 'file', 'c/d': 'y', 'f': 'alone'}, content
    assert os.stat(f'{where}/e').st_mode & 0o7777 == 0o2751 and os.stat(f'{where}/e').st_uid == FIRST + 5


@case('a path of 10 MB is an error, not a crash')
def _(root):
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        archive = Archive(form).add('x/' * (5 << 20), b'').write(f'{root.tmp}/long.tar')
        fails(unpack(root, archive, target(root)), 'long.tar')


def sparse_header(count):
    """A GNU 1.0 sparse map of that many holes, each two lines."""
    return f'{count}\n'.encode() + b'0\n0\n' * count


@case('a sparse map made to use up memory is an error, not a machine without memory')
def _(root):
    data = sparse_header(30_000_000)
    archive = Archive().add('a', data, pax_headers={'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.name': 'a',
                                                    'GNU.sparse.realsize': '10'}).write(f'{root.tmp}/big.tar')
    packed = f'{root.tmp}/big.tar.gz'
    with open(packed, 'wb') as out:
        subprocess.run(['gzip', '-1c', archive], stdout=out, check=True)
    os.unlink(archive)
    fails(unpack(root, packed, target(root)), 'big.tar.gz')


@cases([('a bomb of one file', False), ('a bomb of an entry that is left out', True)])
def _(root, left_out):
    """A few hundred kilobytes that become hundreds of megabytes."""
    where = target(root)
    packed = f'{root.tmp}/bomb.tar.gz'
    size = 300 << 20
    member = tarfile.TarInfo('b')
    member.size = size
    head = b''
    if left_out:  # data of a hard link, which is possible in this format
        head = Archive().add('a', b'x', pax_headers={'comment': 'x'}).data()[:2048]
        member.type, member.linkname, member.pax_headers = tarfile.LNKTYPE, 'a', {'comment': 'x'}
    script = f'(cat; head -c {size} /dev/zero; head -c 1024 /dev/zero) | gzip -1c'
    with open(packed, 'wb') as out:
        subprocess.run(['sh', '-c', script], input=head + member.tobuf(tarfile.PAX_FORMAT), stdout=out, check=True)
    fails(unpack(root, packed, where, max_size=50 << 20), '--max-size')
    used = sum(os.lstat(f'{d}/{f}').st_blocks for d, _, fs in os.walk(where) for f in fs) * 512
    assert used <= 51 << 20, used


@case('a bomb of empty files is bounded by --max-size')
def _(root):
    archive = Archive(tarfile.USTAR_FORMAT)
    for number in range(3000):
        archive.add(f'{number}', b'')
    fails(unpack(root, archive.write(f'{root.tmp}/many.tar'), target(root), max_size=4096 * 1000), '--max-size')


@cases([
    ('no archive at all', lambda data: b'hello world' * 1000, 'not a tar archive'),
    ('an empty file', lambda data: b'', 'not a tar archive'),
    ('only the end of an archive', lambda data: b'\0' * 10240, 'empty'),
    ('an archive that is cut off in a file', lambda data: data[:1500], 'damaged'),
    ('an archive with a damaged header', lambda data: data[:100] + b'\xff' * 30 + data[130:], 'not a tar archive'),
    ('an archive with a damaged second header', lambda data: data[:10340] + b'\xff' * 30 + data[10370:], 'damaged'),
    ('a damaged compression', lambda data: __import__('gzip').compress(os.urandom(100000))[:5000], ''),
])
def _(root, damage, says):
    data = Archive(tarfile.USTAR_FORMAT).add('a', os.urandom(9700)).add('b', b'x' * 9000).data()
    path = f'{root.tmp}/bad.tar'
    with open(path, 'wb') as file:
        file.write(damage(data))
    fails(unpack(root, path, target(root)), 'bad.tar', *([says] if says else []))


@case('an archive that is not there, and one that may not be read')
def _(root):
    fails(unpack(root, '/nowhere/a.tar', target(root)), '/nowhere/a.tar', 'No such file')
    closed = Archive().add('a', b'x').write(f'{root.tmp}/closed.tar')
    os.chmod(closed, 0o600)
    fails(unpack(root, closed, target(root)), 'closed.tar', 'Permission denied')


# --- full, interrupted ----------------------------------------------------------------------

@case('a full disk while unpacking is an error that says so, and what was made can be removed')
def _(root):
    where = target(root)
    mount('tmpfs', where, 'tmpfs', 0, 'size=4m,mode=0755')
    os.chown(where, root.alice.uid, root.alice.gid)
    os.mkdir(f'{where}/in')
    os.chown(f'{where}/in', root.alice.uid, root.alice.gid)
    archive = Archive().directory('d').add('d/a', b'x' * (3 << 20)).add('d/b', b'x' * (3 << 20)).write(f'{root.tmp}/a.tar')
    try:
        fails(unpack(root, archive, f'{where}/in', max_size=1 << 30), "'d/b'", 'No space left')
        fails(unpack(root, archive, target_in(root, where)), '--max-size')
        well(call(root, 'remove', where, 'in'))
        assert 'in' not in os.listdir(where)
    finally:
        umount(where)


def target_in(root, where):
    path = f'{where}/again'
    os.mkdir(path)
    os.chown(path, root.alice.uid, root.alice.gid)
    return path


@cases([(f'interrupted by {name}, it ends at once, and what was made can be removed', number)
        for name, number in (('SIGINT', signal.SIGINT), ('SIGTERM', signal.SIGTERM), ('SIGKILL', signal.SIGKILL))])
def _(root, number):
    where = target(root)
    read, write = os.pipe()
    child = start(root, 'archive', '-', where, stdin=read)
    os.close(read)
    data = Archive().directory('d', mode=0o000, uid=5).add('d/a', b'x' * 5000).add('b', b'y' * 100000).data()
    os.write(write, data[:20000])
    wait_for(lambda: os.path.exists(f'{where}/b'), 'the second file')
    workers = [int(p) for p in open(f'/proc/{child.pid}/task/{child.pid}/children').read().split()]
    child.kill(number)
    done = child.wait(10)
    os.close(write)
    if number == signal.SIGKILL:
        assert done.code == -9, done
    else:
        fails(done, 'interrupted by SIG')
    wait_for(lambda: not any(os.path.exists(f'/proc/{pid}/exe') for pid in workers), 'the worker to be gone')
    well(call(root, 'remove', os.path.dirname(where), 'target'))
    assert os.listdir(os.path.dirname(where)) == []


# --- removing -------------------------------------------------------------------------------

def tree_of_alice(root):
    """A target with files of several of her ids."""
    where = target(root)
    for name in ('a/b', 'closed'):
        os.makedirs(f'{where}/{name}')
    for name, uid in (('a/f', 0), ('a/b/g', 1000), ('closed/h', 33)):
        with open(f'{where}/{name}', 'w') as file:
            file.write('x')
        os.chown(f'{where}/{name}', FIRST + uid, FIRST + uid)
    for name in ('', 'a', 'a/b', 'closed'):
        os.chown(f'{where}/{name}', FIRST + 7, FIRST + 7)
    os.chmod(f'{where}/closed', 0)
    return where


@case("files of any mapped owner and the caller's own go, closed directories, fifos, sockets and links, and nothing that a link names")
def _(root):
    out = outside(root)
    where = tree_of_alice(root)
    os.symlink(out, f'{where}/a/link')
    os.mkfifo(f'{where}/a/fifo')
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(f'{where}/a/socket')
    with open(f'{where}/own', 'w') as file:
        file.write('x')
    os.chown(f'{where}/own', root.alice.uid, root.alice.gid)
    well(call(root, 'remove', os.path.dirname(where), 'target'))
    assert os.listdir(os.path.dirname(where)) == []
    untouched(out)


@case('a name that is a link: the link goes, not what it names; a name that is not there is none')
def _(root):
    out = outside(root)
    where = home(root)
    os.symlink(out, f'{where}/l')
    well(call(root, 'remove', where, 'l'))
    untouched(out)
    assert os.listdir(where) == []
    well(call(root, 'remove', where, 'l'))


@case('a tree deeper than any path and than open files goes')
def _(root):
    where = target(root)
    fd = os.open(where, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir('deeper' * 10, dir_fd=fd)
        below = os.open('deeper' * 10, os.O_RDONLY, dir_fd=fd)
        os.fchown(fd, FIRST, FIRST)
        os.close(fd)
        fd = below
    os.fchown(fd, FIRST, FIRST)
    os.close(fd)
    well(call(root, 'remove', os.path.dirname(where), 'target', rlimits={__import__('resource').RLIMIT_NOFILE: 256}))
    assert os.listdir(os.path.dirname(where)) == []


@case('what is mounted in it stays, is named, and the rest goes')
def _(root):
    where = tree_of_alice(root)
    mount('tmpfs', f'{where}/a/b', 'tmpfs')
    with open(f'{where}/a/b/kept', 'w') as file:
        file.write('x')
    try:
        fails(call(root, 'remove', os.path.dirname(where), 'target'), "'b'", 'mounted')
        assert os.listdir(f'{where}/a/b') == ['kept'] and os.listdir(where) == ['a'], os.listdir(where)
    finally:
        umount(f'{where}/a/b')
    well(call(root, 'remove', os.path.dirname(where), 'target'))


@case('a bind mount of the same file system is not entered, either')
def _(root):
    out = outside(root)
    where = tree_of_alice(root)
    mount(out, f'{where}/a/b', None, 4096)
    try:
        fails(call(root, 'remove', os.path.dirname(where), 'target'), "'b'", 'mounted')
        untouched(out)
    finally:
        umount(f'{where}/a/b')


@case('an immutable file is named, with what helps; the rest goes')
def _(root):
    if subprocess.run(['sh', '-c', f'touch {root.tmp}/i && chattr +i {root.tmp}/i && chattr -i {root.tmp}/i'],
                      stderr=subprocess.DEVNULL).returncode:
        skip('the file system knows no immutable files')
    where = tree_of_alice(root)
    subprocess.run(['chattr', '+i', f'{where}/a/f'], check=True)
    try:
        fails(call(root, 'remove', os.path.dirname(where), 'target'), "'f'", 'chattr -i')
        assert os.listdir(where) == ['a'] and os.listdir(f'{where}/a') == ['f']
    finally:
        subprocess.run(['chattr', '-i', f'{where}/a/f'], check=True)


@case('a tree that others change meanwhile goes once they stop')
def _(root):
    where = target(root)
    os.chmod(os.path.dirname(where), 0o711)
    os.chown(where, FIRST, FIRST)
    busy = root.target(root.alice.but(uid=FIRST, gid=FIRST), prepare=lambda: _churn(where))
    with busy:
        for _ in range(5):
            call(root, 'remove', os.path.dirname(where), 'target')
    well(call(root, 'remove', os.path.dirname(where), 'target'))
    assert os.listdir(os.path.dirname(where)) == []


def _churn(where):
    """Leaves a child that makes and moves files as fast as it can."""
    if os.fork():
        return
    number = 0
    while True:
        number += 1
        try:
            os.makedirs(f'{where}/{number % 7}/x', exist_ok=True)
            open(f'{where}/{number % 7}/x/{number}', 'w').close()
            os.rename(f'{where}/{number % 7}', f'{where}/moved{number % 5}')
        except OSError:
            pass
        if os.getppid() == 1 or number > 200000:
            os._exit(0)


if __name__ == '__main__':
    main()
