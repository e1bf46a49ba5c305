#!/usr/bin/env python3
"""cp: files into a container, out of it and between two, running or not."""

import io
import os
import subprocess
import sys
import tarfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from container import FIRST, fails, well  # noqa: E402
from named import IDLE, Store  # noqa: E402
from harness import case, cases, main  # noqa: E402

SETID, SETGID = 0o4000, 0o2000


def write(path, text, user, mode=0o644):
    made = []
    while not os.path.exists(os.path.dirname(made[-1] if made else path)):
        made.append(os.path.dirname(made[-1] if made else path))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    for directory in made:
        os.chown(directory, user.uid, user.gid)
    with open(path, 'w') as file:
        file.write(text)
    os.chmod(path, mode)
    os.chown(path, user.uid, user.gid)


def own_dir(root, name):
    path = f'{root.tmp}/home/alice/{name}'
    subprocess.run(['rm', '-rf', path], check=True)
    os.makedirs(path)
    os.chown(path, root.alice.uid, root.alice.gid)
    return path


def begin(root, state, *names):
    """Containers with ids of their own; in `state` (running, stopped). Their trees' paths."""
    store = Store(root)
    trees = []
    for name in names or ('web',):
        first = FIRST + 70000 * len(trees)
        store.first = first
        with open('/etc/subuid', 'w') as uids, open('/etc/subgid', 'w') as gids:
            uids.write(f'alice:{FIRST}:200000\n')
            gids.write(f'alice:{FIRST}:200000\n')
        store.make(name, IDLE, f'map = b:0:{first}:65536')
        trees.append(f'{root.tmp}/trees/{name}')
        if state == 'running':
            well(store.do('start', name))
    return store, *trees


def end(store, state, *names):
    if state == 'running':
        for name in names or ('web',):
            well(store.do('kill', name))


def piped(root, store, *args, data=None):
    """The verb with bytes as its input and its output."""
    return subprocess.run(['setpriv', f'--reuid={root.alice.uid}', f'--regid={root.alice.gid}', '--clear-groups', *store.words(*args)],
                          input=data, capture_output=True, timeout=60, env={**os.environ, 'HOME': f'{root.tmp}/home/alice'})


def facts(path):
    found = os.lstat(path)
    return found.st_uid, found.st_gid, oct(found.st_mode & 0o7777)


STATES = [('running',), ('stopped',)]


@cases([(f'{s}: a file goes in as root\'s, or as --owner says, and comes out as the caller\'s', s) for s, in STATES])
def _(root, state):
    store, tree = begin(root, state)
    here = own_dir(root, 'here')
    write(f'{here}/page', 'hello', root.alice, 0o640)
    well(store.do('cp', f'{here}/page', 'web:/etc/'))
    assert facts(f'{tree}/etc/page') == (FIRST, FIRST, '0o640')
    well(store.do('cp', f'{here}/page', 'web:home/u/mine', '--owner=1000:1001'))
    assert facts(f'{tree}/home/u/mine') == (FIRST + 1000, FIRST + 1001, '0o640')
    well(store.do('cp', f'{here}/page', 'web:/home/u/mine', '--owner=7'))  # in its place
    assert facts(f'{tree}/home/u/mine') == (FIRST + 7, FIRST + 7, '0o640')
    os.chmod(f'{tree}/home/u/mine', 0o6755)
    well(store.do('cp', 'web:/home/u/mine', f'{here}/back'))
    assert facts(f'{here}/back') == (root.alice.uid, root.alice.gid, '0o755'), 'no setuid bit comes out'
    with open(f'{here}/back') as file:
        assert file.read() == 'hello'
    assert os.stat(f'{here}/back').st_mtime == os.stat(f'{here}/page').st_mtime
    end(store, state)


@cases([(f'{s}: directories as cp -a has it: beside, below and onto what is there, whose owner and mode stay', s) for s, in STATES])
def _(root, state):
    store, tree = begin(root, state)
    here = own_dir(root, 'here')
    write(f'{here}/www/a', 'a', root.alice)
    write(f'{here}/www/deep/b', 'b', root.alice)
    os.link(f'{here}/www/a', f'{here}/www/same')
    os.symlink('/etc/passwd', f'{here}/www/link')
    os.chmod(f'{here}/www', 0o700)
    well(store.do('cp', f'{here}/www', 'web:/srv'))            # not there: it becomes that
    assert sorted(os.listdir(f'{tree}/srv')) == ['a', 'deep', 'link', 'same']
    assert facts(f'{tree}/srv') == (FIRST, FIRST, '0o700')
    assert os.stat(f'{tree}/srv/a').st_ino == os.stat(f'{tree}/srv/same').st_ino
    assert os.readlink(f'{tree}/srv/link') == '/etc/passwd'
    well(store.do('cp', f'{here}/www', 'web:/home'))           # there: below it
    assert os.path.exists(f'{tree}/home/www/deep/b')
    before = facts(f'{tree}/home/u')
    write(f'{tree}/home/u/kept', 'kept', root.alice)
    well(store.do('cp', f'{here}/www/.', 'web:/home/u'))       # what is in it
    assert facts(f'{tree}/home/u') == before and sorted(os.listdir(f'{tree}/home/u')) == ['a', 'deep', 'kept', 'link', 'same']
    well(store.do('cp', 'web:/home/u', f'{here}/out'))
    assert sorted(os.listdir(f'{here}/out')) == ['a', 'deep', 'kept', 'link', 'same']
    assert facts(f'{here}/out/deep/b')[:2] == (root.alice.uid, root.alice.gid)
    well(store.do('cp', 'web:/home/u/.', here))
    assert os.path.exists(f'{here}/kept')
    end(store, state)


@cases([(f'{s}: between two containers the owners are the same inside', s) for s, in STATES])
def _(root, state):
    store, one, two = begin(root, state, 'one', 'two')
    write(f'{one}/srv/file', 'text', root.alice, 0o755)
    os.chown(f'{one}/srv', FIRST + 33, FIRST + 34)
    os.chown(f'{one}/srv/file', FIRST + 33, FIRST + 34)
    os.chmod(f'{one}/srv/file', 0o4755)
    subprocess.run(['setfattr', '-n', 'user.note', '-v', 'x', f'{one}/srv/file'], check=True)
    subprocess.run(['setfacl', '-m', f'u:{FIRST + 5}:r', f'{one}/srv/file'], check=True)
    well(store.do('cp', 'one:/srv', 'two:/srv'))
    other = FIRST + 70000
    assert facts(f'{two}/srv/file') == (other + 33, other + 34, '0o4755')
    assert os.getxattr(f'{two}/srv/file', 'user.note') == b'x'
    acl = subprocess.run(['getfacl', '-n', '-p', f'{two}/srv/file'], capture_output=True, text=True, check=True).stdout
    assert f'user:{other + 5}:r' in acl, acl
    well(store.do('cp', 'one:/srv/file', 'one:/etc/copy'))
    assert facts(f'{one}/etc/copy') == (FIRST + 33, FIRST + 34, '0o4755')
    fails(store.do('cp', 'one:/srv', 'one:/srv/again'), 'into itself')
    end(store, state, 'one', 'two')


@cases([(f'{s}: "-" is a tar, with the owners inside, both ways', s) for s, in STATES])
def _(root, state):
    store, tree = begin(root, state)
    write(f'{tree}/srv/data/x', 'x' * 5000, root.alice)
    os.chown(f'{tree}/srv/data/x', FIRST + 12, FIRST + 13)
    done = piped(root, store, 'cp', 'web:/srv/data', '-')
    assert done.returncode == 0, done
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        member = tar.getmember('./data/x')
        assert (member.uid, member.gid, member.size) == (12, 13, 5000)
    again = piped(root, store, 'cp', '-', 'web:/home', data=done.stdout)
    assert again.returncode == 0, again
    assert facts(f'{tree}/home/data/x')[:2] == (FIRST + 12, FIRST + 13)
    nowhere = piped(root, store, 'cp', '-', 'web:/nowhere', data=done.stdout)
    assert nowhere.returncode == 125 and b'is not there' in nowhere.stderr, nowhere
    end(store, state)


def host_file(root):
    """One of the host's that the caller can write and the container's links name."""
    secret = f'{root.tmp}/home/alice/secret'
    write(secret, 'the host\'s', root.alice, 0o666)
    return secret


@cases([(f'{s}: links inside lead nowhere but into the container', s) for s, in STATES])
def _(root, state):
    store, tree = begin(root, state)
    here, secret = own_dir(root, 'here'), host_file(root)
    home = os.path.dirname(secret)
    os.symlink(secret, f'{tree}/etc/leak')            # a file of the host's by its absolute name
    os.symlink(home, f'{tree}/etc/way')               # a directory of the host's
    os.symlink('../../../../../../../..' + home, f'{tree}/etc/climb')
    os.symlink('/proc/self/root', f'{tree}/etc/magic')
    for name in ('leak', 'way', 'climb', 'magic'):
        os.chown(f'{tree}/etc/{name}', FIRST, FIRST, follow_symlinks=False)
    well(store.do('cp', 'web:/etc/leak', f'{here}/leak'))
    assert os.path.islink(f'{here}/leak'), 'a link comes out as a link'
    fails(store.do('cp', 'web:/etc/way/secret', f'{here}/stolen'), 'there is no')
    fails(store.do('cp', 'web:/etc/climb/secret', f'{here}/stolen'), 'there is no')
    fails(store.do('cp', f'web:/etc/magic{secret}', f'{here}/stolen'))
    fails(store.do('cp', f'web:/../../..{secret}', f'{here}/stolen'), 'there is no')
    assert not os.path.exists(f'{here}/stolen')
    write(f'{here}/secret', 'written', root.alice)
    for way in ('way', 'climb'):
        fails(store.do('cp', f'{here}/secret', f'web:/etc/{way}/secret'), 'there is no directory')
    well(store.do('cp', f'{here}/secret', 'web:/etc/leak'))
    with open(secret) as file:
        assert file.read() == 'the host\'s'
    # The same directory out there again, where a link has come: it is not written through.
    os.makedirs(f'{tree}/srv/x')
    write(f'{tree}/srv/x/secret', 'theirs', root.alice)
    os.symlink(home, f'{here}/x')
    well(store.do('cp', 'web:/srv/x', here))
    assert not os.path.islink(f'{here}/x')
    with open(secret) as file:
        assert file.read() == 'the host\'s'
    end(store, state)


@case('an archive from a stranger: entries and links that lead out stay inside; a directory is not replaced by a file')
def _(root):
    store, tree = begin(root, 'running')
    secret = host_file(root)
    text = io.BytesIO()
    with tarfile.open(fileobj=text, mode='w') as tar:
        link = tarfile.TarInfo('out')
        link.type, link.linkname = tarfile.SYMTYPE, os.path.dirname(secret)
        tar.addfile(link)
        inside = tarfile.TarInfo('out/secret')
        inside.size = 3
        tar.addfile(inside, io.BytesIO(b'bad'))
    piped(root, store, 'cp', '-', 'web:/home', data=text.getvalue())
    with open(secret) as file:
        assert file.read() == 'the host\'s'
    for name, piece in (('../../etc/x', b'..'), ('u', b'there is a directory in its place')):
        text = io.BytesIO()
        with tarfile.open(fileobj=text, mode='w') as tar:
            tar.addfile(tarfile.TarInfo(name))
        done = piped(root, store, 'cp', '-', 'web:/home', data=text.getvalue())
        assert done.returncode == 125 and piece in done.stderr, (name, done)
    assert os.path.isdir(f'{tree}/home/u')
    end(store, 'running')


@case('what the container has mounted is there while it runs: a bind, a tmpfs; a link to a directory is kept')
def _(root):
    store = Store(root)
    here = own_dir(root, 'here')
    os.chmod(here, 0o777)
    store.make('web', IDLE, f'bind = {here}:/srv/data', 'tmpfs = /scratch')
    tree = f'{root.tmp}/trees/web'
    os.makedirs(f'{tree}/usr/lib')
    os.chown(f'{tree}/usr/lib', FIRST, FIRST)
    os.symlink('usr/lib', f'{tree}/lib')
    well(store.do('start', 'web'))
    source = own_dir(root, 'source')
    write(f'{source}/lib/new.so', 'new', root.alice)
    well(store.do('cp', f'{source}/lib/new.so', 'web:/srv/data/x'))
    assert facts(f'{here}/x')[0] == FIRST
    well(store.do('cp', f'{source}/lib', 'web:/scratch'))
    assert well(store.do('exec', 'web', command=['cat', '/scratch/lib/new.so'])).out == 'new'
    well(store.do('cp', 'web:/scratch/lib/new.so', f'{source}/out'))
    well(store.do('cp', f'{source}/lib', 'web:/'))
    assert os.path.islink(f'{tree}/lib') and os.path.exists(f'{tree}/usr/lib/new.so')
    well(store.do('kill', 'web'))


@case('into and out of a snapshot, stopped and running: its own changes, never its base\'s files')
def _(root):
    store = Store(root)
    well(store.do('create', 'base', '--template=busybox', timeout=60))
    well(store.do('create', 'snap', '--from=base', '--snapshot', '--', 'sleep', '1000', timeout=60))
    here = own_dir(root, 'here')
    write(f'{here}/f', 'text', root.alice)
    well(store.do('cp', f'{here}/f', 'snap:/etc/f'))
    assert not os.path.exists(f'{store.path}/base/rootfs/etc/f')
    well(store.do('cp', 'snap:/etc/f', f'{here}/g'))
    well(store.do('start', 'snap'))
    assert well(store.do('exec', 'snap', command=['cat', '/etc/f'])).out == 'text'
    well(store.do('cp', 'snap:/etc/passwd', 'snap:/etc/passwd2'))
    well(store.do('kill', 'snap'))
    fails(store.do('cp', 'base:/etc/passwd2', here), 'there is no')
    for name in ('snap', 'base'):
        well(store.do('destroy', name, timeout=60))


@cases([(f'{s}: a directory that comes out does not replace a file of the caller\'s', s) for s, in STATES])
def _(root, state):
    store, tree = begin(root, state)
    here = own_dir(root, 'here')
    write(f'{here}/notes', 'precious', root.alice)
    os.makedirs(f'{tree}/srv/new/notes')
    os.makedirs(f'{tree}/srv/new/other')
    fails(store.do('cp', 'web:/srv/new/.', here), 'notes', 'there is a file in its place')
    with open(f'{here}/notes') as file:
        assert file.read() == 'precious'
    os.unlink(f'{here}/notes')
    well(store.do('cp', 'web:/srv/new/.', here))
    assert sorted(os.listdir(here)) == ['notes', 'other'] and os.path.isdir(f'{here}/notes')
    end(store, state)


@case('refusals say what, which, why and what to do')
def _(root):
    store, _ = begin(root, 'stopped')
    here = own_dir(root, 'here')
    write(f'{here}/f', 'x', root.alice)
    os.makedirs(f'{here}/d')
    fails(store.do('cp', f'{here}/f'), 'cp takes two places')
    fails(store.do('cp', f'{here}/f', here), 'write NAME:PATH')
    fails(store.do('cp', f'{here}/f', 'nosuch:/x'), 'nosuch')
    fails(store.do('cp', f'{here}/nothing', 'web:/x'), 'there is no', 'nothing')
    fails(store.do('cp', f'{here}/f', 'web:/no/such/place'), 'there is no directory', 'web:/no/such', 'make it first')
    fails(store.do('cp', f'{here}/f', 'web:/new/'), 'leave out the /')
    fails(store.do('cp', f'{here}/d', 'web:/etc/passwd'), 'is not a directory')
    fails(store.do('cp', f'{here}/f/.', 'web:/'), 'is not a directory')
    fails(store.do('cp', f'{here}/f', 'web:'), 'names no file')
    fails(store.do('cp', ':/x', here), './')
    fails(store.do('cp', 'web:/etc/passwd', here, '--owner=1'), 'go into a container')
    for bad in ('x', '1:x', '-1', '1:', '99999999999'):
        fails(store.do('cp', f'{here}/f', 'web:/x', f'--owner={bad}'), '--owner')
    fails(store.do('cp', f'{here}/f', 'web:/x', '--owner=70000'), 'not mapped')
    os.chmod(f'{here}/d', 0o755)
    os.chown(here, 0, 0)
    os.chmod(here, 0o755)
    fails(store.do('cp', 'web:/etc/passwd', f'{here}/f'), 'f')
    with open(f'{here}/f') as file:
        assert file.read() == 'x'


@case('a file that cannot be read is said, and the others are copied')
def _(root):
    store, tree = begin(root, 'stopped')
    here = own_dir(root, 'here')
    write(f'{here}/d/open', 'x', root.alice)
    write(f'{here}/d/shut', 'x', root.alice)
    os.chown(f'{here}/d/shut', 0, 0)
    os.chmod(f'{here}/d/shut', 0o600)
    done = store.do('cp', f'{here}/d', 'web:/srv')
    assert done.code == 125 and 'cannot copy all of' in done.err and 'shut' in done.err, done
    assert os.listdir(f'{tree}/srv') == ['open']


main()
