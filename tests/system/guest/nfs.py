#!/usr/bin/env python3
"""In the booted guest: a store and binds on NFS, served and mounted by the guest's own kernel. Nothing is timed."""

import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from harness import case, main, spawn  # noqa: E402
from users import ALICE, RUN, env_of  # noqa: E402

SLOW = 300  # the guest's CPU is emulated
SERVED, SEEN = '/srv/nfs', '/mnt/nfs'
CONF = '[nfsd]\nvers3=n\ngrace-time=10\nlease-time=10\nthreads=2\n'
EXPORTS = f'{SERVED} 127.0.0.1(rw,no_root_squash,fsid=0,no_subtree_check,insecure)\n'


def call(*words):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as file:
        file.write(text)


def on_nfs():
    """Mounts it, once."""
    if os.path.ismount(SEEN):
        return
    write('/etc/nfs.conf.d/test.conf', CONF)
    write('/etc/exports', EXPORTS)
    for kind in ('subuid', 'subgid'):
        write(f'/etc/{kind}', f'alice:100000:{6 * 65536}\n')
    os.makedirs(f'{SERVED}/alice')
    os.chown(f'{SERVED}/alice', ALICE.uid, ALICE.gid)
    os.makedirs(SEEN, exist_ok=True)
    call('systemctl', 'start', 'nfs-server')
    call('mount', '-t', 'nfs4', '127.0.0.1:/', SEEN)


def run(*words, code=0):
    done = spawn([RUN, *words], ALICE, env={**env_of(ALICE), 'HOME': '/home/alice', 'XDG_DATA_HOME': f'{SEEN}/alice/data'}).wait(SLOW)
    assert done.code == code, done
    return done


def left():
    """What is in the store, of all that the server has."""
    return sorted(name for name in os.listdir(f'{SERVED}/alice/data/userns') if not name.startswith('.lock'))


@case('a container with ids of its own cannot live on NFS: create and doctor say so, and nothing is left')
def _(_root):
    on_nfs()
    done = run('create', 'web', '--template', 'busybox', code=125)
    assert 'it is on NFS' in done.err and '--map-self' in done.err, done
    print(f'# left: {left()}')
    checks = {check['id']: check for check in json.loads(spawn([RUN, 'doctor', '--json'], ALICE, env={
        **env_of(ALICE), 'HOME': '/home/alice', 'XDG_DATA_HOME': f'{SEEN}/alice/data'}).wait(SLOW).out)['checks']}
    assert 'NFS' in json.dumps(checks['containers']), checks['containers']


@case('a container of the caller\'s own id alone lives on NFS: started, written to, copied, exported, imported, destroyed')
def _(_root):
    on_nfs()
    run('create', 'own', '--template', 'busybox', '--map-self', '--net=none', '--cgroup=none')
    run('start', 'own')
    # A file that is deleted while it is open keeps a name on NFS for as long.
    assert run('exec', 'own', '--', 'sh', '-c', 'echo one >/file; exec 3</file; rm /file; cat <&3; echo two >/kept; chmod 4755 /kept; id -u').out.split() == ['one', '0']
    served = f'{SERVED}/alice/data/userns/own/rootfs/kept'
    assert os.stat(served).st_uid == ALICE.uid and os.stat(served).st_mode & 0o7777 == 0o4755
    run('stop', 'own')
    run('create', 'two', '--from', 'own')
    run('export', 'own', f'{SEEN}/alice/own.tar')
    run('create', 'three', '--import', f'{SEEN}/alice/own.tar', '--map-self')
    for name in ('two', 'three'):
        run('start', name)
        assert run('exec', name, '--', 'cat', '/kept').out == 'two\n'
        run('stop', name)
    run('rename', 'three', 'four')
    print(f'# list: {run("list").out!r}')
    for name in ('own', 'two', 'four'):
        run('destroy', name)
    print(f'# left: {left()}')
    assert not [name for name in left() if not name.startswith('.')], left()


@case('an idmapped bind of NFS is refused with a sentence; a plain one works')
def _(_root):
    on_nfs()
    write(f'{SERVED}/alice/own/file', 'text')
    for path in ('own', 'own/file'):
        os.chown(f'{SERVED}/alice/{path}', ALICE.uid, ALICE.gid)
    done = run('--net=none', f'--bind={SEEN}/alice/own:/mnt:idmap', '--', 'true', code=125)
    assert 'NFS' in done.err and 'cannot show' in done.err, done
    assert run('--net=none', '--map-self', f'--bind={SEEN}/alice/own:/mnt', '--', 'sh', '-c', 'cat /mnt/file; echo >/mnt/new').out == 'text'
    assert os.stat(f'{SERVED}/alice/own/new').st_uid == ALICE.uid
    return done.err.strip()


@case('a home on NFS: throw-away containers work, with ids of their own as well')
def _(_root):
    on_nfs()
    home = f'{SEEN}/alice/home'
    os.makedirs(home)
    os.chown(home, ALICE.uid, ALICE.gid)
    os.chmod(home, 0o700)
    for words in ([], ['--map-self']):
        done = spawn([RUN, '--net=none', '--cgroup=none', *words, '--', 'id', '-u'], ALICE, env={**env_of(ALICE), 'HOME': home}, cwd=home).wait(SLOW)
        assert (done.code, done.out) == (0, '0\n'), done


@case('it is unmounted: nothing of the containers is at work there any more')
def _(_root):
    on_nfs()
    # Also, a guest whose server ends first cannot be powered off.
    call('umount', SEEN)
    call('systemctl', 'stop', 'nfs-server')


main(need_root=False)
