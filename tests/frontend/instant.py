#!/usr/bin/env python3
"""Containers without a copy: an overlay over a base tree that is shown with each one's own ids."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
from container import FIRST, fails, well  # noqa: E402
from harness import case, main, mount, skip, umount, wait_for  # noqa: E402
from images import busybox_layer  # noqa: E402
from named import Store  # noqa: E402
from oci import layout, need_skopeo  # noqa: E402

BLOCK = 65536
WAIT = ('sh', '-c', 'trap "exit 0" TERM; echo up; while :; do sleep 1000 & wait; done')


def prepared(root, config=None):
    """Alice has four blocks; her store; an image."""
    need_skopeo()
    for write in root.subuid, root.subgid:
        write(f'alice:{FIRST}:{4 * BLOCK}\nbob:900000:{BLOCK}\n')
    store = Store(root)
    shutil.rmtree(f'{store.user_home()}/.local', ignore_errors=True)
    return store, layout(root, config)


def create(store, name, *words, **how):
    return well(store.do('create', name, *words, timeout=120, **how))


def config(store, name):
    with open(f'{store.path}/{name}/config') as file:
        return file.read()


def uids(store, name):
    first, count = re.search(r'^map = u:0:(\d+):(\d+)$', config(store, name), re.M).groups()
    return range(int(first), int(first) + int(count))


def inside(store, name, script, **how):
    """A shell in it, which ends with it."""
    done = store.do('start', name, '--foreground', command=('sh', '-c', script), timeout=60, **how)
    return well(done).out.replace('\r', '')


def bases(store):
    return sorted(name for name in os.listdir(store.path) if name.endswith('.base'))


def fingerprint(path):
    """All of a tree: names, owners, modes, attributes, contents."""
    facts = []
    for top, names, files in os.walk(path):
        for name in ['.', *sorted(names + files)]:
            here = os.path.join(top, name)
            one = os.lstat(here)
            data = b''
            if stat.S_ISREG(one.st_mode):
                with open(here, 'rb') as file:
                    data = file.read()
            attributes = [] if stat.S_ISLNK(one.st_mode) else sorted(os.listxattr(here))
            facts.append((here, one.st_uid, one.st_gid, one.st_mode, one.st_size, attributes, hashlib.sha256(data).hexdigest()))
    return sorted(facts)


@case('two containers of an image have files and ids of their own, and neither has a copy')
def _(root):
    store, image = prepared(root)
    for name in ('one', 'two'):
        done = create(store, name, f'--image=oci:{image}:it')
        assert done.err == '', done
        assert 'base-tree = ' in config(store, name) and not os.path.exists(f'{store.path}/{name}/rootfs')
    assert not set(uids(store, 'one')) & set(uids(store, 'two'))
    assert len(bases(store)) == 1
    for name in ('one', 'two'):
        said = inside(store, name, f'stat -c %u:%g /bin/busybox /etc/passwd; echo {name} >/root/mine; cat /root/mine')
        assert said.split() == ['0:0', '0:0', name], said
        assert os.lstat(f'{store.path}/{name}/upper/root/mine').st_uid == uids(store, name)[0]
    assert inside(store, 'two', 'cat /root/mine').split() == ['two']


@case('what root inside does to a container\'s files does not reach the base tree, nor another container')
def _(root):
    store, image = prepared(root)
    for name in ('one', 'two'):
        create(store, name, f'--image=oci:{image}:it')
    tree = f'{store.path}/{bases(store)[0]}/rootfs'
    before = fingerprint(tree)
    assert len(before) > 20
    inside(store, 'one', 'mount -o remount,rw / ; chown -R 7:7 /etc; chmod 0 /etc/passwd; echo x >>/bin/busybox; '
                         'for m in $(cat /proc/self/mountinfo | tr " " "\\n" | grep "^/"); do umount $m; echo y >$m/made; done 2>/dev/null; '
                         'for f in /proc/*/fd/* /proc/*/root /proc/*/cwd; do echo z >$f/made; done 2>/dev/null; rm -rf /etc /root; true')
    assert fingerprint(tree) == before
    assert inside(store, 'two', 'stat -c %u /etc/passwd; ls -d /root').split() == ['0', '/root']


@case('no mount of the base tree is to be seen from inside')
def _(root):
    store, image = prepared(root)
    create(store, 'one', f'--image=oci:{image}:it')
    said = inside(store, 'one', 'cat /proc/self/mountinfo')
    assert 'overlay' in said and '.base' not in ''.join(line.split(' - ')[0] for line in said.splitlines()), said
    assert 'idmapped' not in said, said


@case('base files belong to one block, and the base tree is closed to all but the caller')
def _(root):
    store, image = prepared(root)
    create(store, 'one', f'--image=oci:{image}:it')
    base = f'{store.path}/{bases(store)[0]}'
    assert stat.S_IMODE(os.stat(base).st_mode) == 0o700 and os.stat(base).st_uid == root.alice.uid
    owner = os.lstat(f'{base}/rootfs').st_uid
    assert owner not in uids(store, 'one') and FIRST <= owner < FIRST + 4 * BLOCK
    assert {fact[1] for fact in fingerprint(f'{base}/rootfs')} == {owner}


@case('a container is far less than a megabyte on disk')
def _(root):
    store, image = prepared(root)
    create(store, 'one', f'--image=oci:{image}:it')
    inside(store, 'one', 'true')
    size = sum(os.lstat(os.path.join(top, name)).st_blocks * 512
               for top, names, files in os.walk(f'{store.path}/one') for name in names + files)
    assert size < 100_000, size


@case('--copy gives it a tree of its own')
def _(root):
    store, image = prepared(root)
    create(store, 'one', f'--image=oci:{image}:it', '--copy')
    assert 'base-tree' not in config(store, 'one') and os.path.exists(f'{store.path}/one/rootfs/bin/busybox') and bases(store) == []
    assert inside(store, 'one', 'echo ok').split() == ['ok']


@case('without userns-idmap the files are copied, which is said once')
def _(root):
    store, image = prepared(root)
    helper = root.program('userns-idmap')
    os.rename(helper, helper + '.gone')
    try:
        done = create(store, 'one', f'--image=oci:{image}:it')
        assert done.err.count('\n') == 1 and 'the files are copied' in done.err and 'userns-idmap' in done.err, done
        assert 'base-tree' not in config(store, 'one')
        assert inside(store, 'one', 'echo ok').split() == ['ok']
    finally:
        os.rename(helper + '.gone', helper)


@case('on a file system that cannot show other ids (an overlay) the files are copied, which is said; --from there, too')
def _(root):
    store, image = prepared(root)
    for name in ('lower', 'upper', 'work'):
        os.makedirs(f'{root.tmp}/layers/{name}', exist_ok=True)
    os.chown(f'{root.tmp}/layers/upper', root.alice.uid, root.alice.gid)
    os.chmod(f'{root.tmp}/layers/upper', 0o700)
    mount('overlay', store.path, 'overlay', 0, ','.join(f'{name}dir={root.tmp}/layers/{name}' for name in ('lower', 'upper', 'work')))
    try:
        done = create(store, 'one', f'--image=oci:{image}:it')
        assert done.err.count('the files are copied: ') == 1 and 'file system' in done.err, done
        assert os.path.isdir(f'{store.path}/one/rootfs') and bases(store) == []
        assert inside(store, 'one', 'echo x >/root/x; cat /root/x').split() == ['x']
        done = create(store, 'two', '--from=one', '--instant')
        assert done.err.count('the files are copied: ') == 1, done
        assert inside(store, 'two', 'cat /root/x').split() == ['x'] and set(uids(store, 'one')).isdisjoint(uids(store, 'two'))
        for name in ('one', 'two'):
            well(store.do('destroy', name))
    finally:
        umount(store.path)


@contextlib.contextmanager
def over_fuse(path, source, *options):
    """What is in `source`, by way of a real FUSE file system of root's, which hands owners on."""
    bindfs = shutil.which('bindfs') or skip('bindfs is not installed')
    if not os.path.exists('/dev/fuse'):
        skip('there is no /dev/fuse')
    os.makedirs(source, exist_ok=True)
    done = subprocess.run([bindfs, '-o', 'allow_other', *options, source, path], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done
    try:
        yield
    finally:
        umount(path)


@case('on FUSE the files are copied, which is said; --from there, too; an idmapped bind of it is a sentence; doctor says it')
def _(root):
    store, image = prepared(root)
    below = f'{root.tmp}/below-fuse'
    shutil.rmtree(below, ignore_errors=True)
    os.makedirs(below)
    os.chown(below, root.alice.uid, root.alice.gid)
    with over_fuse(store.path, below):
        done = create(store, 'one', f'--image=oci:{image}:it')
        assert done.err.count('the files are copied: ') == 1 and 'FUSE' in done.err, done
        assert os.path.isdir(f'{store.path}/one/rootfs') and bases(store) == []
        assert inside(store, 'one', 'echo x >/root/x; cat /root/x').split() == ['x']
        assert os.stat(f'{below}/one/rootfs/root/x').st_uid in uids(store, 'one')
        done = create(store, 'two', '--from=one', '--instant')
        assert done.err.count('the files are copied: ') == 1, done
        assert inside(store, 'two', 'cat /root/x').split() == ['x'] and set(uids(store, 'one')).isdisjoint(uids(store, 'two'))
        done = store.do('start', 'one', '--foreground', f'--bind={store.path}:/b:idmap', command=('true',), timeout=60)
        assert done.code == 125 and 'FUSE' in done.err, done
        env = {'PATH': '/usr/bin:/bin', 'HOME': store.user_home(), 'XDG_DATA_HOME': store.path}
        said = root.run([root.program('userns-run'), 'doctor'], root.alice, env=env, timeout=60).out
        assert 'so they are copied' in said and 'FUSE' in said, said
        for name in ('one', 'two'):
            well(store.do('destroy', name))


@case('what the image says about how to run it, as in create --tar')
def _(root):
    store, image = prepared(root, {'Env': ['A=b', 'HOME'], 'Cmd': ['sh', '-c', 'echo $A; pwd'], 'WorkingDir': '/etc', 'User': '0:0',
                                   'StopSignal': 'SIGINT'})
    for name in ('one', 'two'):  # the second by the record in the base tree
        create(store, name, f'--image=oci:{image}:it', '--env=C=d')
        text = config(store, name)
        for line in ('env = A=b', 'env = C=d', 'cwd = /etc', 'stop-signal = SIGINT'):
            assert line in text.splitlines(), (line, text)
        assert 'HOME' not in text
    assert well(store.do('start', 'one', '--foreground')).out.split() == ['b', '/etc']


@case('create --from an instant one shows its changes, and both go their own ways')
def _(root):
    store, image = prepared(root)
    create(store, 'one', f'--image=oci:{image}:it')
    inside(store, 'one', 'echo first >/root/file; chown 5:7 /root/file; rm /etc/group')
    create(store, 'two', '--from=one')
    assert not set(uids(store, 'one')) & set(uids(store, 'two')) and len(bases(store)) == 2
    look = 'cat /root/file; stat -c %u:%g /root/file; ls /etc/group 2>/dev/null; true'
    for name in ('two', 'one'):
        assert inside(store, name, look).split() == ['first', '5:7'], name
    inside(store, 'two', 'echo second >/root/file')
    assert inside(store, 'one', 'cat /root/file').split() == ['first']
    assert inside(store, 'two', look).split() == ['second', '5:7']
    assert os.lstat(f'{store.path}/two/upper/root/file').st_uid == uids(store, 'two')[5]


@case('--from a running one: what it has changed by then is copied, what it deleted is not there, and both go their own ways')
def _(root):
    store, _ = prepared(root)
    layer = busybox_layer()
    for name in ('kept', 'gone', 'dir/a', 'dir/b'):
        layer.add(name, b'base')
    layer.add('big', os.urandom(8 << 20))
    create(store, 'one', f'--image=oci:{layout(root, None, layer)}:it')
    well(store.do('start', 'one', command=WAIT))
    script = ('echo x >/root/x; chown 5:7 /root/x; chmod 4751 /root/x; ln /root/x /root/y; ln -s x /root/z; mkfifo /root/f; '
              'rm /gone; rm -r /dir; mkdir /dir; echo new >/dir/c; echo more >>/kept')
    well(store.do('exec', 'one', command=('sh', '-c', script)))
    done = create(store, 'two', '--from=one')
    assert 'one runs, and has no cgroup by which it could be stopped' in done.err and 'copied:' not in done.err, done
    well(store.do('exec', 'one', command=('sh', '-c', 'echo later >/root/x; echo later >/root/later; rm /kept')))
    assert set(uids(store, 'one')).isdisjoint(uids(store, 'two')) and len(bases(store)) == 1
    assert 'rootfs' not in store.files('two')
    look = ('stat -c "%u:%g %a %h" /root/x; cat /root/y; stat -c %F /root/z /root/f; ls /dir; ls /gone 2>/dev/null; cat /kept; '
            'ls -1 /root; echo own >/root/own')
    found = inside(store, 'two', look).split('\n')
    assert found == ['5:7 4751 2', 'x', 'symbolic link', 'fifo', 'c', 'basemore', 'f', 'x', 'y', 'z', ''], found
    assert well(store.do('exec', 'one', command=('ls', '/root'))).out.split() == ['f', 'later', 'x', 'y', 'z']
    # Nothing is on disk twice but what it had changed.
    assert sum(entry.stat().st_size for entry in os.scandir(f'{store.path}/two/upper/root') if entry.is_file(follow_symlinks=False)) < 4096
    assert os.lstat(f'{store.path}/two/upper/root/x').st_uid == uids(store, 'two')[5]
    well(store.do('stop', 'one'))
    # A third one, of a copy of that kind that does not run.
    create(store, 'three', '--from=two')
    assert inside(store, 'three', 'cat /root/own /dir/c; ls /gone 2>/dev/null; ls /dir').split() == ['own', 'new', 'c']


@case('--from a running one that has never changed anything; of one with a tree of its own, a copy')
def _(root):
    store, image = prepared(root)
    for write in root.subuid, root.subgid:
        write(f'alice:{FIRST}:{6 * BLOCK}\n')
    create(store, 'plain', '--template=busybox')
    create(store, 'one', f'--image=oci:{image}:it')
    for name in ('plain', 'one'):
        well(store.do('start', name, command=WAIT))
    create(store, 'two', '--from=one')
    done = create(store, 'own', '--from=plain', '--instant')
    assert 'the files are copied: it is running' in done.err, done
    assert 'rootfs' in store.files('own') and len(bases(store)) == 1
    for name in ('plain', 'one'):
        well(store.do('stop', name))
    assert inside(store, 'two', 'echo ok') == inside(store, 'own', 'echo ok') == 'ok\n'


@case('--from of a plain container copies; --instant does not, and afterwards both stand on its files')
def _(root):
    store, _ = prepared(root)
    create(store, 'plain', '--template=busybox')
    create(store, 'copy', '--from=plain')
    assert bases(store) == [] and os.path.exists(f'{store.path}/copy/rootfs')
    create(store, 'quick', '--from=plain', '--instant')
    assert len(bases(store)) == 1 and not os.path.exists(f'{store.path}/plain/rootfs')
    for name in ('plain', 'quick'):
        assert inside(store, name, f'echo {name} >/root/x; cat /root/x').split() == [name]


@case('convert --instant, and a copy of what it made has all files')
def _(root):
    store, _ = prepared(root)
    create(store, 'plain', '--template=busybox')
    inside(store, 'plain', 'echo kept >/root/file')
    assert 'base tree' in well(store.do('convert', 'plain', '--instant')).out
    inside(store, 'plain', 'echo more >/root/more')
    create(store, 'copy', '--from=plain', '--copy')
    assert 'base-tree' not in config(store, 'copy')
    assert inside(store, 'copy', 'cat /root/file /root/more').split() == ['kept', 'more']


@case('config map= gives it other ids at once, and no file is shifted')
def _(root):
    store, image = prepared(root)
    create(store, 'one', f'--image=oci:{image}:it')
    inside(store, 'one', 'echo mine >/root/file; chown 5:7 /root/file')
    other = FIRST + 2 * BLOCK
    assert other not in uids(store, 'one')
    before = {name: fingerprint(f'{store.path}/{name}/rootfs') for name in bases(store)}
    well(store.do('config', 'one', f'map=b:0:{other}:{BLOCK}'))
    for name, tree in before.items():
        assert fingerprint(f'{store.path}/{name}/rootfs') == tree
    assert 'map = b:0:' in config(store, 'one')
    assert inside(store, 'one', 'cat /root/file; stat -c %u:%g /root/file; echo new >/root/new').split() == ['mine', '5:7']
    assert os.lstat(f'{store.path}/one/upper/root/new').st_uid == other


@case('with fewer ids than the files may have each file is looked at: a copy, or the file that does not fit is named')
def _(root):
    store, image = prepared(root)
    done = create(store, 'few', f'--image=oci:{image}:it', '--ids=1000')
    assert 'the files are copied' in done.err and 'base-tree' not in config(store, 'few'), done
    assert inside(store, 'few', 'stat -c %u /etc/passwd').split() == ['0']
    create(store, 'all', f'--image=oci:{image}:it')
    fails(store.do('config', 'all', f'map=b:0:{FIRST + 2 * BLOCK}:1000'), 'keep as many ids')
    done = create(store, 'fewer', '--from=all', '--ids=1000')
    assert 'the files are copied' in done.err and 'base-tree' not in config(store, 'fewer'), done
    other = layout(root, None, busybox_layer().add('home', b'x', uid=5000, gid=5000), name='other')
    for words in (['--ids=1000'], ['--map-self']):
        done = store.do('create', 'no', f'--image=oci:{other}:it', *words, timeout=60)
        assert done.code == 125 and "'home'" in done.err and '5000' in done.err, done


@case('a running one is not given other ids')
def _(root):
    store, image = prepared(root)
    create(store, 'one', f'--image=oci:{image}:it')
    well(store.do('start', 'one', command=WAIT))
    fails(store.do('config', 'one', f'map=b:0:{FIRST + 2 * BLOCK}:{BLOCK}'), 'is running')
    well(store.do('stop', 'one'))


@case('prune deletes base trees that nobody stands on, and no other')
def _(root):
    store, image = prepared(root)
    create(store, 'one', f'--image=oci:{image}:it')
    inside(store, 'one', 'echo x >/root/x')
    create(store, 'two', '--from=one')
    well(store.do('destroy', 'one'))
    well(store.do('prune'))
    assert len(bases(store)) == 2 and inside(store, 'two', 'cat /root/x').split() == ['x']
    well(store.do('destroy', 'two'))
    well(store.do('prune'))
    assert len(bases(store)) == 1  # the image is still there
    well(store.do('prune', '--all'))
    assert bases(store) == []


@case('a container that is begun names its base before there is one, and prune that looked before leaves it alone')
def _(root):
    store, _ = prepared(root)
    big = busybox_layer().add('big', os.urandom(48 << 20))
    image = layout(root, None, big)
    child = store.begin('create', 'one', f'--image=oci:{image}:it')
    begun = lambda end: [name for name in os.listdir(store.path) if end in name]  # noqa: E731
    wait_for(lambda: [name for name in begun('.new-') if name.startswith('.i')] or begun('.base'), 'the base to be begun', 60)
    (own,) = begun('.one.new-') or ['one']
    assert 'base-tree = i' in config(store, own), config(store, own)
    assert child.wait(60).code == 0

    create(store, 'two', f'--image=oci:{image}:it')
    words = config(store, 'two')
    for name in ('one', 'two'):
        well(store.do('destroy', name))
    turn = open(f'{store.user_home()}/.local/share/userns/.lock')
    fcntl.flock(turn, fcntl.LOCK_EX)
    prune = store.begin('prune', '--all')
    inode = os.fstat(turn.fileno()).st_ino
    waits = lambda: any('->' in line and f':{inode} ' in line for line in open('/proc/locks'))  # noqa: E731
    wait_for(lambda: waits() or not bases(store), 'prune to wait for its turn', 60)
    os.mkdir(f'{store.path}/.two.new-abcdef', 0o700)
    with open(f'{store.path}/.two.new-abcdef/config', 'w') as file:
        file.write(words)
    own = open(f'{store.path}/.two.new-abcdef/lock', 'w')  # the creation lives
    fcntl.flock(own, fcntl.LOCK_EX)
    for path in (f'{store.path}/.two.new-abcdef', f'{store.path}/.two.new-abcdef/config', own.name):
        os.chown(path, root.alice.uid, root.alice.gid)
    turn.close()
    assert prune.wait(60).code == 0 and len(bases(store)) == 1, bases(store)
    own.close()  # it was killed
    well(store.do('prune', '--all'))
    assert bases(store) == [] and begun('.two.new-') == []


@case('a base that was never filled (a crash while files became one) leaves the container its own')
def _(root):
    store, _ = prepared(root)
    create(store, 'plain', '--template=busybox')
    base = f'{store.path}/.t0123456789abcdef.base'
    os.mkdir(base, 0o700)
    shutil.copy(f'{store.path}/plain/config', f'{base}/config')
    for path in (base, f'{base}/config'):
        os.chown(path, root.alice.uid, root.alice.gid)
    with open(f'{store.path}/plain/config', 'a') as file:
        file.write('base-tree = t0123456789abcdef\n')
    assert inside(store, 'plain', 'echo ok >/root/x; cat /root/x').split() == ['ok']
    assert os.path.exists(f'{store.path}/plain/rootfs/root/x')


@case('a blob that was changed in the store is found before its files are used')
def _(root):
    store, image = prepared(root)
    well(root.run([root.program('userns-run'), 'pull', f'oci:{image}:it'], root.alice, timeout=60))
    blobs = f'{store.user_home()}/.local/share/userns/.images/blobs/sha256'
    largest = max(os.listdir(blobs), key=lambda name: os.path.getsize(f'{blobs}/{name}'))
    with open(f'{blobs}/{largest}', 'r+b') as file:
        file.seek(-20, os.SEEK_END)
        file.write(b'\xff' * 4)
    done = store.do('create', 'one', f'--image={image_name(root, store)}', timeout=60)
    assert done.code == 125 and bases(store) == [] and not os.path.exists(f'{store.path}/one'), done
    assert [name for name in os.listdir(store.path) if name.startswith('.') and 'new' in name] == []


def image_name(root, _store):
    return root.run([root.program('userns-run'), 'images', '--names'], root.alice).out.split()[0]


@case('two creations at once unpack an image once, and both work')
def _(root):
    store, image = prepared(root)
    both = [store.begin('create', name, f'--image=oci:{image}:it') for name in ('one', 'two')]
    for child in both:
        well(child.wait(120))
    assert len(bases(store)) == 1
    for name in ('one', 'two'):
        assert inside(store, name, 'echo ok').split() == ['ok']


@case('--image for a throw-away one: the image\'s words, and nothing is left')
def _(root):
    store, image = prepared(root, {'Env': ['A=b'], 'Cmd': ['sh', '-c', 'echo cmd $A; echo x >/root/x'], 'WorkingDir': '/etc'})
    run = [root.program('userns-run'), f'--image=oci:{image}:it']
    assert well(root.run(run, root.alice, timeout=60)).out.split() == ['cmd', 'b']
    done = well(root.run([*run, '--env', 'A=c', '--', 'sh', '-c', 'echo $A; pwd; ls /root; stat -c %u /etc/passwd'], root.alice, timeout=60))
    assert done.out.split() == ['c', '/etc', '0'], done
    assert well(root.run([*run, '--map', f'b:0:{FIRST}:{BLOCK}', '--', 'cat', '/proc/self/uid_map'], root.alice, timeout=60)).out.split() == ['0', str(FIRST), str(BLOCK)]


@case('two of one image with one idmapped bind, one of them :ro, both --nesting: frozen, entered, thawed, destroyed')
def _(root):
    store, where = prepared(root)
    shared = f'{store.user_home()}/shared'
    shutil.rmtree(shared, ignore_errors=True)
    os.makedirs(shared)
    os.chown(shared, store.user.uid, store.user.gid)
    create(store, 'one', f'--image=oci:{where}', '--nesting', f'--bind={shared}:/mine:idmap', '--', *WAIT)
    create(store, 'two', f'--image=oci:{where}', '--nesting', f'--bind={shared}:/mine:ro,idmap=5', '--', *WAIT)
    for name in ('one', 'two'):
        well(store.do('start', name))
        wait_for(lambda: b'up' in store.log(name), f'{name} to be up')
    well(store.do('exec', 'one', command=('sh', '-c', 'echo mine >/mine/file; chown 3 /bin/busybox 2>/dev/null; echo one >/etc/only')))
    facts = os.stat(f'{shared}/file')
    assert (facts.st_uid, facts.st_gid) == (store.user.uid, store.user.gid), facts
    seen = well(store.do('exec', 'two', command=('sh', '-c', 'stat -c %u /mine/file; ls /etc/only 2>&1; echo x 2>&1 >>/mine/file; '
                         'mount -o remount,bind,rw /mine 2>&1; unshare -Urm mount -o remount,bind,rw /mine 2>&1; echo y 2>&1 >>/mine/file; :'))).out
    assert seen.splitlines()[0] == '5' and 'No such file' in seen and seen.count('Read-only file system') >= 2, seen
    with open(f'{shared}/file') as file:
        assert file.read() == 'mine\n'
    well(store.do('freeze', 'two'))
    fails(store.do('exec', 'two', command=('true',)), 'two is frozen', 'thaw')
    well(store.do('exec', 'one', command=('true',)))
    well(store.do('thaw', 'two'))
    well(store.do('exec', 'two', command=('true',)))
    for name in ('one', 'two'):
        well(store.do('destroy', name, '--force'))
    assert os.listdir(shared) == ['file']


main()
