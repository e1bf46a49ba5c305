#!/usr/bin/env python3
"""snapshot: a container can be put back to what it was, and goes on meanwhile."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from clones_lib import gone, inside, killed_after_renaming, made  # noqa: E402
from container import fails, rootfs, well  # noqa: E402
from harness import case, main  # noqa: E402


def bases(store):
    return sorted(name for name in os.listdir(store.path) if name.endswith('.base'))


def change(store, script):
    inside(store, 'web', script)


@case('taken, changed, put back: files and settings are those of then; the snapshot can be used again')
def _(root):
    store = made(root, '--env=A=then')
    change(store, 'mkdir -p /srv; echo one > /srv/file; echo gone > /srv/old')
    assert well(store.do('snapshot', 'web')).out == 'snap0\n'
    change(store, 'echo two > /srv/file; rm /srv/old; echo new > /srv/new')
    assert well(store.do('snapshot', 'web', '--as=second')).out == 'second\n'
    change(store, 'echo three > /srv/file')
    well(store.do('config', 'web', 'env=A=now'))
    listed = json.loads(well(store.do('snapshot', 'list', 'web', '--json')).out)
    assert [one['name'] for one in listed] == ['snap0', 'second'] and all(one['taken_at'] > 1e9 for one in listed), listed
    assert 'snap0' in well(store.do('snapshot', 'list', 'web')).out
    assert inside(store, 'web', 'cat /srv/file; echo $A') == 'three\nnow\n'
    for _ in range(2):
        well(store.do('snapshot', 'restore', 'web', 'snap0'))
        assert inside(store, 'web', 'cat /srv/file /srv/old; echo $A; ls /srv') == 'one\ngone\nthen\nfile\nold\n'
        change(store, 'echo spoilt > /srv/file')
    well(store.do('snapshot', 'restore', 'web', 'second'))
    assert inside(store, 'web', 'cat /srv/file; ls /srv') == 'two\nfile\nnew\n'
    well(store.do('snapshot', 'restore', 'web', 'snap0'))
    well(store.do('snapshot', 'delete', 'web', 'second'))
    assert inside(store, 'web', 'cat /srv/file') == 'one\n'
    gone(store, 'web')


def made_with_two(root):
    """A container "web" with the snapshots "a", which has /srv/a, and "b", which has /srv/b, too."""
    store = made(root)
    for name in ('a', 'b'):
        change(store, f'mkdir -p /srv; echo {name} > /srv/{name}')
        well(store.do('snapshot', 'web', f'--as={name}'))
    return store


@case('of one that runs: a copy of what it has by then; it goes on, and can be put back to it when it is stopped')
def _(root):
    store = made(root)
    well(store.do('start', 'web'))
    well(store.do('exec', 'web', command=['sh', '-c', 'mkdir -p /srv; echo one > /srv/file']))
    done = well(store.do('snapshot', 'web', '--as=live', timeout=60))
    assert done.out == 'live\n' and 'has no cgroup' in done.err, done
    well(store.do('exec', 'web', command=['sh', '-c', 'echo two > /srv/file; echo new > /srv/new']))
    fails(store.do('snapshot', 'restore', 'web', 'live'), 'is running', 'userns-run stop web')
    well(store.do('stop', 'web'))
    well(store.do('snapshot', 'restore', 'web', 'live'))
    assert inside(store, 'web', 'cat /srv/file; ls /srv') == 'one\nfile\n'
    well(store.do('snapshot', 'delete', 'web', 'live'))
    gone(store, 'web')


@case('delete takes the files away that nothing else stands on; prune leaves those of snapshots alone')
def _(root):
    store = made_with_two(root)
    assert len(bases(store)) == 2, bases(store)
    well(store.do('snapshot', 'restore', 'web', 'a'))  # now nothing but its record holds b's files
    well(store.do('prune', '--all'))
    assert len(bases(store)) == 2, bases(store)
    well(store.do('snapshot', 'delete', 'web', 'b'))
    assert len(bases(store)) == 1, bases(store)
    well(store.do('snapshot', 'delete', 'web', 'a'))  # the container stands on it
    assert len(bases(store)) == 1 and inside(store, 'web', 'ls /srv') == 'a\n'
    fails(store.do('snapshot', 'restore', 'web', 'a'), 'has no snapshot', 'snapshot list web')
    gone(store, 'web')
    well(store.do('prune', '--all'))
    assert bases(store) == []


@case('prune sweeps the files that a killed delete has left')
def _(root):
    store = made_with_two(root)
    well(store.do('snapshot', 'restore', 'web', 'a'))
    killed_after_renaming(store, b'', 'snapshot', 'delete', 'web', 'b')
    assert [name for name in os.listdir(store.path) if '.gone-' in name], os.listdir(store.path)
    well(store.do('prune'))
    assert not [name for name in os.listdir(store.path) if '.gone-' in name], os.listdir(store.path)
    assert len(bases(store)) == 1 and inside(store, 'web', 'ls /srv') == 'a\n'
    gone(store, 'web')


@case('more snapshots than an overlay has layers: each can be put back to, and the container starts')
def _(root):
    store = made(root)
    for number in range(11):
        change(store, f'echo {number} > /number')
        well(store.do('snapshot', 'web', timeout=60))
    change(store, 'echo last > /number')
    for number in (10, 0, 7):
        well(store.do('snapshot', 'restore', 'web', f'snap{number}', timeout=60))
        assert inside(store, 'web', 'cat /number') == f'{number}\n'
    gone(store, 'web')
    well(store.do('prune', '--all'))
    assert bases(store) == []


@case('rename and ids go with it: after a rename and other ids, a snapshot has the ids of now')
def _(root):
    store = made(root)
    change(store, 'mkdir -p /srv; echo one > /srv/file; chown 33:34 /srv/file')
    well(store.do('snapshot', 'web'))
    well(store.do('rename', 'web', 'shop'))
    change_ids = f'map=u:0:{100000 + 3 * 65536}:65536'
    done = store.do('config', 'shop', change_ids, change_ids.replace('u:', 'g:'), timeout=60)
    if done.code == 0:
        assert f'{100000 + 3 * 65536}' in well(store.do('config', 'shop')).out
    well(store.do('snapshot', 'restore', 'shop', 'snap0', timeout=60))
    assert inside(store, 'shop', 'stat -c %u:%g /srv/file') == '33:34\n'
    assert (f'{100000 + 3 * 65536}' in well(store.do('config', 'shop')).out) == (done.code == 0)
    gone(store, 'shop')
    return 'with other ids' if done.code == 0 else f'the ids stayed: {done.err}'


@case('refusals: one that runs, a name that is taken or none, an adopted tree, words that make no sense')
def _(root):
    store = made(root)
    well(store.do('snapshot', 'web', '--as=a'))
    fails(store.do('snapshot', 'web', '--as=a'), 'has a snapshot a already', 'snapshot delete web a')
    for bad in ('../x', 'A', ''):
        assert store.do('snapshot', 'web', f'--as={bad}').code in (0, 125)
    assert sorted(os.listdir(f'{store.path}/web/snapshots'))[0] == 'a' and '..' not in str(os.listdir(f'{store.path}/web/snapshots'))
    fails(store.do('snapshot', 'restore', 'web', '../config'), 'has no snapshot')
    fails(store.do('snapshot', 'restore', 'web', 'nosuch'), 'has no snapshot')
    fails(store.do('snapshot', 'delete', 'web', 'nosuch'), 'has no snapshot')
    fails(store.do('snapshot'), 'which snapshot')
    fails(store.do('snapshot', 'restore', 'web'), 'which snapshot')
    fails(store.do('snapshot', 'list', 'web', '--as=x'), '--as')
    fails(store.do('snapshot', 'nosuch'), 'nosuch')
    well(store.do('start', 'web'))
    fails(store.do('snapshot', 'restore', 'web', 'a'), 'is running')
    gone(store, 'web')
    store.make('own', 'command = sleep 1', 'map = b:0:100000:65536', tree=rootfs(root, 'trees/own'))
    fails(store.do('snapshot', 'own'), 'no snapshot of own', 'directory of the user')
    gone(store, 'own')


main()
