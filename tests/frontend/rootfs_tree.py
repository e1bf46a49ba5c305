"""What the tests of root file systems share: trees and archives to make, listings to compare, the tool to call."""

import hashlib
import io
import os
import shutil
import stat
import subprocess
import sys
import tarfile

sys.path.insert(0, os.path.dirname(__file__))
from container import FIRST, fails, well  # noqa: E402,F401
from harness import skip, spawn  # noqa: E402

IDS = f'{FIRST}:65536'


def tool(root):
    """tests/frontend/rootfs_tool, where alice may run it."""
    path = f'{root.tmp}/rootfs_tool'
    if not os.path.exists(path):
        root.copy_program(f'{root.build}/tests/frontend/rootfs_tool', path, None)
    return path


def home(root, name='work'):
    """A fresh directory of alice's that nobody else may enter."""
    path = f'{root.tmp}/{name}'
    clean(path)
    os.mkdir(path, 0o700)
    os.chown(path, root.alice.uid, root.alice.gid)
    return path


def clean(path):
    shutil.rmtree(path, ignore_errors=True)


def target(root, name='target'):
    """An empty directory of alice's in a directory that is hers alone."""
    path = f'{home(root)}/{name}'
    os.mkdir(path, 0o755)
    os.chown(path, root.alice.uid, root.alice.gid)
    return path


def words(root, *args, ids=IDS, max_size=None):
    return [tool(root), *(['--max-size', max_size] if max_size else []), ids, *args]


def call(root, *args, ids=IDS, max_size=None, user=None, timeout=60, **how):
    return root.run(words(root, *args, ids=ids, max_size=max_size), user or root.alice, timeout=timeout, **how)


def unpack(root, archive, where, **how):
    return call(root, 'archive', archive, where, **how)


def start(root, *args, ids=IDS, max_size=None, **how):
    return spawn(words(root, *args, ids=ids, max_size=max_size), root.alice, **how)


def counts(done):
    """{'entries': 3, ...} of what the tool printed."""
    pairs = (word.split('=', 1) for word in well(done).out.splitlines()[0].split())
    return {name: int(number) for name, number in pairs}


def listing(top, shift=0, times=True):
    """{path: everything that stat, xattrs and content say}, ids less `shift`; hard links by their first name."""
    found, links = {}, {}
    top = os.fsencode(top)

    def look(path):
        name = os.path.relpath(path, top)
        facts = os.lstat(path)
        kind = stat.S_IFMT(facts.st_mode)
        row = {'mode': oct(facts.st_mode), 'owner': (facts.st_uid - shift, facts.st_gid - shift)}
        if times:
            row['time'] = facts.st_mtime_ns
        if kind == stat.S_IFLNK:
            row['to'] = os.readlink(path)
        row['attributes'] = {a: os.getxattr(path, a, follow_symlinks=False)
                             for a in os.listxattr(path, follow_symlinks=False)}
        if kind == stat.S_IFREG:
            with open(path, 'rb') as file:
                row['content'] = hashlib.sha256(file.read()).hexdigest() if facts.st_size < 1 << 28 else facts.st_size
            row['size'] = facts.st_size
            row['link'] = links.setdefault((facts.st_dev, facts.st_ino), name)
        if kind in (stat.S_IFCHR, stat.S_IFBLK):
            row['device'] = facts.st_rdev
        found[name] = row
        if kind == stat.S_IFDIR:
            for below in sorted(os.listdir(path)):
                look(os.path.join(path, below))
    look(top)
    return found


def same(ours, theirs):
    """Compares two listings and names the first differences."""
    wrong = []
    for name in sorted(set(ours) | set(theirs)):
        if ours.get(name) != theirs.get(name):
            wrong.append(f'{name}: ours {ours.get(name)}, theirs {theirs.get(name)}')
    assert not wrong, f'{len(wrong)} of {len(theirs)} differ:\n' + '\n'.join(wrong[:10])


def rich_tree(top):
    """A tree with everything that a root file system has, made by root."""
    if not shutil.which('setfacl'):
        skip('setfacl is not installed')
    clean(top)
    for name in ('etc', 'usr/bin', 'usr/lib/deep/er/still', 'var/mail', 'tmp', 'home/u', 'empty', 'closed'):
        os.makedirs(f'{top}/{name}')
    os.symlink('usr/bin', f'{top}/bin')
    os.symlink('/etc/absent', f'{top}/etc/dangling')
    os.symlink('../../../../etc/passwd', f'{top}/usr/lib/up')
    files = {'etc/passwd': b'root:x:0:0::/root:/bin/sh\n', 'usr/bin/su': b'\x7fELF' * 1000, 'usr/bin/ping': b'p' * 70000,
             'home/u/mine': b'', 'usr/lib/deep/er/still/here': os.urandom(3 << 20), 'usr/lib/acl': b'acl',
             'a name with\nnewline and \xff\xfe bytes': b'1', 'ünïcode': b'2', 'n' * 255: b'3', 'usr/lib/' + 'd' * 180: b'4'}
    for name, data in files.items():
        with open(os.path.join(os.fsencode(top), name.encode() if name.isascii() or 'ü' in name else name.encode('latin-1')), 'wb') as file:
            file.write(data)
    for name, owner, mode in (('usr/bin/su', (0, 0), 0o4755), ('usr/bin/ping', (0, 0), 0o755), ('home/u', (1000, 1000), 0o700),
                              ('home/u/mine', (1000, 1001), 0o600), ('var/mail', (0, 8), 0o2775), ('tmp', (0, 0), 0o1777),
                              ('closed', (65534, 65534), 0o000), ('usr/lib/acl', (33, 33), 0o640), ('etc/passwd', (0, 42), 0o6711)):
        os.chown(f'{top}/{name}', *owner)
        os.chmod(f'{top}/{name}', mode)
    os.lchown(f'{top}/etc/dangling', 1000, 1000)
    os.link(f'{top}/usr/bin/su', f'{top}/usr/bin/sudo')
    os.link(f'{top}/etc/dangling', f'{top}/etc/dangling2')
    os.mkfifo(f'{top}/tmp/fifo', 0o640)
    os.chown(f'{top}/tmp/fifo', 7, 7)
    os.chmod(f'{top}/tmp/fifo', 0o666)
    with open(f'{top}/var/sparse', 'wb') as file:
        file.write(b'begin')
        file.seek(64 << 20)
        file.write(b'middle')
        file.truncate(200 << 20)
    subprocess.run(['setcap', 'cap_net_raw+ep', f'{top}/usr/bin/ping'], check=True)
    os.setxattr(f'{top}/usr/lib/acl', 'user.note', b'binary \0 value')
    subprocess.run(['setfacl', '-m', 'u:1000:rwx,g:33:r,m:rx', f'{top}/usr/lib/acl'], check=True)
    subprocess.run(['setfacl', '-m', 'd:u:1000:rwx', f'{top}/var/mail'], check=True)
    for number, (directory, _, names) in enumerate(os.walk(top, topdown=False)):
        for name in names + ['.']:
            os.utime(f'{directory}/{name}', ns=(10**18 + number, 10**18 + number * 1000 + 123456789), follow_symlinks=False)
    return top


def tar_of(where, name, *options):
    options = options or ('--format=posix', '--xattrs', '--xattrs-include=*', '--acls')
    subprocess.run(['tar', '-C', where, '-cf', name, '--numeric-owner', '--sparse', *options, '.'], check=True)
    os.chmod(name, 0o644)
    return name


class Archive:
    """A tar, member by member, with any names and facts: what no tar program would write."""

    def __init__(self, form=tarfile.PAX_FORMAT):
        self.bytes = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.bytes, mode='w', format=form, errors='surrogateescape')

    def add(self, name, data=None, **facts):
        member = tarfile.TarInfo(name)
        member.mode = 0o755 if facts.get('type') == tarfile.DIRTYPE else 0o644
        for key, value in facts.items():
            setattr(member, key, value)
        if data is not None:
            member.size = len(data)
        self.tar.addfile(member, io.BytesIO(data) if data is not None else None)
        return self

    def directory(self, name, **facts):
        return self.add(name, type=tarfile.DIRTYPE, **facts)

    def link(self, name, to, **facts):
        return self.add(name, type=tarfile.SYMTYPE, linkname=to, **facts)

    def hard(self, name, to, **facts):
        return self.add(name, type=tarfile.LNKTYPE, linkname=to, **facts)

    def data(self):
        self.tar.close()
        return self.bytes.getvalue()

    def write(self, path, owner=None):
        with open(path, 'wb') as file:
            file.write(self.data())
        os.chmod(path, 0o644)
        return path
