"""Root file systems from images, templates and other containers."""

import gzip
import hashlib
import json
import os
import platform
import shutil
import signal
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from rootfs_tree import (FIRST, IDS, Archive, call, clean, counts, fails, home, listing, rich_tree, same, tar_of, target,  # noqa: E402
                         tool, unpack, well)
from container import run, words as run_words  # noqa: E402
from harness import case, cases, main, mount, skip, spawn, umount, wait_for  # noqa: E402

MACHINE = {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(platform.machine(), platform.machine())
CONFIG = {'architecture': MACHINE, 'os': 'linux',
          'config': {'Env': ['PATH=/bin', 'A=b c\n"d"'], 'Entrypoint': ['/bin/x', '-e'], 'Cmd': ['one', 'two words'],
                     'WorkingDir': '/srv', 'User': '7:8'}}
SAID = ['env=PATH=/bin', 'env=A=b c', '"d"', 'entrypoint=/bin/x', 'entrypoint=-e', 'cmd=one', 'cmd=two words', 'cwd=/srv',
        'user=7:8']


def layers():
    """Three layers, and what is left in the end."""
    first = Archive().directory('./', mode=0o751).directory('etc', mtime=5).add('etc/a', b'1').add('etc/b', b'1').directory('gone') \
        .add('gone/x', b'1').directory('opaque', mode=0o700).add('opaque/old', b'1').directory('opaque/dir').add('opaque/dir/old', b'1') \
        .add('file-to-dir', b'1').directory('dir-to-file').add('dir-to-file/x', b'1').directory('usr/lib').link('lib', 'usr/lib') \
        .add('kept', b'1', uid=7, gid=8).hard('hard', 'kept').directory('replaced').add('replaced/old', b'1')
    second = Archive().add('etc/.wh.b', b'').add('etc/c', b'2').add('.wh.gone', b'').directory('opaque', mode=0o711) \
        .add('opaque/new', b'2').add('opaque/.wh..wh..opq', b'').directory('file-to-dir').add('file-to-dir/y', b'2') \
        .add('dir-to-file', b'2').add('lib/through', b'2').directory('replaced').add('replaced/new', b'2').add('.wh.replaced', b'') \
        .add('.wh..wh.plnk', b'')
    third = Archive().add('etc/b', b'3').add('etc/.wh.absent', b'').add('nowhere/.wh.x', b'')
    return [one.data() for one in (first, second, third)]


RESULT = {'etc/a': '1', 'etc/b': '3', 'etc/c': '2', 'opaque/new': '2', 'file-to-dir/y': '2', 'dir-to-file': '2', 'kept': '1',
          'hard': '1', 'usr/lib/through': '2', 'replaced/new': '2'}


def is_result(where):
    found = {}
    for directory, _, names in os.walk(where):
        for name in names:
            path = f'{directory}/{name}'
            with open(path) as file:
                found[os.path.relpath(path, where)] = file.read()
    assert found == RESULT, found
    assert os.readlink(f'{where}/lib') == 'usr/lib'
    assert os.stat(where).st_mode & 0o7777 == 0o751 and os.stat(f'{where}/opaque').st_mode & 0o7777 == 0o711
    assert os.stat(f'{where}/etc').st_mtime == 5
    assert os.stat(f'{where}/hard').st_ino == os.stat(f'{where}/kept').st_ino
    assert (os.stat(f'{where}/kept').st_uid, os.stat(f'{where}/kept').st_gid) == (FIRST + 7, FIRST + 8)
    assert not os.path.exists(f'{where}/gone') and not os.path.exists(f'{where}/opaque/dir')


def digest(data):
    return 'sha256:' + hashlib.sha256(data).hexdigest()


def oci(pack=lambda data: data, **changes):
    """{path: bytes} of an OCI layout; changes: to the manifest."""
    blobs = {}

    def blob(data):
        blobs[f'blobs/sha256/{hashlib.sha256(data).hexdigest()}'] = data
        return {'digest': digest(data), 'size': len(data)}
    manifest = {'schemaVersion': 2, 'config': blob(json.dumps(CONFIG).encode()), 'layers': [blob(pack(one)) for one in layers()]}
    manifest.update(changes)
    other = blob(b'{"schemaVersion": 2, "config": {}, "layers": []}')
    index = {'schemaVersion': 2, 'manifests': [
        {**other, 'platform': {'os': 'linux', 'architecture': 'vax'}},
        {**blob(json.dumps(manifest).encode()), 'platform': {'os': 'linux', 'architecture': MACHINE}},
        {**other, 'platform': {'os': 'unknown', 'architecture': 'unknown'}}]}
    # An index that leads to an index, as registries keep them.
    top = {'schemaVersion': 2, 'manifests': [blob(json.dumps(index).encode())]}
    return {'oci-layout': b'{"imageLayoutVersion": "1.0.0"}', 'index.json': json.dumps(top).encode(), **blobs}


def docker(by_link=False):
    """What `docker save` writes; by_link: as podman does, layers through links."""
    config = json.dumps(CONFIG).encode()
    name = hashlib.sha256(config).hexdigest()
    files, names = {}, []
    for number, data in enumerate(layers()):
        files[f'{number:064x}/layer.tar'] = data
        names.append(f'{number:064x}/layer.tar')
    files[f'{name}.json'] = config
    files['manifest.json'] = json.dumps([{'Config': f'{name}.json', 'RepoTags': ['it:latest'], 'Layers': names}]).encode()
    files['repositories'] = b'{}'
    return files


def as_tar(files, path, pack=lambda data: data, links=()):
    archive = Archive()
    for name, data in files.items():
        archive.add(name, data)
    for name, to in links:
        archive.link(name, to)
    with open(path, 'wb') as file:
        file.write(pack(archive.data()))
    return path


def as_directory(root, files):
    """Alice's, closed to everyone else."""
    path = f'{home(root, "layout")}'
    for name, data in files.items():
        os.makedirs(os.path.dirname(f'{path}/{name}'), exist_ok=True)
        with open(f'{path}/{name}', 'wb') as file:
            file.write(data)
    for directory, _, names in os.walk(path):
        for name in ['.'] + names:
            os.chown(f'{directory}/{name}', root.alice.uid, root.alice.gid)
            os.chmod(f'{directory}/{name}', 0o700)
    return path


# --- images ---------------------------------------------------------------------------------

@cases([
    ('an OCI layout in a tar', lambda root: as_tar(oci(), f'{root.tmp}/i.tar')),
    ('one whose layers are compressed', lambda root: as_tar(oci(gzip.compress), f'{root.tmp}/i.tar')),
    ('one that is compressed as a whole', lambda root: as_tar(oci(), f'{root.tmp}/i.tar.gz', gzip.compress)),
    ('an OCI layout in a directory that only the caller may enter', lambda root: as_directory(root, oci(gzip.compress))),
    ('an archive of docker save', lambda root: as_tar(docker(), f'{root.tmp}/i.tar')),
    ('one that is compressed', lambda root: as_tar(docker(), f'{root.tmp}/i.tar.gz', gzip.compress)),
    ('one with both formats in it', lambda root: as_tar({**docker(), **oci()}, f'{root.tmp}/i.tar')),
])
def _(root, make):
    where = target(root)
    done = unpack(root, make(root), where)
    well(done)
    is_result(where)
    assert done.out.splitlines()[1:] == SAID, done.out


@case('an image through a pipe')
def _(root):
    where = target(root)
    with open(as_tar(docker(), f'{root.tmp}/i.tar'), 'rb') as file:
        data = file.read()
    read, write = os.pipe()
    child = spawn([tool(root), IDS, 'archive', '-', where], root.alice, stdin=read)
    os.close(read)
    with os.fdopen(write, 'wb') as pipe:
        pipe.write(data)
    well(child.wait())
    is_result(where)
    assert sorted(os.listdir(os.path.dirname(where))) == ['target']


@case('layers behind links, as podman writes them')
def _(root):
    files = docker()
    links = []
    for number in range(3):
        files[f'{number + 10:064x}.tar'] = files.pop(f'{number:064x}/layer.tar')
        links.append((f'{number:064x}/layer.tar', f'../{number + 10:064x}.tar'))
    where = target(root)
    well(unpack(root, as_tar(files, f'{root.tmp}/i.tar', links=links), where))
    is_result(where)


@case('a root file system that merely has a manifest.json is one')
def _(root):
    for data in (b'{"name": "web app"}', b'[]', b'not json', b'[1]'):
        where = target(root)
        archive = Archive().add('manifest.json', data).directory('etc').write(f'{root.tmp}/a.tar')
        assert counts(unpack(root, archive, where))['entries'] == 2
        assert sorted(os.listdir(where)) == ['etc', 'manifest.json']


@case('podman save of an image that podman built is read as podman reads it')
def _(root):
    if not shutil.which('podman'):
        skip('podman is not installed')
    top = f'{root.tmp}/podman'
    clean(top)
    os.mkdir(top)
    podman = ['podman', '--root', f'{top}/storage', '--runroot', f'{top}/run', '--storage-driver', 'vfs']
    rootfs = Archive().directory('bin').add('bin/sh', b'x', mode=0o755).add('etc/a', b'1').write(f'{top}/base.tar')
    done = subprocess.run([*podman, 'import', '--change', 'ENV=X=y', '--change', 'CMD=["/bin/sh"]', rootfs, 'localhost/it'],
                          capture_output=True, text=True)
    if done.returncode:
        skip(f'podman cannot import an image here: {done.stderr.splitlines()[-1]}')
    notes = []
    for form in ('docker-archive', 'oci-archive', 'oci-dir'):
        out = f'{top}/{form}'
        done = subprocess.run([*podman, 'save', '--format', form, '-o', out, 'localhost/it'], capture_output=True, text=True)
        if done.returncode:
            notes.append(f'podman cannot save as {form}')
            continue
        subprocess.run(['chmod', '-R', 'a+rX', top], check=True)
        where = target(root)
        done = unpack(root, out, where)
        well(done)
        assert open(f'{where}/etc/a').read() == '1' and 'env=X=y' in done.out and 'cmd=/bin/sh' in done.out, done
        notes.append(form)
    assert any(note in ('docker-archive', 'oci-archive') for note in notes), notes
    return ', '.join(notes)


def tampered(name_part, change):
    def make(root):
        files = oci()
        (name,) = [n for n, data in files.items() if n.startswith('blobs/') and name_part in data]
        files[name] = change(files[name])
        return as_tar(files, f'{root.tmp}/i.tar')
    return make


@cases([
    ('a layer that is not what its digest says', tampered(b'file-to-dir/y', lambda d: d.replace(b'etc/c', b'etc/d', 1).replace(b'2', b'2')),
     ''),
    ('a layer with something added behind its end', tampered(b'file-to-dir/y', lambda d: d + b'\0' * 512), 'tampered'),
    ('a config that is not what its digest says', tampered(b'"WorkingDir"', lambda d: d.replace(b'/srv', b'/etc')), 'tampered'),
    ('a manifest that is not what its digest says', tampered(b'"layers": [{', lambda d: d + b' '), 'tampered'),
    ('a digest that is a path', lambda root: as_tar(oci(config={'digest': 'sha256:../../../../etc/passwd'}), f'{root.tmp}/i.tar'), 'digest'),
    ('a digest of an algorithm that nobody checks', lambda root: as_tar(oci(config={'digest': 'md5:00'}), f'{root.tmp}/i.tar'), 'sha256'),
    ('a layer that is not there', lambda root: as_tar(oci(layers=[{'digest': 'sha256:' + '0' * 64}]), f'{root.tmp}/i.tar'), 'incomplete'),
    ('layers that are not list', lambda root: as_tar(oci(layers={'digest': 1}), f'{root.tmp}/i.tar'), 'damaged'),
    ('JSON that is none', lambda root: as_tar({**oci(), 'index.json': b'{' * 100000}, f'{root.tmp}/i.tar'), 'damaged'),
    ('JSON deeper than a stack', lambda root: as_tar({**oci(), 'index.json': b'[' * 4_000_000 + b']' * 4_000_000}, f'{root.tmp}/i.tar'), 'damaged'),
    ('JSON that is too large', lambda root: as_tar({**oci(), 'index.json': b'[' + b' ' * (9 << 20) + b']'}, f'{root.tmp}/i.tar'), 'larger than'),
    ('a docker manifest that names a layer outside', lambda root: as_tar(
        {**docker(), 'manifest.json': b'[{"Config": "../../etc/passwd", "Layers": ["/etc/shadow"]}]'}, f'{root.tmp}/i.tar'), 'incomplete'),
    ('several images in one archive', lambda root: as_tar(
        {**docker(), 'manifest.json': b'[{"Config": "a", "Layers": [], "RepoTags": ["x:1"]}, {"Config": "b", "Layers": []}]'},
        f'{root.tmp}/i.tar'), 'x:1'),
    ('a layer that leaves the root', lambda root: as_tar(
        {'0' * 64 + '/layer.tar': Archive().add('../../x', b'').data(), 'c.json': b'{}',
         'manifest.json': json.dumps([{'Config': 'c.json', 'Layers': ['0' * 64 + '/layer.tar']}]).encode()}, f'{root.tmp}/i.tar'), 'would leave'),
    ('a whiteout that leaves the root', lambda root: as_tar(
        {'0' * 64 + '/layer.tar': Archive().add('.wh...', b'').data(), 'c.json': b'{}',
         'manifest.json': json.dumps([{'Config': 'c.json', 'Layers': ['0' * 64 + '/layer.tar']}]).encode()}, f'{root.tmp}/i.tar'), 'whiteout'),
    ('a layer that is a link to itself', lambda root: as_tar(
        {'manifest.json': b'[{"Config": "c.json", "Layers": ["l"]}]', 'c.json': b'{}'}, f'{root.tmp}/i.tar', links=[('l', 'l')]), 'incomplete'),
    ('an image for another machine', lambda root: as_tar(
        {'oci-layout': b'{}', 'index.json': json.dumps({'manifests': [
            {'digest': 'sha256:' + '0' * 64, 'platform': {'os': 'linux', 'architecture': 'vax'}}]}).encode()}, f'{root.tmp}/i.tar'), 'vax'),
    ('an OCI directory without an index', lambda root: as_directory(root, {'oci-layout': b'{}'}), 'no OCI layout'),
    ('an image that is larger uncompressed than --max-size', lambda root: as_tar(
        {**docker(), 'x': b'\0' * (260 << 20)}, f'{root.tmp}/i.tar.gz', lambda d: gzip.compress(d, 1)), '--max-size'),
])
def _(root, make, says):
    where = target(root)
    fails(unpack(root, make(root), where, max_size=50 << 20), *([says] if says else []))


@case("a layout's blob that is a link out of it is not opened")
def _(root):
    files = oci()
    path = as_directory(root, files)
    (name,) = [n for n, data in files.items() if b'file-to-dir/y' in data]
    os.unlink(f'{path}/{name}')
    os.symlink('/etc/passwd', f'{path}/{name}')
    fails(unpack(root, path, target(root)), 'incomplete')


# --- templates ------------------------------------------------------------------------------

def busybox(root, name='target'):
    if not os.path.exists('/bin/busybox'):
        skip('busybox-static is not installed')
    where = target(root, name)
    assert counts(call(root, 'busybox', '-', where))['entries'] > 100
    return where


@case('the busybox template: all is owned by the container root, every link leads to an applet, nobody can log in by password')
def _(root):
    where = busybox(root)
    found = listing(where, FIRST)
    assert all(row['owner'] == (0, 0) for row in found.values())
    links = [row['to'] for name, row in found.items() if 'to' in row and name != b'etc/udhcpc/default.script']
    assert len(links) > 100 and set(links) == {b'/bin/busybox'}
    # Where a distribution's udhcpc looks for it: Debian's does not know the usual place.
    assert found[b'etc/udhcpc/default.script']['to'] == b'/usr/share/udhcpc/default.script'
    assert found[b'tmp']['mode'] == '0o41777' and found[b'root']['mode'] == '0o40700' and found[b'etc/shadow']['mode'] == '0o100640'
    for script in ('etc/init.d/rcS', 'etc/init.d/rcK', 'usr/share/udhcpc/default.script'):
        subprocess.run(['/bin/busybox', 'sh', '-n', f'{where}/{script}'], check=True)
        assert os.access(f'{where}/{script}', os.X_OK)


@cases([('the busybox template boots, and stops in order on SIGUSR2', None), ('it stops in order on poweroff inside', 'poweroff')])
def _(root, command):
    where = busybox(root)
    os.chown(f'{where}/etc/init.d', FIRST, FIRST)
    for name, text in (('up.start', 'echo up >/up\n' + (f'{command}\n' if command else '')), ('down.stop', 'echo down >/down\n')):
        with open(f'{where}/etc/init.d/{name}', 'w') as file:
            file.write('#!/bin/sh\n' + text)
        os.chmod(f'{where}/etc/init.d/{name}', 0o755)
    child = spawn(run_words(root, '--tty', 'yes', command=('/sbin/init',), where=where), root.alice)
    wait_for(lambda: os.path.exists(f'{where}/up'), 'rcS to have run')
    if not command:
        inits = []

        def init():
            inits[:] = [int(p) for p in open(f'/proc/{child.pid}/task/{child.pid}/children').read().split()]
            return inits and open(f'/proc/{inits[0]}/comm').read().strip() == 'init'
        wait_for(init, 'init')
        os.kill(inits[0], signal.SIGUSR2)
    child.wait(20)
    assert open(f'{where}/down').read() == 'down\n' and os.stat(f'{where}/down').st_uid == FIRST


@case('without a static busybox the template says what to install')
def _(root):
    where = target(root)
    empty = f'{root.tmp}/empty'
    open(empty, 'w').close()
    for covered in ('/bin/true', empty):
        mount(covered, '/bin/busybox', None, 4096)
        try:
            fails(call(root, 'busybox', '-', where), 'busybox-static')
        finally:
            umount('/bin/busybox')


FAKE = '''#!/bin/sh
{{ id -u; for word; do echo "$word"; done; }} >{log}
echo "I: running apt-get update..." >&2
sleep 0.5
{act}
'''


def mmdebstrap(root, act):
    path = f'{root.tmp}/path'
    clean(path)
    os.mkdir(path)
    log = f'{home(root, "log")}/log'
    with open(f'{path}/mmdebstrap', 'w') as file:
        file.write(FAKE.format(log=log, act=act))
    os.chmod(f'{path}/mmdebstrap', 0o755)
    return log, {'PATH': f'{path}:/usr/bin:/bin'}


@case('the debian template: mmdebstrap runs as the caller, its tar is unpacked, what it does is told')
def _(root):
    archive = Archive().directory('etc').add('etc/a', b'x' * 100000, uid=33).write(f'{root.tmp}/a.tar')
    log, env = mmdebstrap(root, f'cat {archive}; head -c 300000 /dev/zero')
    where = target(root)
    with open('/etc/os-release') as file:  # of its own release a machine's sources are named by their file
        other = 'bookworm' if 'trixie' in file.read() else 'trixie'
    done = well(call(root, 'debian', other, where, env=env))
    assert done.out.startswith('stage=running apt-get update\n') and 'entries=2' in done.out, done
    said = open(log).read().splitlines()
    assert said[0] == str(root.alice.uid) and '--mode=unshare' in said and '--format=tar' in said, said
    assert said[said.index('-') - 1] == other and said[-1] == '-', said
    assert os.stat(f'{where}/etc/a').st_uid == FIRST + 33


@cases([
    ('a failure before the first byte', 'echo "E: cannot get it" >&2; echo "E: mmdebstrap failed to run" >&2; exit 1', 'cannot get it'),
    ('a failure half way', 'head -c 60000 {archive}; echo "E: disk full" >&2; exit 3', 'disk full'),
    ('a failure at the end', 'cat {archive}; echo "E: hook failed" >&2; exit 1', 'hook failed'),
    ('a death by a signal', 'kill -9 $$', 'running apt-get update'),
    ('something that is not a tar', 'echo hello', 'not a tar'),
])
def _(root, act, says):
    """Of mmdebstrap, is the error, with its own words."""
    archive = Archive().add('etc/a', b'x' * 100000).write(f'{root.tmp}/a.tar')
    _, env = mmdebstrap(root, act.format(archive=archive))
    done = call(root, 'debian', '', target(root), env=env)
    assert done.code == 125 and len(done.err.splitlines()) == 1 and says in done.err, done


@case('without mmdebstrap the debian template says what to install')
def _(root):
    fails(call(root, 'debian', '', target(root), env={'PATH': f'{root.tmp}'}), 'package mmdebstrap')


@case('interrupted, mmdebstrap is ended too')
def _(root):
    _, env = mmdebstrap(root, f'trap "echo ended >{root.tmp}/log/end; exit 1" TERM; echo >{root.tmp}/log/ready; sleep 60 & wait')
    child = spawn([tool(root), IDS, 'debian', '', target(root)], root.alice, env=env)
    wait_for(lambda: os.path.exists(f'{root.tmp}/log/ready'), 'mmdebstrap')
    child.kill(signal.SIGTERM)
    fails(child.wait(10), 'interrupted by SIGTERM')
    assert open(f'{root.tmp}/log/end').read() == 'ended\n'


# --- copies ---------------------------------------------------------------------------------

OTHER = 300000


def two_blocks(root):
    for write in (root.subuid, root.subgid):
        write(f'alice:{FIRST}:65536\nalice:{OTHER}:65536\n')


def original(root):
    """A tree of alice's container with everything in it."""
    two_blocks(root)
    top = rich_tree(f'{root.tmp}/tree')
    archive = tar_of(top, f'{root.tmp}/tree.tar')
    where = target(root, 'original')
    well(unpack(root, archive, where))
    return where


def beside(where, name, root):
    path = f'{os.path.dirname(where)}/{name}'
    os.mkdir(path)
    os.chown(path, root.alice.uid, root.alice.gid)
    return path


def shifted_acls(found, by):
    """Ids in ACLs less `by`, as the initial namespace shows them."""
    for row in found.values():
        for name, value in row['attributes'].items():
            if name.startswith('system.posix_acl'):
                entries = [struct.unpack('<HHI', value[at:at + 8]) for at in range(4, len(value), 8)]
                row['attributes'][name] = [(t, p, i - by if t in (2, 8) else None) for t, p, i in entries]
            if name == 'security.capability':
                row['attributes'][name] = value[:20], struct.unpack('<I', value[20:])[0] - by
    return found


@cases([('a copy with the same ids is the same', FIRST), ('a copy for other ids is the same', OTHER)])
def _(root, first):
    where = original(root)
    copy = beside(where, 'copy', root)
    well(call(root, 'copy', f'{IDS},{where}', copy, ids=f'{first}:65536'))
    same(shifted_acls(listing(copy, first), first), shifted_acls(listing(where, FIRST), FIRST))
    assert os.stat(f'{copy}/var/sparse').st_blocks * 512 < 1 << 20
    assert os.stat(f'{copy}/usr/bin/su').st_nlink == 2
    well(call(root, 'remove', os.path.dirname(where), 'copy', ids=f'{first}:65536'))
    assert os.path.exists(f'{where}/etc/passwd')


@case('a capability of the copy works for the root of the new ids')
def _(root):
    where = original(root)
    copy = beside(where, 'copy', root)
    well(call(root, 'copy', f'{IDS},{where}', copy, ids=f'{OTHER}:65536'))
    value = os.getxattr(f'{copy}/usr/bin/ping', 'security.capability')
    assert struct.unpack('<I', value[20:])[0] == OTHER


@case('a link, a fifo and a mount in the original are not followed, not waited for, not entered')
def _(root):
    where = original(root)
    out = f'{root.tmp}/elsewhere'
    clean(out)
    os.mkdir(out)
    open(f'{out}/secret', 'w').close()
    os.symlink(out, f'{where}/out')
    os.mkdir(f'{where}/mounted')
    os.chown(f'{where}/mounted', FIRST, FIRST)
    mount(out, f'{where}/mounted', None, 4096)
    try:
        copy = beside(where, 'copy', root)
        well(call(root, 'copy', f'{IDS},{where}', copy))
        assert os.readlink(f'{copy}/out') == out and os.listdir(f'{copy}/mounted') == []
    finally:
        umount(f'{where}/mounted')


@case('a file of an id that the new container has not is named')
def _(root):
    where = original(root)
    fails(call(root, 'copy', f'{IDS},{where}', beside(where, 'copy', root), ids=f'{OTHER}:1000'), 'has not both')


@case('a copy is bounded by --max-size, says when the disk is full, and can be removed')
def _(root):
    where = original(root)
    copy = beside(where, 'copy', root)
    fails(call(root, 'copy', f'{IDS},{where}', copy, max_size=1 << 20), '--max-size')
    well(call(root, 'remove', os.path.dirname(where), 'copy'))
    small = beside(where, 'small', root)
    mount('tmpfs', small, 'tmpfs', 0, 'size=1m,mode=0755')
    try:
        os.mkdir(f'{small}/in')
        os.chown(small, root.alice.uid, root.alice.gid)
        os.chown(f'{small}/in', root.alice.uid, root.alice.gid)
        fails(call(root, 'copy', f'{IDS},{where}', f'{small}/in', max_size=1 << 30, ids=f'{OTHER}:65536'), 'No space left')
        well(call(root, 'remove', small, 'in', ids=f'{OTHER}:65536'))
        assert os.listdir(small) == []
    finally:
        umount(small)


@cases([(f'a copy is killed half way by {name}, and what is there can be removed by the root of the new ids', number)
        for name, number in (('SIGTERM', signal.SIGTERM), ('SIGKILL', signal.SIGKILL))])
def _(root, number):
    where = original(root)
    for directory in range(40):
        os.mkdir(f'{where}/many{directory}')
        for name in range(60):
            with open(f'{where}/many{directory}/{name}', 'w') as file:
                file.write('x' * 5000)
            os.chown(f'{where}/many{directory}/{name}', FIRST + name, FIRST)
        os.chown(f'{where}/many{directory}', FIRST + directory, FIRST)
    for moment in range(6):
        copy = beside(where, 'copy', root)
        child = spawn([tool(root), f'{OTHER}:65536', 'copy', f'{IDS},{where}', copy], root.alice)
        wait_for(lambda: os.listdir(copy), 'something to be copied')
        time.sleep(0.01 * moment)
        child.kill(number)
        child.wait(10)
        wait_for(lambda: call(root, 'remove', os.path.dirname(where), 'copy', ids=f'{OTHER}:65536').code == 0, 'the copy to be gone')
        assert os.listdir(os.path.dirname(where)) == ['original']


@case('a copy of layers is what the overlay shows: whiteouts and opaque directories are applied')
def _(root):
    where = original(root)
    changes = beside(where, 'changes', root)
    merged = f'{root.tmp}/merged'
    for name in ('upper', 'work'):
        os.mkdir(f'{changes}/{name}')
        os.chown(f'{changes}/{name}', FIRST, FIRST)
    clean(merged)
    os.mkdir(merged)
    mount('overlay', merged, 'overlay', 0, f'lowerdir={where},upperdir={changes}/upper,workdir={changes}/work,userxattr')
    try:
        os.unlink(f'{merged}/etc/passwd')
        shutil.rmtree(f'{merged}/usr/lib')
        os.mkdir(f'{merged}/usr/lib')
        for name, text in (('usr/lib/new', 'new'), ('home/u/mine', 'changed')):
            with open(f'{merged}/{name}', 'w') as file:
                file.write(text)
            os.chown(f'{merged}/{name}', FIRST, FIRST)
        os.chown(f'{merged}/usr/lib', FIRST, FIRST)
        shown = listing(merged, FIRST)
        copy = beside(where, 'copy', root)
        well(call(root, 'copy', f'{IDS},{changes}/upper,{where}', copy, ids=f'{OTHER}:65536'))
        same(shifted_acls(listing(copy, OTHER), OTHER), shifted_acls(shown, FIRST))
        assert os.listdir(f'{copy}/usr/lib') == ['new']
    finally:
        umount(merged)


if __name__ == '__main__':
    main()
