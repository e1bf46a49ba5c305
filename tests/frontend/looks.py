#!/usr/bin/env python3
"""What list says of the disk that containers take, and what root sees of the processes of all users' containers."""

import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from named import IDLE, Store, await_log  # noqa: E402
from container import fails, rootfs, well  # noqa: E402
from harness import ROOT, case, main, wait_for, with_own_pids  # noqa: E402

with_own_pids()  # ids are chosen that no process in sight has


def as_du_says(path):
    """In bytes: each inode once, other file systems left out."""
    done = subprocess.run(['/usr/bin/du', '-s', '-x', '--block-size=1', path], stdout=subprocess.PIPE, check=True)
    return int(done.stdout.split()[0])


def sizes(store, *words):
    return {one['name']: one['size'] for one in json.loads(well(store.do('list', '--json', *words)).out)}


def made(root, store, name):
    """A container with files of its own, made by create."""
    tree = rootfs(root, f'trees/{name}', 0)
    tar = f'{root.tmp}/{name}.tar'
    subprocess.run(['/usr/bin/tar', '-C', tree, '-cf', tar, '.'], check=True)
    os.chmod(tar, 0o644)
    well(store.do('create', name, '--tar', tar))


@case('list --size: what the files of a container\'s own take, hard links once, files of its ids and holes included, as du says')
def _(root):
    root.subuid('alice:100000:655360\n')
    root.subgid('alice:100000:655360\n')
    store = Store(root)
    made(root, store, 'web')
    made(root, store, 'idle')
    well(store.do('start', 'web', command=['sh', '-c', 'echo up; sleep 1000']))
    script = ('cd /root; dd if=/dev/urandom of=big bs=1M count=3 2>/dev/null; ln big again; ln big more; chmod 0 big; '
              'dd if=/dev/zero of=hole bs=1 count=1 seek=99999999 2>/dev/null; mkdir -m 0 closed; mkdir d; echo x >d/file; chown 33:33 d; chmod 700 d; '
              'ln -s /etc passwd; true')
    well(store.do('exec', 'web', command=['sh', '-c', script]))
    seen = sizes(store, '--size')
    assert seen == {name: as_du_says(f'{store.path}/{name}') for name in ('web', 'idle')}, seen
    assert 3 << 20 <= seen['web'] - seen['idle'] < 4 << 20, seen
    assert sizes(store) == {'web': None, 'idle': None}
    table = well(store.do('list', '--size')).out.splitlines()
    column = table[0].split().index('SIZE')
    assert [re.fullmatch(r'[\d.]+M', row.split()[column]) for row in table[1:]], table
    fails(store.do('list', '--size', '--names'), 'exclude each other')
    well(store.do('stop', 'web', '--timeout=0'))


@case('a container that shares another one\'s files has those of its own alone; one on an adopted tree has next to none')
def _(root):
    root.subuid('alice:100000:655360\n')
    root.subgid('alice:100000:655360\n')
    store = Store(root)
    made(root, store, 'web')
    before = sizes(store, '--size')['web']
    well(store.do('create', 'two', '--from=web', '--snapshot'))
    store.make('far', IDLE)
    seen = sizes(store, '--size')
    assert seen['two'] < before / 4 and seen['far'] < before / 4, (before, seen)
    assert seen == {name: as_du_says(f'{store.path}/{name}') for name in seen}, seen


@case('trees that are deeper than paths and open files reach are counted to the end; nothing above or mounted there is')
def _(root):
    root.subuid('alice:100000:655360\n')
    root.subgid('alice:100000:655360\n')
    store = Store(root)
    made(root, store, 'web')
    inside = f'{store.path}/web/rootfs/root'
    owner = os.stat(inside).st_uid
    here = os.getcwd()
    os.chdir(inside)
    for _ in range(3000):
        os.mkdir('deep')
        os.chown('deep', owner, owner)
        os.chdir('deep')
    with open('end', 'w') as file:
        file.write('x' * (1 << 20))
    os.chown('end', owner, owner)
    os.chdir(here)
    os.symlink('/usr', f'{inside}/usr')
    assert sizes(store, '--size')['web'] == as_du_says(f'{store.path}/web')
    limited = root.run(['/bin/sh', '-c', 'ulimit -n 64; exec "$@"', 'sh', *store.words('list', '--size', '--json')], root.alice)
    assert json.loads(well(limited).out)[0]['size'] == as_du_says(f'{store.path}/web')
    well(store.do('destroy', 'web'))


@case('one whose files cannot be looked at is told about, and the others have their sizes')
def _(root):
    root.subuid('alice:100000:655360\n')
    root.subgid('alice:100000:655360\n')
    store = Store(root)
    made(root, store, 'web')
    store.make('gone', IDLE, 'map = b:0:900000:65536')
    done = store.do('list', '--size', '--json')
    assert done.code == 125 and done.err.startswith('userns-run: the size of gone is not known: ') and done.err.count('\n') == 1, done
    seen = {one['name']: one['size'] for one in json.loads(done.out)}
    assert seen['gone'] is None and seen['web'] == as_du_says(f'{store.path}/web'), seen


@case('a list without containers has its heading; --json an empty array, --names nothing')
def _(root):
    store = Store(root)
    assert well(store.do('list')).out.split()[:2] == ['NAME', 'STATE'] and len(well(store.do('list')).out.splitlines()) == 1
    assert json.loads(well(store.do('list', '--json')).out) == [] and well(store.do('list', '--names')).out == ''


# --- root -------------------------------------------------------------------------------------------------

def host(root, *words):
    return root.run([root.program('userns-run'), *words], ROOT, timeout=60)


@case('ps --host: the processes of all users\' containers with user, container and both numbers, and no others')
def _(root):
    root.subuid('alice:100000:65536\nbob:200000:65536\n')
    root.subgid('alice:100000:65536\nbob:200000:65536\n')
    alice, bob = Store(root), Store(root, root.bob, first=200000)
    for store, name in ((alice, 'web'), (bob, 'db')):
        store.make(name, IDLE, 'init = yes', tree=rootfs(root, f'trees/of-{store.user.name}', store.first))
        well(store.do('start', name))
        await_log(store, name, 'up')
    child = alice.begin('exec', 'web', '--user=u', command=['sleep', '77'])
    alice_pid = alice.state('web')['init']['pid']
    wait_for(lambda: 'sleep 77' in host(root, 'ps', '--host', '--json').out, 'the command of exec')
    rows = json.loads(well(host(root, 'ps', '--host', '--json')).out)
    mine = [row for row in rows if row['user'] == 'alice' and row['container'] == 'web']
    assert {row['pid_inside'] for row in mine if row['pid'] == alice_pid} == {1}, mine
    exec_row, = [row for row in mine if row['command'] == 'sleep 77']
    assert exec_row['uid'] == 101000 and exec_row['uid_inside'] == 1000, exec_row
    theirs = [row for row in rows if row['user'] == 'bob' and row['container'] == 'db']
    assert any(row['uid'] == 200000 and row['uid_inside'] == 0 and row['command'].startswith('sleep') for row in theirs), theirs
    # What each user sees of their own is what root sees of it.
    own = json.loads(well(bob.do('ps', 'db', '--json')).out)
    assert {(row['pid'], row['pid_inside']) for row in own} == {(row['pid'], row['pid_inside']) for row in theirs}, (own, theirs)
    assert all(row['pid'] != store.state(name)['monitor']['pid'] for row in rows for store, name in ((alice, 'web'), (bob, 'db')))
    table = well(host(root, 'ps', '--host')).out
    assert table.splitlines()[0].split()[:3] == ['USER', 'CONTAINER', 'PID'], table
    assert re.search(rf'^bob +db +{bob.state("db")["init"]["pid"]} +1 ', table, re.M), table
    fails(alice.do('ps', '--host'), 'run it as root')
    fails(alice.do('ps', '--namespaces'), 'run it as root')
    fails(alice.do('ps', '--namespaces', '--host'), 'exclude each other')
    child.kill(15)
    child.wait()
    # A record is a claim: the process of another user's is not shown as this user's.
    path = f'{bob.path}/db/state.json'
    state = json.load(open(path))
    with open(path, 'w') as file:
        json.dump({**state, 'init': alice.state('web')['init']}, file)
    rows = json.loads(well(host(root, 'ps', '--host', '--json')).out)
    assert {row['container'] for row in rows if row['pid'] == alice_pid} == {'web'} and not [row for row in rows if row['user'] == 'bob'], rows
    with open(path, 'w') as file:
        json.dump(state, file)
    well(alice.do('stop', 'web', '--timeout=0'))
    well(bob.do('stop', 'db', '--timeout=0'))


main()
