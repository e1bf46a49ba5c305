#!/usr/bin/env python3
"""rename, and what a copy of a container has of its own: machine id, ssh host keys, host name, addresses, ports."""

import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from clones_lib import IDLE, first_of, gone, inside, killed_after_renaming, made, put  # noqa: E402
from container import fails, well  # noqa: E402
from harness import case, cases, main, skip  # noqa: E402

MACHINE = '0123456789abcdef0123456789abcdef\n'

FORMS = [('a copy', ()), ('--instant', ('--instant',)), ('a snapshot', ('--snapshot',))]


@cases([(f'{name}: machine id, ssh host keys, host name, MAC and ports are its own; the original keeps its', how) for name, how in FORMS])
def _(root, how):
    if not shutil.which('ssh-keygen'):
        skip('ssh-keygen is not installed')
    store = made(root, '--net=user', '--publish=18080:80', '--hostname=original', '--env=A=kept')
    put(store, 'web', 'etc/machine-id', MACHINE)
    keys = f'{root.tmp}/keys'
    shutil.rmtree(keys, ignore_errors=True)
    os.makedirs(keys)
    subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', f'{keys}/k'], check=True)
    for name, path in (('ssh_host_ed25519_key', 'k'), ('ssh_host_ed25519_key.pub', 'k.pub')):
        with open(f'{keys}/{path}') as file:
            put(store, 'web', f'etc/ssh/{name}', file.read())
    put(store, 'web', 'etc/ssh/sshd_config', 'Port 22\n')
    well(store.do('create', 'copy', '--from=web', *how, timeout=60))
    config = well(store.do('config', 'copy')).out
    assert 'publish' not in config and 'hostname' not in config and 'env = A=kept' in config and 'net = user' in config, config
    well(store.do('config', 'copy', 'net=none'))
    seen = inside(store, 'copy', 'cat /etc/hostname 2>/dev/null; hostname; cat /etc/machine-id; cat /etc/ssh/ssh_host_ed25519_key.pub; '
                  'ls -ln /etc/ssh/ssh_host_ed25519_key; cat /etc/ssh/sshd_config')
    with open(f'{keys}/k.pub') as file:
        old = file.read()
    assert 'copy\n' in seen and 'original' not in seen and MACHINE not in seen and 'Port 22' in seen, seen
    assert 'ssh-ed25519 ' in seen and old.split()[1] not in seen and 'root@copy' in seen, seen
    assert '-rw------- ' in seen and ' 0 ' in seen, seen
    place = f'{store.path}/web'
    well(store.do('config', 'web', 'net=none', '--unset=publish'))
    if '--snapshot' not in how:
        kept = inside(store, 'web', 'cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub; hostname')
        assert MACHINE in kept and old.split()[1] in kept and 'original' in kept, (kept, place)
    gone(store, 'copy', 'web')


@case('without ssh-keygen the keys are deleted and that is said; a key that leads elsewhere is only a link')
def _(root):
    store = made(root)
    put(store, 'web', 'etc/ssh/ssh_host_rsa_key', 'secret\n')
    put(store, 'web', 'etc/ssh/ssh_host_nosuchtype_key', 'secret\n')
    put(store, 'web', 'srv/victim', 'mine\n')
    os.symlink('/srv/victim', f'{store.path}/web/rootfs/etc/machine-id')
    done = well(store.do('create', 'copy', '--from=web', timeout=60))
    assert 'nosuchtype' in done.err and 'ssh-keygen -A' in done.err, done
    names = os.listdir(f'{store.path}/copy/rootfs/etc/ssh')
    assert 'ssh_host_nosuchtype_key' not in names, names
    with open(f'{store.path}/copy/rootfs/srv/victim') as file:
        assert file.read() == 'mine\n'
    with open(f'{store.path}/web/rootfs/etc/ssh/ssh_host_nosuchtype_key') as file:
        assert file.read() == 'secret\n'
    gone(store, 'copy', 'web')


@case('rename: files, settings, ids and the record of them follow; the host name, too, and that is said')
def _(root):
    store = made(root, '--env=A=kept')
    first = first_of(store, 'web')
    done = well(store.do('rename', 'web', 'shop'))
    assert 'host name is shop' in done.err, done
    fails(store.do('info', 'web'), 'web')
    assert inside(store, 'shop', 'hostname; echo $A') == 'shop\nkept\n'
    assert first_of(store, 'shop') == first
    with open(f'{root.tmp}/home/alice/.local/share/userns/.index') as file:
        index = file.read()
    assert f'{store.path}/shop' in index, index
    well(store.do('create', 'web', '--template=busybox', *IDLE, timeout=60))
    assert first_of(store, 'web') != first, 'the ids are still those of the renamed one'
    gone(store, 'web', 'shop')


@case('rename of a base: its snapshots show its files under the new name, also one that runs meanwhile')
def _(root):
    store = made(root)
    put(store, 'web', 'etc/mark', 'of the base\n')
    for name in ('one', 'two'):
        well(store.do('create', name, '--from=web', '--snapshot', timeout=60))
    well(store.do('start', 'one'))
    well(store.do('rename', 'web', 'shop'))
    assert well(store.do('exec', 'one', command=['cat', '/etc/mark'])).out == 'of the base\n'
    well(store.do('stop', 'one'))
    for name in ('one', 'two'):
        assert 'base = shop' in well(store.do('config', name)).out
        assert inside(store, name, 'cat /etc/mark') == 'of the base\n'
    fails(store.do('destroy', 'shop'), 'has snapshots', 'one')
    gone(store, 'one', 'two', 'shop')


@case('a rename that was killed between the tree and its snapshots is finished by the same command')
def _(root):
    store = made(root)
    well(store.do('create', 'snap', '--from=web', '--snapshot', timeout=60))
    os.rename(f'{store.path}/web', f'{store.path}/shop')  # what a kill after the first step leaves
    assert store.do('start', 'snap').code == 125
    well(store.do('rename', 'web', 'shop'))
    assert inside(store, 'snap', 'hostname') == 'snap\n'
    gone(store, 'snap', 'shop')


@cases([('a rename killed between its steps: its snapshots stay so, and the same command goes on', ('web', 'shop'), 'shop'),
        ('a rename killed between its steps can be taken back', ('shop', 'web'), 'web')])
def _(root, words, name):
    store = made(root)
    put(store, 'web', 'etc/mark', 'of the base\n')
    well(store.do('create', 'snap', '--from=web', '--snapshot', timeout=60))
    killed_after_renaming(store, b'web\0', 'rename', 'web', 'shop')
    assert 'base = web' in well(store.do('config', 'snap')).out and os.path.isdir(f'{store.path}/shop/rootfs')
    fails(store.do('start', 'shop'), 'snap')
    fails(store.do('create', 'web', '--template=busybox', *IDLE, timeout=60), 'snap is a snapshot of a container web', 'userns-run rename web')
    fails(store.do('destroy', 'shop'), 'has snapshots', 'snap')
    well(store.do('rename', *words))
    assert f'base = {name}' in well(store.do('config', 'snap')).out
    assert inside(store, 'snap', 'cat /etc/mark') == 'of the base\n'
    gone(store, 'snap', name)


@case('rename refuses what runs, a name that is taken or is none, and one that is not there')
def _(root):
    store = made(root)
    well(store.do('create', 'other', '--from=web', timeout=60))
    fails(store.do('rename', 'web', 'other'), 'already')
    fails(store.do('rename', 'web', 'web'), 'already')
    for bad in ('../x', 'A B', '', '.x', 'a/b'):
        assert store.do('rename', 'web', bad).code == 125, bad
    fails(store.do('rename', 'web'), 'rename takes')
    fails(store.do('rename', 'nosuch', 'x'), 'nosuch')
    well(store.do('start', 'web'))
    fails(store.do('rename', 'web', 'shop'), 'is running', 'userns-run stop web')
    gone(store, 'web', 'other')


main()
