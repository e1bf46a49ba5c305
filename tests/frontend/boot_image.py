#!/usr/bin/env python3
"""A whole Debian with systemd as containers of one image: with :ro, an idmapped bind and --nesting; frozen, copied, stopped."""

import json
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import distro  # noqa: E402
from cgroups import Cgroups, read  # noqa: E402
from container import FIRST, well  # noqa: E402
from harness import case, main, skip  # noqa: E402
from named import Store  # noqa: E402
from oci import layout, need_skopeo  # noqa: E402

BLOCK = 65536
SLOW = 120
cgroups = Cgroups.become_tenant()


class Layer:
    """The tar of a distribution."""

    def __init__(self, root):
        if why := distro.why_not(root.build, distro.SYSTEMD):
            skip(why)
        self.path = distro.tar(root.build, distro.SYSTEMD)

    def data(self):
        with open(self.path, 'rb') as file:
            return file.read()


def prepared(root):
    need_skopeo()
    layer = Layer(root)
    cgroups.begin(root, 'alice containers=6')
    for write in root.subuid, root.subgid:
        write(f'alice:{FIRST}:{6 * BLOCK}\n')
    store = Store(root)
    shutil.rmtree(f'{store.user_home()}/.local', ignore_errors=True)
    shared = {}
    for name in ('ro', 'own'):
        shared[name] = f'{store.user_home()}/{name}'
        shutil.rmtree(shared[name], ignore_errors=True)
        os.makedirs(shared[name])
        os.chown(shared[name], root.alice.uid, root.alice.gid)
    return store, layout(root, {'Cmd': ['/sbin/init'], 'StopSignal': 'SIGRTMIN+3'}, layer, form=None), shared


def inside(store, name, script):
    return well(store.do('exec', name, command=('sh', '-c', script), timeout=SLOW)).out


def first_of(store, name):
    return int(read(f'/proc/{store.state(name)["init"]["pid"]}/uid_map').split()[1])


def up(store, name):
    well(store.do('start', name, '--wait', timeout=SLOW))
    assert inside(store, name, 'systemctl is-system-running --wait').strip() == 'running'
    assert inside(store, name, 'systemctl --failed --no-legend') == ''


@case('two booted Debians of one image, :ro and an idmapped bind in both, --nesting: what is done in one is not in the other')
def _(root):
    store, image, shared = prepared(root)
    for name in ('one', 'two'):
        well(store.do('create', name, f'--image=oci:{image}:it', '--boot', '--cgroup=helper', '--nesting', f'--bind={shared["ro"]}:/mnt/ro:ro',
                      f'--bind={shared["own"]}:/mnt/own:idmap', timeout=SLOW))
        assert 'rootfs' not in store.files(name)
        up(store, name)
    assert len([name for name in os.listdir(store.path) if name.endswith('.base')]) == 1
    assert abs(first_of(store, 'one') - first_of(store, 'two')) >= BLOCK

    inside(store, 'one', 'echo one >/mnt/own/file; echo changed >/etc/motd; rm -r /usr/share/zoneinfo')
    facts = os.stat(f'{shared["own"]}/file')
    assert (facts.st_uid, facts.st_gid) == (root.alice.uid, root.alice.gid)
    assert inside(store, 'two', 'cat /mnt/own/file; ls -d /usr/share/zoneinfo') == 'one\n/usr/share/zoneinfo\n'
    said = inside(store, 'two', 'touch /mnt/ro/x 2>&1; mount -o remount,bind,rw /mnt/ro 2>&1; touch /mnt/ro/x 2>&1; '
                  'systemd-run -q --wait --pipe -p ReadWritePaths=/mnt/ro touch /mnt/ro/x 2>&1; true')
    assert said.count('Read-only file system') >= 2 and os.listdir(shared['ro']) == [], said
    # A container in it, and a unit with walls of its own.
    assert inside(store, 'two', 'unshare -Urpf --mount-proc sh -c "id -u; ls /proc | grep -c ^1$"').split() == ['0', '1']
    unit = 'systemd-run -q --wait --pipe -p PrivateUsers=yes -p ProtectSystem=strict sh -c "touch /etc/x 2>&1; id -u"'
    assert inside(store, 'two', unit).split()[-1] == '0'

    events = f'{store.state("one")["cgroup"]}/payload/cgroup.events'
    well(store.do('freeze', 'one'))
    assert 'frozen 1' in read(events)
    well(store.do('thaw', 'one'))
    done = well(store.do('create', 'three', '--from=one', timeout=SLOW))
    assert done.err == '' and 'frozen 0' in read(events), done
    assert inside(store, 'one', 'systemctl is-system-running').strip() == 'running'
    up(store, 'three')
    look = 'cat /etc/motd; ls /usr/share/zoneinfo 2>/dev/null || echo gone; cat /mnt/own/file'
    assert inside(store, 'three', look).split() == ['changed', 'gone', 'one']
    assert len({first_of(store, name) for name in ('one', 'two', 'three')}) == 3
    for name in ('one', 'two', 'three'):
        well(store.do('stop', name, timeout=SLOW))
        assert store.last(name)['exit_status'] == 0, store.last(name)
        well(store.do('destroy', name, timeout=SLOW))
    well(store.do('prune', '--all', timeout=SLOW))
    assert not [name for name in os.listdir(store.path) if name.endswith('.base')]


@case('the caller\'s home and a network of the caller\'s, with :ro and --nesting, in two booted Debians: exec, top, frozen, snapshot, copied')
def _(root):
    store, image, shared = prepared(root)
    env = {'PATH': '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', 'HOME': store.user_home(), 'SHELL': '/bin/sh'}

    def do(*words, **how):
        return well(store.do(*words, env=env, timeout=SLOW, **how))
    for name in ('one', 'two'):
        do('create', name, f'--image=oci:{image}:it', '--boot', '--cgroup=helper', '--nesting', '--home', '--net=user=lab',
           f'--bind={shared["ro"]}:/mnt/ro:ro')
        do('start', name, '--wait')
        assert inside(store, name, 'systemctl is-system-running --wait').strip() == 'running'
        assert inside(store, name, 'systemctl --failed --no-legend') == ''
    # The home is the caller's: what its user makes inside is the caller's on disk, root's is not.
    home = store.user_home()
    do('exec', 'one', '--user=1000', command=('touch', f'{home}/mine'))
    assert os.stat(f'{home}/mine').st_uid == root.alice.uid
    assert 'Read-only file system' in inside(store, 'two', 'touch /mnt/ro/x 2>&1; true')
    # Each knows the other, and a service of one answers the other.
    inside(store, 'one', "printf '[Socket]\nListenStream=7\nAccept=yes\n[Install]\nWantedBy=sockets.target\n' >/etc/systemd/system/say.socket; "
           "printf '[Service]\nExecStart=/bin/echo one\nStandardOutput=socket\n' >/etc/systemd/system/say@.service; "
           'systemctl daemon-reload; systemctl start say.socket')
    ask = 'bash -c "exec 3<>/dev/tcp/one/7; cat <&3"'
    assert inside(store, 'two', ask) == 'one\n'
    # One that is frozen is seen, answers again when it is thawed, and can be copied meanwhile.
    do('freeze', 'one')
    row = json.loads(do('top', '--once', '--json', 'one').out)[0]
    assert row['processes'] > 1, row
    do('snapshot', 'one', '--as', 'then')
    assert 'frozen 1' in read(f'{store.state("one")["cgroup"]}/payload/cgroup.events')
    do('thaw', 'one')
    assert inside(store, 'two', ask) == 'one\n'
    do('create', 'three', '--from=one')
    do('start', 'three', '--wait')
    assert inside(store, 'three', f'stat -c %u {home}/mine').strip() == '1000'
    assert inside(store, 'three', 'getent hosts one two | wc -l').strip() == '2'
    for name in ('one', 'two', 'three'):
        do('stop', name)
    do('snapshot', 'delete', 'one', 'then')
    for name in ('one', 'two', 'three'):
        do('destroy', name)

main()
