"""userns-run: the root file system, what is mounted in it, and that nothing leads out of it."""

import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(__file__))
from container import FIRST, PYTHON, fails, give, rootfs, run, shell, start, well  # noqa: E402
from harness import case, cases, main, wait_for  # noqa: E402


def mounts(done):
    """{destination: (type, options)} of a `cat /proc/mounts`."""
    rows = [line.split() for line in well(done).out.splitlines()]
    return {row[1]: (row[2], row[3].split(',')) for row in rows}


def host_file(root, name='secret', text='host'):
    """A file of alice's in a directory of the host's."""
    path = f'{root.tmp}/outside'
    os.makedirs(path, exist_ok=True)
    os.chown(path, root.alice.uid, root.alice.gid)
    root.write(f'{path}/{name}', text, owner=(root.alice.uid, root.alice.gid))
    return path


# --- the host's own tree --------------------------------------------------------------------

@case('without a rootfs the host\'s own tree is used, with a fresh /proc')
def _(root):
    done = well(shell(root, 'echo $$; ls -d /proc/[0-9]* | wc -l; test -d /etc'))
    assert done.out.split()[0] == '1' and int(done.out.split()[1]) <= 3, done


@case('what is mounted inside is not seen by the host')
def _(root):
    child = start(root, '--tmpfs', '/mnt/home', command=('sleep', '30'))
    wait_for(lambda: os.path.exists(f'/proc/{child.pid}'), 'it')
    with open('/proc/self/mounts') as file:
        assert ' /mnt/home ' not in file.read()
    child.kill()


@case('a bind over the host\'s tree: $HOME over /root')
def _(root):
    home = f'{root.tmp}/home/alice'
    root.write(f'{home}/mine', 'mine', owner=(root.alice.uid, root.alice.gid))
    os.chmod(home, 0o700)
    done = well(run(root, '--map', f'u:0:{root.alice.uid}:1', '--map', f'g:0:{root.alice.gid}:1', '--bind', f'{home}:/root',
                    command=('cat', '/root/mine')))
    assert done.out == 'mine'


@case('--read-only protects the host\'s tree from its owner')
def _(root):
    home = f'{root.tmp}/home/alice'
    os.chmod(home, 0o755)
    done = shell(root, f'echo x >{home}/new', '--map-self', '--read-only')
    assert done.code != 0 and 'Read-only' in done.err and not os.path.exists(f'{home}/new'), done


@case('--overlay of the host\'s tree: changes to one\'s own files are seen inside and thrown away')
def _(root):
    home = f'/home/userns-test-{os.getpid()}'  # /home is not a mount of its own here, so it can be a layer
    os.makedirs(home)
    try:
        os.chown(home, root.alice.uid, root.alice.gid)
        done = well(shell(root, f'echo new >{home}/x; cat {home}/x; ls -d /etc', '--map-self', '--overlay'))
        assert done.out.split() == ['new', '/etc'] and os.listdir(home) == [], done
    finally:
        os.rmdir(home)


@case('an overlay of the host\'s tree does not open its closed directories')
def _(root):
    closed = '/var/tmp/userns-closed'
    os.makedirs(closed, exist_ok=True)
    try:
        os.chmod(closed, 0o700)
        root.write(f'{closed}/secret', 'secret')
        done = run(root, '--overlay', command=('cat', f'{closed}/secret'))
        assert done.code == 1 and 'Permission denied' in done.err, done
        assert run(root, '--overlay', command=('ls', '-A', closed)).out == ''
    finally:
        os.unlink(f'{closed}/secret')
        os.rmdir(closed)


# --- a rootfs -------------------------------------------------------------------------------

@case('a rootfs has proc, sys, dev, run and tmp, and nothing of the host\'s mounts')
def _(root):
    found = mounts(run(root, command=('cat', '/proc/mounts'), where=rootfs(root)))
    expected = {'/proc': 'proc', '/sys': 'sysfs', '/dev': 'tmpfs', '/dev/pts': 'devpts', '/dev/shm': 'tmpfs',
                '/dev/mqueue': 'mqueue', '/run': 'tmpfs', '/tmp': 'tmpfs'}
    for place, kind in expected.items():
        assert found[place][0] == kind, (place, found)
    assert not [place for place in found if place.startswith(('/mnt', '/home', '/etc'))], found
    for place in ('/proc', '/sys', '/dev/mqueue'):
        assert {'nosuid', 'nodev', 'noexec'} <= set(found[place][1]), (place, found)


@case('/dev is private and holds what programs need')
def _(root):
    done = well(shell(root, 'ls /dev; echo x >/dev/null; head -c 3 /dev/zero | od -An -tx1; head -c 1 /dev/urandom | wc -c; '
                            'readlink /dev/fd; readlink /dev/ptmx; echo x >/dev/full || echo full', where=rootfs(root)))
    names = done.out.split()[:14]
    assert set('core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero'.split()) <= set(done.out.split()), names
    assert '00 00 00' in done.out and '/proc/self/fd' in done.out and 'pts/ptmx' in done.out and 'full' in done.out, done


@case('the host\'s tree is out of reach: /.., /proc/1/root, old mounts, open directories')
def _(root):
    where = rootfs(root)
    path = host_file(root)
    script = ('for up in /.. /../.. /proc/1/root/.. /proc/self/root/.. /proc/self/cwd/../../..; do ls $up | grep -x outside; '
              'test -e $up/mnt/outside && echo reached $up; done; umount / 2>/dev/null; umount -l / 2>/dev/null; '
              'ls / | grep -x mnt; ls /proc/self/fd; true')
    done = well(shell(root, script, where=where, cwd=path))
    assert 'reached' not in done.out and 'outside' not in done.out and 'mnt' not in done.out.split(), done
    inside = os.stat(where).st_ino
    assert well(shell(root, 'stat -c %i / /..', where=where)).out.split() == [str(inside)] * 2


@case('the same with an overlay, whose layers are mounted on the way')
def _(root):
    host_file(root)
    done = well(shell(root, 'ls /..; ls /../..; grep -c " / " /proc/mounts', '--overlay', where=rootfs(root)))
    assert 'outside' not in done.out and 'mnt' not in done.out.split() and done.out.split()[-1] == '1', done


@case('process 1 of --init leads nowhere: its /proc is closed to the container\'s root')
def _(root):
    done = shell(root, 'readlink /proc/1/exe; ls -l /proc/1/fd/ /proc/1/root/', '--init', where=rootfs(root))
    assert 'userns-run' not in done.out and done.code != 0, done


@case('files made inside belong to the subordinate ids outside')
def _(root):
    where = rootfs(root)
    well(shell(root, 'touch /made-by-root', where=where))
    well(shell(root, 'touch /home/u/made-by-u', '--uid', 1000, '--gid', 1000, where=where), 1)
    os.chown(f'{where}/home/u', FIRST + 1000, FIRST + 1000)
    well(shell(root, 'touch /home/u/made-by-u', '--uid', 1000, '--gid', 1000, where=where))
    assert os.stat(f'{where}/made-by-root').st_uid == FIRST
    assert os.stat(f'{where}/home/u/made-by-u').st_uid == FIRST + 1000


@case('--read-only makes the rootfs read-only, with writable /tmp and /run')
def _(root):
    where = rootfs(root)
    for directory in ('proc', 'sys', 'dev', 'tmp', 'run'):
        os.makedirs(f'{where}/{directory}', exist_ok=True)
    done = well(shell(root, 'touch /x 2>&1; touch /tmp/x /run/x && echo fine; umount /tmp 2>/dev/null; mount -o remount,rw / 2>/dev/null; touch /y 2>&1; true',
                      '--read-only', where=where))
    assert done.out.count('Read-only') == 2 and 'fine' in done.out and not os.path.exists(f'{where}/y'), done


@case('--read-only with a missing mount point says which')
def _(root):
    fails(run(root, '--read-only', command=('true',), where=rootfs(root)), "'/proc'", 'read-only')


@case('--overlay keeps changes to a rootfs out of it')
def _(root):
    where = rootfs(root)
    done = well(shell(root, 'echo x >/new && rm /bin/stty && touch /etc/passwd && cat /new && ls /bin | grep -c stty; true', '--overlay', where=where))
    assert done.out.split() == ['x', '0'], done
    assert not os.path.exists(f'{where}/new') and os.path.islink(f'{where}/bin/stty')


def changes(root, name):
    path = f'{root.tmp}/home/alice/{name}'
    shutil.rmtree(path, ignore_errors=True)
    os.mkdir(path, 0o700)
    os.chown(path, root.alice.uid, root.alice.gid)
    return path


@case('--changes keeps them from start to start; two containers on one rootfs do not see each other\'s, and it stays as it is')
def _(root):
    where = rootfs(root)
    before = sorted(os.listdir(where)), sorted(os.listdir(f'{where}/bin'))
    os.chmod(where, 0o751)
    one, two = changes(root, 'one'), changes(root, 'two')
    script = 'echo %s >/new && rm /bin/stty && chown u /etc/passwd && mkdir -p /home/u/d && rm -r /home/u && mkdir /home/u && echo x >/home/u/y'
    for name, path in (('1', one), ('2', two)):
        well(shell(root, script % name, '--changes', path, where=where))
    for name, path in (('1', one), ('2', two)):
        done = well(shell(root, 'cat /new; ls /home/u; ls /bin | grep -c stty; stat -c %u /etc/passwd; stat -c %a /', '--changes', path, where=where), 0)
        assert done.out.split() == [name, 'y', '0', '1000', '751'], done
    assert before == (sorted(os.listdir(where)), sorted(os.listdir(f'{where}/bin')))
    assert os.stat(f'{one}/upper/new').st_uid == FIRST and sorted(os.listdir(one)) == ['upper', 'work']


@case('--changes that cannot be kept are an error that leaves nothing')
def _(root):
    where = rootfs(root)
    path = changes(root, 'one')
    fails(run(root, '--changes', f'{path}/absent', where=where), 'absent', 'No such file')
    fails(run(root, '--changes', path, where=f'{where}-absent'), 'absent')
    fails(run(root, '--changes', path), '--rootfs')
    fails(run(root, '--changes', path, '--overlay', where=where), '--overlay')
    fails(run(root, '--changes', path, '--read-only', where=where), '--read-only')
    root.subuid('')
    fails(run(root, '--changes', path, '--map', '100000:65536', where=where), 'not allowed')
    assert os.listdir(path) == []
    os.chmod(path, 0o500)
    fails(run(root, '--changes', path, where=where))
    assert os.listdir(path) == []


@case('a rootfs in a closed home directory works: it is opened with the caller\'s rights')
def _(root):
    home = f'{root.tmp}/home/alice'
    where = rootfs(root, 'home/alice/closed-rootfs')
    os.chmod(home, 0o700)
    well(run(root, command=('ls', '/bin/busybox'), where=where))


@case('a rootfs that the caller can\'t reach is explained with the directory in the way')
def _(root):
    where = rootfs(root, 'home/bob/rootfs')
    os.chmod(f'{root.tmp}/home/bob', 0o700)
    fails(run(root, where=where), f"the directory '{root.tmp}/home/bob'", '(mode 0700) may not be searched')


@case('a rootfs that the container\'s root may not enter is explained')
def _(root):
    where = rootfs(root)
    os.chown(where, root.alice.uid, root.alice.gid)
    os.chmod(where, 0o700)
    fails(run(root, where=where), 'may not enter', 'chmod o+x')


@cases([('a missing rootfs', 'missing', "/missing': No such file"), ('a rootfs that is a file', 'file', 'not a directory')])
def _(root, name, piece):
    path = f'{root.tmp}/{name}'
    if name == 'file':
        root.write(path, '')
    fails(run(root, where=path), piece)


# --- binds ----------------------------------------------------------------------------------

@case('--bind shows a directory or a file of the host\'s, and makes the destination')
def _(root):
    where = rootfs(root)
    path = host_file(root)
    done = well(run(root, '--bind', f'{path}:/a/b/c', '--bind', f'{path}/secret:/etc/file', command=('cat', '/a/b/c/secret', '/etc/file'), where=where))
    assert done.out == 'hosthost', done


WRITERS = '''
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.mount(None, b"/b", None, 32 | 4096, None)                                   # MS_REMOUNT | MS_BIND
attr = (ctypes.c_uint64 * 4)(0, 1, 0, 0)                                         # clear MOUNT_ATTR_RDONLY
libc.syscall(442, -100, b"/b", 0, ctypes.byref(attr), 32)
tree = libc.syscall(428, -100, b"/b", 1)                                         # a clone of the tree
libc.syscall(442, tree, b"", 0x1000, ctypes.byref(attr), 32)
copy = libc.syscall(467, -100, b"/b", 1, ctypes.byref(attr), 32)                 # open_tree_attr, a clone with other flags
for path in ("/b/secret", f"/proc/self/fd/{tree}/secret", f"/proc/self/fd/{copy}/secret"):
    try: open(path, "w").write("x"); print("written", path)
    except OSError as error: print(error.errno)
'''


@case('a bind with :ro can\'t be written, nor made writable by the container\'s root')
def _(root):
    path = host_file(root)
    os.chmod(f'{path}/secret', 0o666)
    done = well(shell(root, 'echo x >/b/secret; mount -o remount,rw,bind /b; echo x >/b/secret; true',
                      '--bind', f'{path}:/b:ro', where=rootfs(root)))
    assert done.err.count('Read-only') == 2, done
    # With every call there is, in a tree that has a Python.
    done = well(run(root, '--overlay', '--tmpfs', '/b', '--bind', f'{path}:/b:ro', command=(PYTHON, '-c', WRITERS)))
    assert done.out.split() == ['30', '30', '2'], done
    assert open(f'{path}/secret').read() == 'host'


@case('a container in one with read-only binds still starts')
def _(root):
    path = host_file(root)
    program = root.program('userns-run')
    done = well(run(root, '--bind', f'{path}:/mnt/outside:ro', command=(program, '--', 'id', '-u')))
    assert done.out == '0\n', done


@case('what the host mounted read-only stays read-only in a bind')
def _(root):
    from harness import mount, umount, MS_RDONLY
    path = f'{root.tmp}/ro'
    os.makedirs(path, exist_ok=True)
    mount('tmpfs', path, 'tmpfs', MS_RDONLY, 'mode=1777')
    try:
        done = run(root, '--bind', f'{path}:/b', command=('sh', '-c', 'mount -o remount,rw,bind /b; touch /b/x'), where=rootfs(root))
        assert done.code != 0 and 'Read-only' in done.err, done
    finally:
        umount(path)


@case('the source of a bind may be relative to the caller\'s directory')
def _(root):
    path = host_file(root)
    assert well(run(root, '--bind', 'secret:/s', command=('cat', '/s'), where=rootfs(root), cwd=path)).out == 'host'


@case('a missing source of a bind is told')
def _(root):
    fails(run(root, '--bind', f'{root.tmp}/no/such:/b', where=rootfs(root)), f"'{root.tmp}/no' does not exist")


@case('--tmpfs gives an empty writable directory')
def _(root):
    where = rootfs(root)
    well(shell(root, 'ls /bin2 && touch /bin2/x', '--tmpfs', '/bin2', where=where))
    assert os.listdir(f'{where}/bin2') == []


# Links in a hostile root file system that would lead a careless mount out of it. The victim is a directory of the host
# that alice herself may write, so that only our care protects it.
ATTACKS = [('an absolute link to the host', '{victim}'), ('a link up and out', '../../../../../../..{victim}'),
           ('a chain of links', 'l1'), ('a link through /proc', '/proc/self/root{victim}'), ('a link to itself', 'etc')]


@cases([(f'a bind destination behind {what} stays inside', target) for what, target in ATTACKS])
def _(root, target):
    where = rootfs(root)
    victim = host_file(root)
    os.rename(f'{where}/etc', f'{where}/etc-real')
    os.symlink(target.format(victim=victim), f'{where}/etc')
    os.symlink(f'..{victim}', f'{where}/l1')
    source = f'{root.tmp}/source'
    os.makedirs(source, exist_ok=True)
    before = sorted(os.listdir(victim))
    done = run(root, '--bind', f'{source}:/etc/new', '--tmpfs', '/etc', command=('ls', '-la', '/etc/'), where=where)
    assert done.code in (0, 125), done
    assert sorted(os.listdir(victim)) == before == ['secret'], os.listdir(victim)


@cases([(f'{place} being a link to a directory of the host\'s does not let it be mounted over', place)
        for place in ('dev', 'proc', 'sys', 'run', 'tmp')])
def _(root, place):
    where = rootfs(root)
    victim = host_file(root)
    os.symlink(victim, f'{where}/{place}')
    done = run(root, command=('true',), where=where)
    assert done.code in (0, 125), done
    assert os.listdir(victim) == ['secret']


@case('a dangling link as destination is refused, and nothing is made at its end')
def _(root):
    where = rootfs(root)
    victim = host_file(root)
    os.symlink(f'{victim}/planted', f'{where}/data')
    done = fails(run(root, '--bind', f'{victim}:/data', where=where), "'/data'", 'dangling symbolic link')
    assert os.listdir(victim) == ['secret'], done


@case('a link of the rootfs to a place inside it is followed inside')
def _(root):
    where = rootfs(root)
    os.symlink('/root', f'{where}/link')
    give(f'{where}/link', FIRST)
    path = host_file(root)
    assert well(run(root, '--bind', f'{path}:/link/x', command=('cat', '/root/x/secret'), where=where)).out == 'host'


@case('a container in a container gets its own /proc and /dev')
def _(root):
    program = root.program('userns-run')
    script = f'{program} -- sh -c "ls -d /proc/[0-9]* | wc -l"'
    assert int(well(shell(root, script)).out) <= 4


main()
