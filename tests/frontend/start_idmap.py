#!/usr/bin/env python3
"""--bind SRC:DST:idmap: the caller's files are another id's inside, and what root inside can make of that."""

import os
import shutil
import struct
import sys

sys.path.insert(0, os.path.dirname(__file__))
from container import FIRST, PYTHON, fails, rootfs, run, shell, well  # noqa: E402
from harness import case, cases, main  # noqa: E402
from named import Store  # noqa: E402
from start_walls_lib import USR, attack, node, python_rootfs  # noqa: E402


def own(root, name='own', user=None):
    """A closed directory of the caller's, with a file of theirs and one of root's."""
    user = user or root.alice
    path = f'{root.tmp}/{name}'
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path, 0o700)
    os.chown(path, user.uid, user.gid)
    root.write(f'{path}/mine', 'mine', 0o600, (user.uid, user.gid))
    root.write(f'{path}/roots', 'roots', 0o644, (0, 0))
    return path


def owner(path):
    facts = os.lstat(path)
    return facts.st_uid, facts.st_gid


def me(root):
    return root.alice.uid, root.alice.gid


@case('the caller\'s files are root\'s inside, and what root makes is the caller\'s')
def _(root):
    path = own(root)
    done = well(shell(root, 'stat -c %u:%g /b /b/mine /b/roots; cat /b/mine; echo new >/b/new; mkdir /b/d; stat -c %u:%g /b/new',
                      '--bind', f'{path}:/b:idmap', where=rootfs(root)))
    assert done.out.split() == ['0:0', '0:0', '65534:65534', 'mine0:0'], done
    assert owner(f'{path}/new') == owner(f'{path}/d') == me(root) and open(f'{path}/new').read() == 'new\n'


@case('idmap=1000: they are user 1000\'s, and root\'s files there are no longer the caller\'s')
def _(root):
    path = own(root)
    done = well(shell(root, 'stat -c %u:%g /b/mine; cat /b/mine; touch /b/new', '--uid', '1000', '--gid', '1000',
                      '--bind', f'{path}:/b:idmap=1000', where=rootfs(root)))
    assert done.out.split() == ['1000:1000', 'mine'] and owner(f'{path}/new') == me(root), done
    well(shell(root, 'touch /b/roots2', '--bind', f'{path}:/b:idmap=1000', where=rootfs(root)))
    assert owner(f'{path}/roots2') == (FIRST, FIRST), owner(f'{path}/roots2')


@case('the container\'s other ids are themselves on disk')
def _(root):
    path = own(root)
    os.chmod(path, 0o777)
    well(shell(root, 'touch /b/five', '--uid', '5', '--gid', '7', '--bind', f'{path}:/b:idmap', where=rootfs(root)))
    assert owner(f'{path}/five') == (FIRST + 5, FIRST + 7)


@case('chown inside reaches the container\'s ids and the caller\'s, and nothing else')
def _(root):
    path = own(root)
    done = well(shell(root, 'touch /b/a /b/b; chown 5:7 /b/a; chown 0:0 /b/b; chown 0 /b/roots 2>/dev/null || echo held; '
                            'chown 70000 /b/b 2>/dev/null || echo none', '--bind', f'{path}:/b:idmap', where=rootfs(root)))
    assert done.out.split() == ['held', 'none'], done
    assert owner(f'{path}/a') == (FIRST + 5, FIRST + 7) and owner(f'{path}/b') == me(root)
    assert owner(f'{path}/roots') == (0, 0)


@case('in the host\'s own tree, too, and together with others')
def _(root):
    path, other = own(root), own(root, 'other')
    os.makedirs(f'{root.tmp}/a', exist_ok=True)
    os.makedirs(f'{root.tmp}/b', exist_ok=True)
    done = well(shell(root, f'stat -c %u {root.tmp}/a/mine {root.tmp}/b/mine', '--bind', f'{path}:{root.tmp}/a:idmap',
                      '--bind', f'{other}:{root.tmp}/b:ro,idmap=7'))
    assert done.out.split() == ['0', '7'], done


@cases([(how, how) for how in ('ro,idmap', 'idmap,ro', 'ro,idmap=5')])
def _(root, how):
    path = own(root)
    os.chmod(path, 0o777)
    before = sorted(os.listdir(path))
    assert not (found := attack(root, 'writable', '/b', *USR, '--bind', f'{path}:/b:{how}', where=python_rootfs(root))), found
    assert sorted(os.listdir(path)) == before


@case('a device in it cannot be opened, whatever root inside calls')
def _(root):
    path = own(root)
    node(root, f'{path}/zero', root.alice.uid)
    assert not (found := attack(root, 'device', '/b/zero', *USR, '--bind', f'{path}:/b:idmap', where=python_rootfs(root))), found


@case('what is setuid inside is the caller\'s on the host, and no one else\'s')
def _(root):
    path = own(root)
    well(shell(root, 'touch /b/s /b/t; chown 5:7 /b/t; chmod 6755 /b/s /b/t', '--bind', f'{path}:/b:idmap', where=rootfs(root)))
    assert owner(f'{path}/s') == me(root) and os.stat(f'{path}/s').st_mode & 0o6000 == 0o6000
    assert owner(f'{path}/t') == (FIRST + 5, FIRST + 7)  # as in any bind: an id that is delegated to the caller


@case('file capabilities made inside are those of a namespace whose root is the caller')
def _(root):
    path = own(root)
    script = ('import os, struct; open("/b/f", "w").close(); '
              'os.setxattr("/b/f", "security.capability", struct.pack("<5I", 0x02000001, 0x3fffff, 0, 0, 0)); '
              'print(os.getxattr("/b/f", "security.capability").hex())')
    well(run(root, *USR, '--bind', f'{path}:/b:idmap', command=(PYTHON, '-c', script), where=python_rootfs(root)))
    words = struct.unpack('<6I', os.getxattr(f'{path}/f', 'security.capability'))
    assert words[0] & 0xff000000 == 0x03000000 and words[5] == root.alice.uid, words


@case('root cannot put its mapping over a second mount of the tree, nor below another user namespace')
def _(root):
    path = own(root)
    script = ('unshare -Ur sh -c "chown 0 /b/roots" 2>/dev/null || echo held; mount --bind /b /mnt 2>/dev/null; '
              'chown 0 /mnt/roots 2>/dev/null || echo held')
    where = rootfs(root)
    os.makedirs(f'{where}/mnt')
    os.symlink('busybox', f'{where}/bin/unshare')
    done = well(shell(root, script, '--bind', f'{path}:/b:idmap', where=where))
    assert done.out.split() == ['held', 'held'] and owner(f'{path}/roots') == (0, 0), done


@case('nothing is left on the host: no mount, no process')
def _(root):
    path = own(root)
    well(shell(root, 'true', '--bind', f'{path}:/b:idmap', where=rootfs(root)))
    with open('/proc/self/mountinfo') as file:
        assert 'idmapped' not in file.read()
    with open(f'/proc/self/task/{os.getpid()}/children') as file:
        left = [open(f'/proc/{pid}/stat').read().split()[1:3] for pid in file.read().split()]
    assert not [one for one in left if one[1] != 'Z'], left


@case('with the caller\'s own id alone it is a plain bind, which needs no helper')
def _(root):
    path = own(root)
    os.rename(root.program('userns-idmap'), root.program('userns-idmap') + '.gone')
    try:
        done = well(shell(root, 'stat -c %u /b/mine; touch /b/new', '--map-self', '--bind', f'{path}:/b:idmap',
                          where=rootfs(root, owner=root.alice.uid)))
        assert done.out.split() == ['0'] and owner(f'{path}/new') == me(root), done
        fails(shell(root, 'true', '--bind', f'{path}:/b:idmap', where=rootfs(root)), 'cannot show', 'userns-idmap', 'install')
    finally:
        os.rename(root.program('userns-idmap') + '.gone', root.program('userns-idmap'))


@case('an id that the container lacks, a file, root as the caller, a file system that cannot: a sentence')
def _(root):
    path, where = own(root), rootfs(root)
    fails(run(root, '--bind', f'{path}:/b:idmap=70000', where=where), 'no uid 70000')
    fails(run(root, '--bind', f'{path}/mine:/b:idmap', where=where), 'is not a directory')
    os.makedirs('/etc/own')  # an overlay, in the tests' root
    os.chown('/etc/own', *me(root))
    fails(run(root, '--bind', '/etc/own:/b:idmap', where=where), 'ID-FILESYSTEM')
    rooms = f'{root.tmp}/rooms'
    os.makedirs(rooms, exist_ok=True)
    fails(root.run([root.program('userns-run'), '--map', 'b:0:100000:65536', '--rootfs', where, '--bind', f'{rooms}:/b:idmap',
                    '--', 'true']), 'cannot show')
    fails(run(root, '--bind', f'{path}:/b:ro,idmap=', where=where), 'idmap')


@case('a directory of somebody else\'s is not the caller\'s to show')
def _(root):
    path = own(root, user=root.bob)
    os.chmod(path, 0o755)
    fails(run(root, '--bind', f'{path}:/b:idmap', where=rootfs(root)), 'ID-TREE')


@case('a link that a container can have made is not followed')
def _(root):
    path = own(root)
    planted = f'{root.tmp}/planted'
    shutil.rmtree(planted, ignore_errors=True)
    os.makedirs(planted)
    os.chown(planted, FIRST, FIRST)
    os.symlink(path, f'{planted}/link')
    os.lchown(f'{planted}/link', FIRST, FIRST)
    fails(run(root, '--bind', f'{planted}/link:/b:idmap', where=rootfs(root)), 'symbolic link')


@case('a named container keeps it in its config')
def _(root):
    path, store = own(root), Store(root)
    store.make('box')
    well(store.do('config', 'box', f'bind+={path}:/b:ro,idmap=5'))
    assert f'bind = {path}:/b:ro,idmap=5' in open(f'{store.path}/box/config').read()
    well(store.do('start', 'box', command=('sh', '-c', 'trap "exit 0" TERM; while :; do sleep 1000 & wait; done')))
    done = well(store.do('exec', 'box', command=('sh', '-c', 'stat -c %u /b/mine; touch /b/x || echo held')))
    assert done.out.split() == ['5', 'held'], done
    well(store.do('stop', 'box'))


@case('a user whose ids come from a directory')
def _(root):
    libraries = '/usr/lib/x86_64-linux-gnu'
    root.overlay(libraries)
    shutil.copyfile(os.path.join(root.build, 'tests', 'helpers', 'libsubid_x.so'), f'{libraries}/libsubid_x.so')
    root.write('/etc/nsswitch.conf', 'passwd: files\ngroup: files\nsubid: x files\n')
    root.write('/etc/subid-plugin', 'good')
    root.write(f'{root.tmp}/witness', '', mode=0o666)
    path = own(root)
    where = rootfs(root)
    for top, names, files in os.walk(where):
        for name in ['', *names, *files]:
            os.lchown(os.path.join(top, name), 400000, 500000)
    done = well(shell(root, 'stat -c %u:%g /b/mine; touch /b/new', '--map', 'u:0:400000:10', '--map', 'g:0:500000:10',
                      '--bind', f'{path}:/b:idmap', where=where))
    assert done.out.split() == ['0:0'] and owner(f'{path}/new') == me(root), done


main()
