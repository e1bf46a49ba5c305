#!/usr/bin/env python3
"""In the booted guest (pure cgroup v2, systemd, auditd, AppArmor): a whole Debian 13 as containers of one image. Nothing is timed."""
# distro: systemd-257

import hashlib
import json
import os
import re
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from cgroups import read  # noqa: E402
from harness import case, main, spawn, wait_for  # noqa: E402
from users import ALICE, BASE, RUN, env_of, policy  # noqa: E402

SLOW = 900  # the guest's CPU is emulated
TAR = os.path.join(HERE, '..', 'distros', 'systemd-257.tar')
HOME = '/home/alice'
STORE = f'{HOME}/.local/share/userns'
IMAGE = 'localhost/debian:13'


def run(*words, code=0):
    done = spawn([RUN, *words], ALICE, env={**env_of(ALICE), 'HOME': HOME}).wait(SLOW)
    assert done.code == code, done
    return done


def inside(name, script, code=0):
    return run('exec', name, '--', 'sh', '-c', script, code=code).out


def digest_of(path):
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def image():
    """Alice's store of images has it, as if it had been pulled: the guest has no skopeo."""
    run('images')
    blobs = f'{STORE}/.images/blobs/sha256'

    def blob(text):
        data = json.dumps(text).encode()
        name = hashlib.sha256(data).hexdigest()
        with open(f'{blobs}/{name}', 'wb') as file:
            file.write(data)
        return {'digest': f'sha256:{name}', 'size': len(data)}
    layer = digest_of(TAR)
    shutil.move(TAR, f'{blobs}/{layer}')
    size = os.path.getsize(f'{blobs}/{layer}')
    kind = 'application/vnd.oci.image'
    config = blob({'architecture': 'amd64', 'os': 'linux', 'config': {'Cmd': ['/sbin/init'], 'StopSignal': 'SIGRTMIN+3'},
                   'rootfs': {'type': 'layers', 'diff_ids': [f'sha256:{layer}']}})
    manifest = blob({'schemaVersion': 2, 'config': config | {'mediaType': f'{kind}.config.v1+json'},
                     'layers': [{'mediaType': f'{kind}.layer.v1.tar', 'digest': f'sha256:{layer}', 'size': size}]})
    manifest |= {'mediaType': f'{kind}.manifest.v1+json', 'annotations': {'org.opencontainers.image.ref.name': IMAGE}}
    with open(f'{STORE}/.images/index.json', 'w') as file:
        json.dump({'schemaVersion': 2, 'manifests': [manifest]}, file)
    for top, names, files in os.walk(f'{STORE}/.images'):
        for name in [*names, *files]:
            os.chown(f'{top}/{name}', ALICE.uid, ALICE.gid)


def first_of(name):
    with open(f'{STORE}/{name}/config') as file:
        return int(re.search(r'^map = u:0:(\d+):', file.read(), re.M)[1])


def payload_of(name):
    """The cgroup of all that runs in it."""
    pid = json.loads(run('list', name, '--json').out)[0]['pid']
    path = read(f'/proc/{pid}/cgroup').strip().split('::', 1)[1]
    return f'/sys/fs/cgroup{path.partition("/payload")[0]}/payload'


@case('a Debian with systemd of an image: two of it with :ro, an idmapped bind and --nesting, ids apart, frozen, copied, stopped')
def _(_root):
    policy('alice memory.max=700M pids.max=900 containers=8')
    with open('/etc/subuid') as file:
        assert 'alice:' in file.read()
    for kind in ('subuid', 'subgid'):
        with open(f'/etc/{kind}', 'w') as file:
            file.write(f'alice:100000:{6 * 65536}\nbob:900000:65536\n')
    image()
    for name in ('ro', 'own'):
        os.makedirs(f'{HOME}/{name}')
        os.chown(f'{HOME}/{name}', ALICE.uid, ALICE.gid)
    common = ('--boot', '--wait-ready=800s', '--cgroup=helper', '--nesting', f'--bind={HOME}/ro:/mnt/ro:ro', f'--bind={HOME}/own:/mnt/own:idmap')
    for name in ('one', 'two'):
        run('create', name, f'--image={IMAGE}', *common)
        assert not os.path.exists(f'{STORE}/{name}/rootfs')
        run('start', name, '--wait')
        assert inside(name, 'systemctl is-system-running --wait').strip() == 'running'
        assert inside(name, 'systemctl --failed --no-legend') == ''
        assert {'memory', 'pids'} <= set(inside(name, 'cat /sys/fs/cgroup/cgroup.subtree_control').split())
    assert len([name for name in os.listdir(STORE) if name.endswith('.base')]) == 1 and abs(first_of('one') - first_of('two')) >= 65536

    # What root inside does stays inside; :ro and the base tree cannot be written to.
    inside('one', 'echo one >/mnt/own/file; echo changed >/etc/motd; rm -r /usr/share/zoneinfo')
    status = os.stat(f'{HOME}/own/file')
    assert (status.st_uid, status.st_gid) == (ALICE.uid, ALICE.gid)
    assert inside('two', 'cat /mnt/own/file; ls -d /usr/share/zoneinfo') == 'one\n/usr/share/zoneinfo\n'
    said = inside('two', 'touch /mnt/ro/x 2>&1; mount -o remount,bind,rw /mnt/ro 2>&1; touch /mnt/ro/x 2>&1; '
                  'systemd-run -q --wait --pipe -p ReadWritePaths=/mnt/ro touch /mnt/ro/x 2>&1; true')
    assert said.count('Read-only file system') >= 2 and os.listdir(f'{HOME}/ro') == [], said
    # A container in it, and a unit with walls of its own.
    assert inside('two', 'unshare -Urpf --mount-proc sh -c "id -u; ls /proc | grep -c ^1$"').split() == ['0', '1']
    assert inside('two', 'systemd-run -q --wait --pipe -p PrivateUsers=yes -p ProtectSystem=strict sh -c "touch /etc/x 2>&1; id -u"').split()[-1] == '0'

    run('freeze', 'one')
    events = f'{payload_of("one")}/cgroup.events'
    assert 'frozen 1' in read(events)
    run('thaw', 'one')
    run('create', 'three', '--from=one')
    assert 'frozen 0' in read(events) and inside('one', 'systemctl is-system-running').strip() == 'running'
    run('start', 'three', '--wait')
    assert inside('three', 'cat /etc/motd; ls /usr/share/zoneinfo 2>/dev/null || echo gone; cat /mnt/own/file').split() == ['changed', 'gone', 'one']
    assert len({first_of(name) for name in ('one', 'two', 'three')}) == 3
    for name in ('one', 'two', 'three'):
        run('stop', name)
        run('destroy', name)
    mine = f'{BASE}/{ALICE.uid}'
    wait_for(lambda: not [name for name in os.listdir(mine) if os.path.isdir(f'{mine}/{name}')], 'their cgroups to go', SLOW)
    run('rmi', IMAGE)
    run('prune', '--all')
    assert not [name for name in os.listdir(STORE) if name.endswith('.base')] and os.listdir(f'{STORE}/.images/blobs/sha256') == []


main(need_root=False)
