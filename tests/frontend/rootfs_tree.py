"""What the tests of root file systems share: trees and archives to make, listings to compare, the tool to call."""

import hashlib
import io
import os
import shutil
import stat
import sys
import tarfile

sys.path.insert(0, os.path.dirname(__file__))
from container import FIRST, fails, well  # noqa: E402,F401
from harness import spawn  # noqa: E402

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
