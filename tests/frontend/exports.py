#!/usr/bin/env python3
"""export and create --import: one archive with a container's files and settings, also for another user."""

import errno
import io
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tarfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from container import FIRST, fails, rootfs, well  # noqa: E402
from named import IDLE, Store, await_log  # noqa: E402
from harness import Result, case, cases, main, skip, spawn, trace, wait_for  # noqa: E402

BOBS = 400000
RENAMEAT, LINKAT, RENAMEAT2 = 264, 265, 316  # of x86_64
CAP = b'\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00'  # cap_net_bind_service=ep, version 2


def give_ids():
    for path in ('/etc/subuid', '/etc/subgid'):
        with open(path, 'w') as file:
            file.write(f'alice:{FIRST}:200000\nbob:{BOBS}:200000\n')


def put(path, text, owner, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as file:
        file.write(text)
    os.chown(path, owner[0], owner[1])
    os.chmod(path, mode)


def furnish(tree, first):
    """One file of each kind that an archive has to carry."""
    put(f'{tree}/srv/plain', 'text', (first + 33, first + 34), 0o640)
    os.chown(f'{tree}/srv', first, first)
    os.link(f'{tree}/srv/plain', f'{tree}/srv/other')
    put(f'{tree}/srv/setid', 'x', (first + 5, first + 6), 0o6755)
    os.chmod(f'{tree}/srv/setid', 0o6755)
    os.setxattr(f'{tree}/srv/plain', 'user.note', b'kept')
    os.symlink('/etc/../rootfs/x', f'{tree}/srv/link')
    os.symlink('./rootfs', f'{tree}/srv/dot')
    for name in ('link', 'dot'):
        os.lchown(f'{tree}/srv/{name}', first, first)
    with open(f'{tree}/srv/sparse', 'wb') as file:
        file.truncate(1 << 30)
        file.seek(1 << 29)
        file.write(b'middle')
    os.chown(f'{tree}/srv/sparse', first, first)
    subprocess.run(['setfacl', '-m', f'u:{first + 7}:rx,d:g:{first + 8}:r', f'{tree}/srv'], check=True)
    # As the container's root sets one: version 3, with the namespace's root.
    put(f'{tree}/srv/capable', 'x', (first, first), 0o755)
    os.setxattr(f'{tree}/srv/capable', 'security.capability', b'\x01\x00\x00\x03' + CAP[4:] + first.to_bytes(4, 'little'))
    os.mkfifo(f'{tree}/srv/fifo')
    os.chown(f'{tree}/srv/fifo', first, first)


def described(top, first):
    """Everything of a tree, with ids as they are inside."""
    found = {}
    for directory, names, files in os.walk(top):
        for path in [directory, *(f'{directory}/{name}' for name in files + [n for n in names if os.path.islink(f'{directory}/{n}')])]:
            facts = os.lstat(path)
            entry = [facts.st_uid - first, facts.st_gid - first, oct(facts.st_mode)]
            if os.path.islink(path):
                entry.append(os.readlink(path))
            elif not os.path.isdir(path):
                entry += [facts.st_nlink, facts.st_size, int(facts.st_mtime)]
                if os.path.isfile(path):
                    for name in set(os.listxattr(path)) - {'system.posix_acl_access'}:
                        value = os.getxattr(path, name)
                        if name == 'security.capability':
                            assert value[3] == 3, value
                            value = value[:20] + (int.from_bytes(value[20:24], 'little') - first).to_bytes(4, 'little')
                        entry.append((name, value))
            if not os.path.islink(path):
                acl = subprocess.run(['getfacl', '-n', '-c', '-p', path], capture_output=True, text=True, check=True).stdout
                entry.append([line if line.count(':') < 2 or not line.split(':')[-2].isdigit()
                              else f'{line.split(":")[0]} {int(line.split(":")[-2]) - first} {line.split(":")[-1]}' for line in acl.split('\n')])
            found[os.path.relpath(path, top)] = entry
    return found


def first_of(store, name):
    """The id outside of the container's root."""
    with open(f'{store.path}/{name}/config') as file:
        return int(re.search(r'^map = u:0:(\d+):', file.read(), re.M)[1])


def made(root, *settings):
    """A container of alice's with a furnished tree; its store and a directory that both users may use."""
    give_ids()
    store = Store(root)
    well(store.do('create', 'web', '--template=busybox', *settings, '--', 'sh', '-c', 'trap exit TERM; sleep 1000 & wait', timeout=60))
    furnish(f'{store.path}/web/rootfs', first_of(store, 'web'))
    between = f'{root.tmp}/between'
    shutil.rmtree(between, ignore_errors=True)
    os.makedirs(between)
    os.chmod(between, 0o1777)
    return store, between


def to_bob(root, file):
    os.chmod(file, 0o644)
    return Store(root, user=root.bob, first=BOBS)


@cases([(f'{name}: the tree and the settings arrive as they were, at another user with other ids', name) for name in ('web.tar.zst', 'web.tar')])
def _(root, name):
    store, between = made(root, '--hostname=box', '--env=A=b c', '--stop-timeout=7', '--tmpfs=/scratch:size=1M')
    well(store.do('export', 'web', f'{between}/{name}', timeout=60))
    assert oct(os.stat(f'{between}/{name}').st_mode & 0o777) == '0o600' and os.listdir(between) == [name]
    theirs = to_bob(root, f'{between}/{name}')
    well(theirs.do('create', 'copy', f'--import={between}/{name}', timeout=60))
    one, two = described(f'{store.path}/web/rootfs', first_of(store, 'web')), described(f'{theirs.path}/copy/rootfs', first_of(theirs, 'copy'))
    assert one == two, [(k, one.get(k), two.get(k)) for k in sorted(one.keys() | two.keys()) if one.get(k) != two.get(k)]
    assert os.stat(f'{theirs.path}/copy/rootfs/srv/sparse').st_blocks < 1000
    config = well(theirs.do('config', 'copy')).out
    for line in ('hostname = box', 'env = A=b c', 'stop-timeout = 7', 'tmpfs = /scratch:size=1M', 'command = '):
        assert line in config, (line, config)
    assert first_of(theirs, 'copy') >= BOBS and str(first_of(store, 'web')) not in config, config
    # tar reads it; and create --tar takes the tree.
    listed = subprocess.run(['tar', '--list', '--file', f'{between}/{name}'], capture_output=True, text=True, check=True).stdout.split('\n')
    assert listed[0] == 'userns-export/settings' and 'rootfs/srv/link' in listed, listed[:5]
    well(theirs.do('create', 'plain', f'--tar={between}/{name}', timeout=60))
    assert described(f'{theirs.path}/plain/rootfs', first_of(theirs, 'plain')) == one
    for name in ('copy', 'plain'):
        well(theirs.do('destroy', name, timeout=60))
    well(store.do('destroy', 'web', timeout=60))


def forged(between, settings, name='forged.tar'):
    """An export as a stranger writes it."""
    with tarfile.open(f'{between}/{name}', 'w') as tar:
        for path, text in (('userns-export/settings', settings), ('rootfs/bin/sh', 'x')):
            entry = tarfile.TarInfo(path)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return f'{between}/{name}'


HOSTILE = {
    'hook': 'pre-start=touch /tmp/owned', 'bind': '/home:/home', 'include': '/etc/passwd', 'net': 'host', 'env': 'SECRET',
    'publish': '8080:80', 'autostart': 'yes', 'group': 'prod', 'share': 'pid', 'seccomp': 'none', 'nesting': 'yes', 'pid-file': '/home/x',
    'cgroup': 'systemd', 'groups': 'keep'}


@case('settings of a stranger reach nothing of the host\'s: each is left out and named; --trust takes them')
def _(root):
    _, between = made(root)
    theirs = to_bob(root, between)
    os.chmod(between, 0o1777)
    for key, value in HOSTILE.items():
        file = forged(between, f'# x\nhostname = inner\n{key} = {value}\n')
        done = well(theirs.do('create', 'copy', f'--import={file}', timeout=60))
        config = well(theirs.do('config', 'copy')).out
        assert 'left out' in done.err and f'{key} = {value}' in done.err, (key, done)
        assert f'{key} = ' not in config and 'hostname = inner' in config, config
        well(theirs.do('destroy', 'copy', timeout=60))
    file = forged(between, 'bind = /home:/srv\ngroup = prod\n')
    done = well(theirs.do('create', 'copy', f'--import={file}', '--trust', timeout=60))
    config = well(theirs.do('config', 'copy')).out
    assert 'left out' not in done.err and 'bind = /home:/srv' in config and 'group = prod' in config, (done, config)
    well(theirs.do('destroy', 'copy', timeout=60))
    # The ids and the place of the tree are never a stranger's, not even a trusted one's.
    for key, value in (('rootfs', '/'), ('map', f'u:0:{BOBS + 70000}:100'), ('map-self', 'yes'), ('base', 'web'), ('changes', '/home')):
        file = forged(between, f'{key} = {value}\n')
        well(theirs.do('create', 'copy', f'--import={file}', '--trust', timeout=60))
        config = well(theirs.do('config', 'copy')).out
        assert f'{key} = {value}' not in config, config
        well(theirs.do('destroy', 'copy', timeout=60))
    # What was asked for counts more.
    file = forged(between, 'hostname = theirs\nenv = A=1\n')
    well(theirs.do('create', 'copy', f'--import={file}', '--hostname=mine', timeout=60))
    config = well(theirs.do('config', 'copy')).out
    assert 'hostname = mine' in config and 'theirs' not in config and 'env = A=1' in config, config
    well(theirs.do('destroy', 'copy', timeout=60))


@case('an archive that is none of ours, is cut or lies about settings makes no container')
def _(root):
    store, between = made(root)
    well(store.do('export', 'web', f'{between}/web.tar.zst', timeout=60))
    theirs = to_bob(root, f'{between}/web.tar.zst')
    with open(f'{between}/web.tar.zst', 'rb') as file:
        whole = file.read()
    for name, text, piece in (('cut', whole[:len(whole) // 2], ''), ('late', whole[:-3], ''), ('empty', b'', '')):
        with open(f'{between}/{name}', 'wb') as file:
            file.write(text)
        done = theirs.do('create', 'copy', f'--import={between}/{name}', timeout=60)
        assert done.code == 125 and piece in done.err, (name, done)
    with tarfile.open(f'{between}/other.tar', 'w') as tar:
        entry = tarfile.TarInfo('bin/sh')
        tar.addfile(entry)
        entry = tarfile.TarInfo('userns-export/settings')
        entry.type, entry.linkname = tarfile.SYMTYPE, '/etc/passwd'
        tar.addfile(entry)
    fails(theirs.do('create', 'copy', f'--import={between}/other.tar'), 'userns-export/settings', 'create --tar')
    for settings, piece in (('nosuch = 1\n', 'nosuch'), ('hostname = \x1b[31m\n', ''), ('x' * 400000, ''), ('memory = lots\n', 'memory')):
        done = theirs.do('create', 'copy', f'--import={forged(between, settings)}')
        assert done.code == 125 and piece in done.err and '\x1b' not in done.err, done
    fails(theirs.do('create', 'copy', '--tar=x', '--trust'), '--trust goes with --import')
    fails(theirs.do('create', 'copy', '--tar=x', '--import=y'), 'a container has one source')
    assert os.listdir(theirs.path) in ([], ['.index']) or not [n for n in os.listdir(theirs.path) if not n.startswith('.index')]
    well(store.do('destroy', 'web', timeout=60))


@case('export refuses what runs, a file that is there, a terminal; interrupted, it leaves nothing and can begin again')
def _(root):
    store, between = made(root)
    file = f'{between}/web.tar.zst'
    put(file, 'mine', (root.alice.uid, root.alice.gid))
    fails(store.do('export', 'web', file), 'is there already', '--force')
    with open(file) as text:
        assert text.read() == 'mine'
    well(store.do('export', 'web', file, '--force', timeout=60))
    os.unlink(file)
    fails(store.do('export', 'web', f'{between}/no/x.tar'), 'cannot make')
    fails(store.do('export'), 'export takes a container')
    fails(store.do('export', 'nosuch', file), 'nosuch')
    leader, follower = pty.openpty()
    done = subprocess.run(['setpriv', f'--reuid={root.alice.uid}', f'--regid={root.alice.gid}', '--clear-groups', *store.words('export', 'web', '-')],
                          stdout=follower, stderr=subprocess.PIPE, timeout=60, env={**os.environ, 'HOME': f'{root.tmp}/home/alice'})
    os.close(leader), os.close(follower)
    assert done.returncode == 125 and b'not for a terminal' in done.stderr, done
    # Much to read, so that it is at work when the signal comes.
    with open(f'{store.path}/web/rootfs/srv/large', 'wb') as large:
        for _ in range(100):
            large.write(os.urandom(1 << 20))
    os.chown(f'{store.path}/web/rootfs/srv/large', first_of(store, 'web'), first_of(store, 'web'))
    child = store.begin('export', 'web', file)
    wait_for(lambda: os.path.exists(f'{file}.part') and os.stat(f'{file}.part').st_size > 0, 'the export at work')
    child.kill(signal.SIGINT)
    done = child.wait(30)
    assert done.code != 0 and os.listdir(between) == [], (done, os.listdir(between))
    well(store.do('export', 'web', file, timeout=60))
    os.unlink(file)
    well(store.do('start', 'web'))
    fails(store.do('export', 'web', file), 'is running', 'userns-run stop web')
    well(store.do('stop', 'web'))
    well(store.do('destroy', 'web', timeout=60))


@case('on a file system without RENAME_NOREPLACE, too, a file that comes in between is not replaced')
def _(root):
    store, between = made(root)
    file = f'{between}/web.tar'

    def meanwhile(stop):
        if stop.number == RENAMEAT2 and stop.args[4] != 0:
            return Result(-errno.EINVAL)
        if stop.number in (LINKAT, RENAMEAT) and not os.path.exists(file):
            put(file, 'mine', (root.alice.uid, root.alice.gid))
        return None
    done = trace(store.begin('export', 'web', file, traced=True), meanwhile)
    with open(file) as text:
        assert text.read() == 'mine', done
    fails(done, 'File exists')
    assert os.listdir(between) == ['web.tar'], os.listdir(between)
    os.unlink(file)

    def without(stop):
        return Result(-errno.EINVAL) if stop.number == RENAMEAT2 and stop.args[4] != 0 else None
    well(trace(store.begin('export', 'web', file, traced=True), without))
    assert os.listdir(between) == ['web.tar'] and os.stat(file).st_nlink == 1
    os.unlink(file)
    well(store.do('destroy', 'web', timeout=60))


FSYNC = 74


@case('two exports to one file at once: the second is refused, the first is whole; what a killed one left is taken over')
def _(root):
    store, between = made(root)
    file, others = f'{between}/web.tar', []

    def second(stop):
        if stop.number == FSYNC and not others:
            others.append(store.do('export', 'web', file, timeout=60))
    done = trace(store.begin('export', 'web', file, traced=True), second)
    assert others[0].code == 125 and 'is being written by another export' in others[0].err, others
    assert done.code == 0 and os.listdir(between) == ['web.tar'], (done, os.listdir(between))
    with tarfile.open(file) as tar:
        whole = tar.getnames()
    assert 'rootfs/srv/sparse' in whole and 'userns-export/settings' in whole, whole
    os.unlink(file)
    put(f'{file}.part', 'left over' * 1000000, (root.alice.uid, root.alice.gid))
    well(store.do('export', 'web', file, timeout=60))
    with tarfile.open(file) as tar:
        assert tar.getnames() == whole
    os.unlink(file)
    # A name of another file is not written through.
    put(f'{between}/mine', 'mine', (root.alice.uid, root.alice.gid))
    os.link(f'{between}/mine', f'{file}.part')
    fails(store.do('export', 'web', file, timeout=60), 'is in the way')
    with open(f'{between}/mine') as text:
        assert text.read() == 'mine'
    well(store.do('destroy', 'web', timeout=60))


@case('an export of a snapshot has its whole tree, and becomes a container of its own')
def _(root):
    store, between = made(root)
    well(store.do('create', 'snap', '--from=web', '--snapshot', timeout=60))
    well(store.do('start', 'snap'))
    well(store.do('exec', 'snap', command=['sh', '-c', 'echo new > /srv/new; rm /srv/plain']))
    well(store.do('stop', 'snap'))
    well(store.do('export', 'snap', f'{between}/s.tar', timeout=60))
    well(store.do('create', 'own', f'--import={between}/s.tar', timeout=60))
    names = os.listdir(f'{store.path}/own/rootfs/srv')
    assert 'new' in names and 'plain' not in names and 'other' in names, names
    assert 'base' not in well(store.do('config', 'own')).out
    for name in ('own', 'snap', 'web'):
        well(store.do('destroy', name, timeout=60))


# --- of others ----------------------------------------------------------------------------------

def tree_tar(path, tree, prefix, beside=()):
    """`tree` below `prefix`, and files beside it."""
    with tarfile.open(path, 'w') as tar:
        for name, text in beside:
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))

        def numbers(entry):
            entry.uid, entry.gid = entry.uid - FIRST, entry.gid - FIRST
            return entry
        tar.add(tree, prefix, filter=numbers)
    return path


LAYOUTS = [('a plain tar of a root file system', '.', ()), ('docker export', '', (('.dockerenv', ''),)),
           ('an image of LXD and Incus', 'rootfs', (('metadata.yaml', 'architecture: x86_64\n'), ('templates/hostname.tpl', 'x'))),
           ('a backup of LXD and Incus', 'backup/container/rootfs', (('backup/index.yaml', 'name: c1\n'), ('backup/container/metadata.yaml', 'x'),
                                                                    ('backup/container/backup.yaml', 'container: {}\n')))]


@cases([(f'create --tar takes {name}', prefix, beside) for name, prefix, beside in LAYOUTS])
def _(root, prefix, beside):
    give_ids()
    store = Store(root)
    tree = rootfs(root, 'trees/other')
    os.makedirs(f'{tree}/srv')
    os.chown(f'{tree}/srv', FIRST, FIRST)
    put(f'{tree}/srv/x', 'x', (FIRST + 33, FIRST + 34))
    file = tree_tar(f'{root.tmp}/other.tar', tree, prefix or '/', beside)
    os.chmod(file, 0o644)
    well(store.do('create', 'web', f'--tar={file}', '--stop-signal=KILL', '--', '/bin/sleep', '1000', timeout=60))
    facts = os.stat(f'{store.path}/web/rootfs/srv/x')
    first = first_of(store, 'web')
    assert (facts.st_uid, facts.st_gid) == (first + 33, first + 34), facts
    assert 'metadata.yaml' not in os.listdir(f'{store.path}/web/rootfs')
    well(store.do('start', 'web'))
    well(store.do('stop', 'web'))
    well(store.do('destroy', 'web', timeout=60))


@case('podman export of a container is taken by create --tar')
def _(root):
    if not shutil.which('podman'):
        skip('podman is not installed')
    give_ids()
    store = Store(root)
    top, tree = f'{root.tmp}/podman', rootfs(root, 'trees/other', 0)
    podman = ['podman', '--root', f'{top}/storage', '--runroot', f'{top}/run', '--storage-driver', 'vfs']
    packed = f'{root.tmp}/packed.tar'
    subprocess.run(['tar', '-C', tree, '-cf', packed, '.'], check=True)
    for words in (['import', packed, 'localhost/it'], ['create', '--name', 'c1', 'localhost/it', '/bin/sh'], ['export', '-o', f'{root.tmp}/c1.tar', 'c1']):
        done = subprocess.run([*podman, *words], capture_output=True, text=True)
        if done.returncode != 0:
            skip(f'podman cannot {words[0]} here: {(done.stderr.splitlines() or ["?"])[-1]}')
    os.chmod(f'{root.tmp}/c1.tar', 0o644)
    well(store.do('create', 'web', f'--tar={root.tmp}/c1.tar', '--stop-signal=KILL', '--', '/bin/sleep', '1000', timeout=60))
    assert sorted(os.listdir(f'{store.path}/web/rootfs/bin')) == sorted(os.listdir(f'{tree}/bin'))
    well(store.do('start', 'web'))
    well(store.do('stop', 'web'))
    well(store.do('destroy', 'web', timeout=60))


main()
