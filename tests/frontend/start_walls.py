#!/usr/bin/env python3
"""From inside: a container's root tries to take off what its own container's mounts are to hold."""

import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
from container import FIRST, fails, rootfs, run, shell, well  # noqa: E402
from harness import case, cases, main, skip  # noqa: E402
from start_walls_lib import ATTACK, LOOSE, USR, attack, node, open_directory, python_rootfs  # noqa: E402

# --- read-only ------------------------------------------------------------------------------

@case('a bind with :ro stays so, whatever root inside calls')
def _(root):
    path = open_directory(root)
    assert not (found := attack(root, 'writable', '/b', *USR, '--bind', f'{path}:/b:ro', where=python_rootfs(root))), found
    assert os.listdir(path) == []


@case('a file that is bound :ro, too')
def _(root):
    path = open_directory(root)
    root.write(f'{path}/file', 'host', 0o666)
    assert not (found := attack(root, 'writable', '/f', *USR, '--bind', f'{path}/file:/f:ro', where=python_rootfs(root))), found
    assert open(f'{path}/file').read() == 'host'


@case('--read-only holds a root file system')
def _(root):
    where = python_rootfs(root)
    for name in ('proc', 'sys', 'dev', 'run', 'tmp', 'usr', 'lib', 'lib64'):
        os.makedirs(f'{where}/{name}', exist_ok=True)
    root.write(f'{where}/etc/ld.so.cache', '')
    before = sorted(os.listdir(where))
    assert not (found := attack(root, 'writable', '/', *USR, '--read-only', where=where)), found
    assert sorted(os.listdir(where)) == before


@case('--read-only holds the host\'s own tree')
def _(root):
    path = open_directory(root)
    program = f'{root.tmp}/attack.py'
    root.write(program, open(ATTACK).read())
    assert not (found := attack(root, 'writable', path, '--read-only', '--tmpfs', '/tmp', program=program)), found
    assert os.listdir(path) == []


@case('/sys and the kernel\'s parts of /proc stay read-only')
def _(root):
    where = python_rootfs(root)
    for path in ('/sys', '/proc/sys/vm/swappiness', '/proc/sys/kernel/core_pattern'):
        assert not (found := attack(root, 'writable', path, *LOOSE, where=where)), (path, found)


# --- devices --------------------------------------------------------------------------------

@case('a device that is the container\'s in its root file system can\'t be opened')
def _(root):
    where = python_rootfs(root)
    node(root, f'{where}/node')
    assert not (found := attack(root, 'device', '/node', *LOOSE, where=where)), found


@case('nor one below the mount of /dev, once that is taken away')
def _(root):
    where = python_rootfs(root)
    os.makedirs(f'{where}/dev')
    node(root, f'{where}/dev/disk')
    done = shell(root, 'umount -l /dev; mount -o remount,bind,dev /; head -c9 /dev/disk | wc -c', where=where)
    assert done.out.strip() in ('', '0'), done


@case('nor one in a directory that is bound')
def _(root):
    path = open_directory(root)
    node(root, f'{path}/node')
    where = python_rootfs(root)
    done = run(root, '--bind', f'{path}:/b', command=('head', '-c', '9', '/b/node'), where=where)
    assert done.code != 0 and done.out == '', done
    assert not (found := attack(root, 'device', '/b/node', *LOOSE, '--bind', f'{path}:/b', where=where)), found


@cases([('nor one that it has moved to where a file is bound from', FIRST, 0o755),
        ('nor one of the host\'s root, moved into a directory that all may write to', 0, 0o1777)])
def _(root, owner, mode):
    path = open_directory(root)
    os.chown(path, owner, owner)
    os.chmod(path, mode)
    root.write(f'{path}/data', 'meant', 0o644, (FIRST, FIRST))
    words = ('--bind', f'{path}/data:/data')
    where = rootfs(root)
    assert well(run(root, *words, command=('cat', '/data'), where=where)).out == 'meant'
    node(root, f'{path}/data', owner)  # as mv(1) inside does it with one that lies in its tree
    fails(run(root, *words, command=('head', '-c', '9', '/data'), where=where), f'{path}/data', 'is a device')


@case('nor one in the host\'s own tree')
def _(root):
    path = open_directory(root)
    node(root, f'{path}/node')
    done = run(root, command=('head', '-c', '9', f'{path}/node'))
    assert done.code != 0 and done.out == '', done
    program = f'{root.tmp}/attack.py'
    root.write(program, open(ATTACK).read())
    assert not (found := attack(root, 'device', f'{path}/node', program=program)), found


@case('the devices of /dev work in both trees, and one that the caller binds by name does')
def _(root):
    script = 'head -c 3 /dev/zero | wc -c; echo x >/dev/null && head -c 1 /dev/urandom | wc -c'
    for where in (None, rootfs(root)):
        assert well(shell(root, script, where=where)).out.split() == ['3', '1'], where
    done = well(run(root, '--bind', '/dev/zero:/z', command=('head', '-c', '3', '/z'), where=rootfs(root)))
    assert done.out == '\0\0\0', done


@case('every mount but those of devices is nodev')
def _(root):
    lines = well(run(root, command=('cat', '/proc/self/mountinfo'), where=rootfs(root))).out.splitlines()
    rows = [line.split() for line in lines]
    open_ones = {row[4] for row in rows if 'nodev' not in row[5].split(',')}
    allowed = {f'/dev/{name}' for name in ('null', 'zero', 'full', 'random', 'urandom', 'tty', 'pts')}
    assert open_ones - allowed == {row[4] for row in rows if row[4].startswith('/proc/') and row[3] == '/null'}, open_ones


# --- covers ---------------------------------------------------------------------------------

@case('what covers the kernel\'s paths can\'t be taken away')
def _(root):
    where = python_rootfs(root)
    for path in ('/proc/keys', '/proc/kcore', '/sys/firmware'):
        if os.path.exists(path):
            assert not (found := attack(root, 'uncovered', path, *LOOSE, where=where)), (path, found)


# --- and what has to go on working ----------------------------------------------------------

@case('root inside still mounts, binds, makes read-only and unmounts what is his')
def _(root):
    script = '''mkdir /a /b && mount -t tmpfs none /a && touch /a/x && mount --bind /a /b && mount -o remount,bind,ro /b &&
                ! touch /b/y 2>/dev/null && mount -o remount,bind,rw /b && touch /b/y && umount /b && umount /a && umount /tmp && echo fine'''
    assert well(shell(root, script, where=rootfs(root))).out == 'fine\n'


@cases([('in the host\'s tree', None), ('in a root file system', 'rootfs')])
def _(root, name):
    where = None
    if not os.path.exists('/usr/bin/bwrap'):
        skip('bubblewrap is not installed')
    args = ('--overlay',) if name else ()
    for words in (['--ro-bind', '/', '/', '--unshare-all'], ['--ro-bind', '/', '/', '--unshare-all', '--proc', '/proc', '--dev', '/dev'],
                  ['--bind', '/', '/', '--unshare-user', '--unshare-pid', '--proc', '/proc', '--tmpfs', '/tmp']):
        done = run(root, *args, command=('bwrap', *words, 'sh', '-c', 'echo fine'), where=where)
        assert done.code == 0 and done.out == 'fine\n', (words, done)


main()
