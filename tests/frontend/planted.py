"""Places that a container could have changed in an earlier run: a link in them is refused, not followed (B7)."""

import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(__file__))
from container import FIRST, fails, give, rootfs, run, shell, well  # noqa: E402
from named import Store  # noqa: E402
from harness import case, cases, main  # noqa: E402


def own(root, path):
    os.chown(path, root.alice.uid, root.alice.gid, follow_symlinks=False)
    return path


def places(root):
    """A directory of alice's that is handed to containers, one that is closed to everybody else, and her home around both."""
    home = f'{root.tmp}/places'
    shutil.rmtree(home, ignore_errors=True)
    for name in ('', '/share', '/share/cache', '/private', '/private/r'):
        os.mkdir(home + name, 0o755)
        own(root, home + name)
    root.write(f'{home}/private/key', 'SECRET', mode=0o600, owner=(root.alice.uid, root.alice.gid))
    os.chmod(f'{home}/private', 0o700)
    return home


def handed_over(root, home):
    """The share is the container root's, as `userns-run shift` leaves it."""
    os.chown(f'{home}/share', FIRST, FIRST)
    give(f'{home}/share', FIRST)


@case('run 1 replaces a bind\'s source by a link to a private directory, run 2 refuses it by name')
def _(root):
    home, tree = places(root), rootfs(root)
    handed_over(root, home)
    binds = ('--bind', f'{home}/share:/data', '--bind', f'{home}/share/cache:/var/cache')
    well(shell(root, f'rm -r /data/cache; ln -s {home}/private /data/cache', *binds[:2], where=tree))
    done = shell(root, 'ls -la /var/cache; cat /var/cache/key', *binds, where=tree)
    assert 'SECRET' not in done.out and 'key' not in done.out, done
    fails(done, 'share/cache', 'symbolic link', f'uid {FIRST}')


@case('with --map-self, where the link would show what only the caller may read')
def _(root):
    home = places(root)
    handed_over(root, home)
    swap(f'{home}/share/cache', f'{home}/private', FIRST)
    done = run(root, '--map-self', '--bind', f'{home}/share/cache:/x', command=('cat', '/x/key'), where=owned_tree(root))
    assert 'SECRET' not in done.out, done
    fails(done, 'share/cache', 'symbolic link', f'uid {FIRST}')


@cases([
    ('a directory on the way', 'share/cache/deep', lambda root, home: swap(f'{home}/share/cache', f'{home}/private', FIRST)),
    ('a link of the caller\'s own that a container could have moved there', 'share/cache',
     lambda root, home: swap(f'{home}/share/cache', f'{home}/private', root.alice.uid)),
    ('one below a directory that a container could have moved there', 'share/mine/link',
     lambda root, home: (own_dir(root, f'{home}/share/mine'),
                         swap(f'{home}/share/mine/link', f'{home}/private', root.alice.uid))),
])
def _(root, source, plant):
    home, tree = places(root), rootfs(root)
    handed_over(root, home)
    os.mkdir(f'{home}/private/deep')
    plant(root, home)
    done = shell(root, 'ls /x', '--bind', f'{home}/{source}:/x', where=tree)
    fails(done, 'symbolic link')


def own_dir(root, path):
    os.mkdir(path)
    return own(root, path)


def swap(path, target, owner):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    os.symlink(target, path)
    os.chown(path, owner, owner, follow_symlinks=False)


@cases([('a group of a container\'s may write to the directory', lambda path: (os.chown(path, -1, FIRST), os.chmod(path, 0o775))),
        ('everybody may', lambda path: os.chmod(path, 0o777)),
        ('an ACL lets one of its ids write', lambda path: os.system(f'setfacl -m u:{FIRST + 5}:rwx {path}') == 0 or 1 / 0),
        ('an ACL lets a group of its write', lambda path: os.system(f'setfacl -m g:{FIRST + 5}:rwx {path}') == 0 or 1 / 0)])
def _(root, open_up):
    home, tree = places(root), rootfs(root)
    swap(f'{home}/share/cache', f'{home}/private', root.alice.uid)
    source = f'{home}/share/cache'
    well(run(root, '--bind', f'{source}:/x', where=tree))
    open_up(f'{home}/share')
    fails(run(root, '--bind', f'{source}:/x', where=tree), 'share/cache', 'a container can write')


@cases([('--rootfs', lambda home: ('--rootfs', f'{home}/share/r')),
        ('--rootfs with --overlay', lambda home: ('--overlay', '--rootfs', f'{home}/share/r')),
        ('--changes', lambda home: ('--changes', f'{home}/share/r', '--rootfs', f'{home}/tree'))])
def _(root, words):
    home = places(root)
    os.rename(rootfs(root, 'planted-tree'), f'{home}/tree')
    handed_over(root, home)
    for target in (f'{home}/private/r', f'{home}/tree'):
        swap(f'{home}/share/r', target, FIRST)
        fails(run(root, *words(home), command=('true',)), 'share/r', 'symbolic link')
        os.unlink(f'{home}/share/r')


@case('the same with a container that has a name, at creation and at start')
def _(root):
    home = places(root)
    tree = rootfs(root, 'planted-tree')
    os.rename(tree, f'{home}/share/r')
    handed_over(root, home)
    store = Store(root)
    well(store.do('create', 'web', '--rootfs', f'{home}/share/r', command=['true']))
    os.rename(f'{home}/share/r', f'{home}/private/other')
    swap(f'{home}/share/r', f'{home}/private/other', FIRST)
    fails(store.do('start', 'web'), 'share/r', 'symbolic link')
    fails(store.do('create', 'two', '--rootfs', f'{home}/share/r', command=['true']), 'share/r', 'symbolic link')
    well(store.do('destroy', 'web', '--force'))


@case('links that only the caller or root can have made are followed: relative, absolute, several, with ..')
def _(root):
    home, tree = places(root), rootfs(root)
    for name, target in (('a', 'private'), ('b', f'{home}/a'), ('c', 'share/../b/'), ('private/d', '..')):
        os.symlink(target, f'{home}/{name}')
        own(root, f'{home}/{name}')
    for source in ('a', 'b', 'c', 'private/d/c', 'c/d/c'):
        # The caller's own id alone, so that the file can be read inside.
        done = run(root, '--map-self', '--bind', f'{home}/{source}:/x', command=('cat', '/x/key'), where=owned_tree(root))
        assert well(done).out == 'SECRET', (source, done)
    done = run(root, '--map-self', '--bind', 'c:/x', command=('cat', '/x/key'), where=owned_tree(root), cwd=home)
    assert well(done).out == 'SECRET', done
    del tree


def owned_tree(root):
    return rootfs(root, 'own-tree', root.alice.uid)


@case('links in circles, and ones that lead nowhere, are said')
def _(root):
    home, tree = places(root), rootfs(root)
    for name, target in (('a', 'b'), ('b', 'a'), ('gone', 'nowhere/x')):
        os.symlink(target, own(root, f'{home}') + f'/{name}')
        own(root, f'{home}/{name}')
    fails(run(root, '--bind', f'{home}/a:/x', where=tree), f"'{home}/a'", 'Too many levels')
    fails(run(root, '--bind', f'{home}/gone:/x', where=tree), f"'{home}/gone'", 'No such file')


@case('an open file of the caller\'s can be shown by its name in /proc')
def _(root):
    home, tree = places(root), rootfs(root)
    with open(f'{home}/private/key') as file:
        for source in ('/proc/self/fd/9', '/dev/fd/9'):
            done = run(root, '--map-self', '--bind', f'{source}:/x', command=('cat', '/x'), where=owned_tree(root), fds={9: file.fileno()})
            assert well(done).out == 'SECRET', done
    well(run(root, '--bind', '/proc/self/cwd/share:/x', where=tree, cwd=home))


@case('shift does not give away what a link in such a place leads to, whoever calls it')
def _(root):
    home = places(root)
    handed_over(root, home)
    swap(f'{home}/share/cache', f'{home}/private/r', FIRST)
    for user, named in ((root.alice, '100000:65536'), (None, '100000:65536')):
        done = root.run([root.program('userns-run'), 'shift', '--in', '--map', named, f'{home}/share/cache'], user)
        assert done.code == 125 and 'symbolic link' in done.err, done
        assert os.stat(f'{home}/private/r').st_uid == root.alice.uid


@case('a link that comes to be there between the look and the mount is not followed')
def _(root):
    """A race: the source is swapped back and forth while starts look at it."""
    home, tree = places(root), rootfs(root)
    handed_over(root, home)
    os.symlink(f'{home}/private', f'{home}/share/link')
    os.chown(f'{home}/share/link', FIRST, FIRST, follow_symlinks=False)
    private = os.stat(f'{home}/private').st_ino
    swapper = os.fork()
    if swapper == 0:
        import ctypes
        libc = ctypes.CDLL(None)
        a, b = f'{home}/share/cache'.encode(), f'{home}/share/link'.encode()
        while True:
            libc.renameat2(-100, a, -100, b, 2)
    try:
        outcomes = set()
        for _ in range(40):
            done = shell(root, 'ls -di /x', '--bind', f'{home}/share/cache:/x', where=tree)
            assert str(private) not in done.out.split(), done  # its inode, which even one who may not read it sees
            outcomes.add(done.code)
    finally:
        os.kill(swapper, 9)
        os.waitpid(swapper, 0)
    return f'{sorted(outcomes)}'


if __name__ == '__main__':
    main()
