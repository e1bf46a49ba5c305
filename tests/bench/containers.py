#!/usr/bin/env python3
"""Named containers beside LXC's: start, exec and stop of the same busybox, taking turns, each from the call of a program
to its end, and the memory that the monitor of each keeps (ours, lxc-start's, podman's conmon). Then containers a second.
Nothing here judges.

usage: containers.py BUILD_DIR [TURNS]        (root)
"""

import contextlib
import glob
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'frontend'))
from cgroups import Cgroups  # noqa: E402
from container import rootfs  # noqa: E402
from ids import measure  # noqa: E402
from harness import Root, end_all_children, mount, wait_for  # noqa: E402
from named import IDLE, Store, await_log  # noqa: E402

IN_A_ROW = 5
SCRIPT = "trap 'exit 0' TERM; echo up; while :; do sleep 1000 & wait; done"


def memory(pid):
    with open(f'/proc/{pid}/smaps_rollup') as file:
        rows = dict(line.split(':', 1) for line in file if line.startswith(('Rss', 'Pss:')))
    return {name: int(text.split()[0]) for name, text in rows.items()}


def took(act):
    began = time.monotonic()
    act()
    return (time.monotonic() - began) * 1000


def well(done):
    if done.code != 0:
        raise RuntimeError(done)


class Side:
    def measure(self, turns):
        """{verb: (least, median)} of so many turns, in milliseconds."""
        verbs = (self.words('start'), self.words('exec', command=['true']), self.words('exec', command=['true']), self.words('stop'))
        words = [word for verb in verbs for word in (*verb, '---')][:-1]
        start, exec_, _, stop = ([us / 1000 for us in pair] for pair in measure(self.root, self.user, 'time', turns, *words))
        return {'start': start, 'exec': exec_, 'stop': stop}

    def do(self, verb):
        well(self.root.run(self.words(verb), self.user, timeout=60))


class Ours(Side):
    """By alice, as she would."""

    def __init__(self, root, name, *settings):
        self.root, self.user = root, root.alice
        self.store = Store(root, name=name)
        self.store.make('web', IDLE, *settings)

    def words(self, verb, command=None):
        return self.store.words(verb, 'web', command=command)

    def monitor(self):
        await_log(self.store, 'web', 'up')
        return self.store.state('web')['monitor']['pid']


class Lxc(Side):
    """By root, with the same ids and no network: an unprivileged lxc-start needs a cgroup that systemd delegates."""

    def __init__(self, root):
        self.root, self.user, self.before = root, None, self.cgroups()
        if os.path.isdir('/run/lxc'):
            mount('tmpfs', '/run/lxc', 'tmpfs')
        os.makedirs(f'{root.tmp}/lxc/web')
        where = rootfs(root, 'trees/lxc')
        for name in ('dev', 'proc', 'sys'):
            os.makedirs(f'{where}/{name}')
            os.chown(f'{where}/{name}', 100000, 100000)
        root.write(f'{root.tmp}/lxc/web/config',
                   f'lxc.rootfs.path = dir:{where}\nlxc.uts.name = web\nlxc.idmap = u 0 100000 65536\n'
                   'lxc.idmap = g 0 100000 65536\nlxc.net.0.type = empty\nlxc.mount.auto = proc:mixed sys:ro\n'
                   'lxc.apparmor.profile = unconfined\nlxc.signal.halt = SIGTERM\nlxc.tty.max = 1\nlxc.pty.max = 8\n'
                   'lxc.init.cmd = /bin/idle\n')
        root.write(f'{where}/bin/idle', f'#!/bin/sh\n{SCRIPT}\n')
        os.chmod(f'{where}/bin/idle', 0o755)

    def words(self, verb, command=None):
        more = {'start': ['-l', 'ERROR', '-o', f'{self.root.tmp}/lxc.log'], 'exec': ['--', *(command or [])], 'stop': []}[verb]
        program = f'/usr/bin/lxc-{"attach" if verb == "exec" else verb}'
        return [program, '-P', f'{self.root.tmp}/lxc', '-n', 'web', *more]

    def monitor(self):
        """The parent of its init."""
        info = self.root.run(['/usr/bin/lxc-info', '-P', f'{self.root.tmp}/lxc', '-n', 'web', '-pH'])
        with open(f'/proc/{int(info.out)}/stat') as file:
            return int(file.read().rpartition(')')[2].split()[1])

    def clear(self):
        """Its cgroups, which it keeps for the next."""
        for path in self.cgroups() - self.before:
            with contextlib.suppress(OSError):  # another LXC uses it by now
                os.rmdir(path)

    @staticmethod
    def cgroups():
        return set(glob.glob('/sys/fs/cgroup/lxc.pivot') + glob.glob('/sys/fs/cgroup/*/lxc.pivot'))


def conmon(root):
    """The memory of a conmon with runc and the same busybox, as podman would start it for a container in the background."""
    bundle = f'{root.tmp}/bundle'
    os.makedirs(bundle)
    where = rootfs(root, 'trees/oci', 0)
    subprocess.run(['runc', 'spec'], cwd=bundle, check=True)
    with open(f'{bundle}/config.json') as file:
        spec = json.load(file)
    spec['root'] = {'path': where, 'readonly': False}
    spec['process'].update(args=['/bin/sh', '-c', SCRIPT], terminal=True)
    spec['mounts'] = [m for m in spec['mounts'] if m['type'] != 'cgroup']
    spec['linux']['namespaces'] = [n for n in spec['linux']['namespaces'] if n['type'] != 'cgroup']
    spec['linux'].pop('resources', None)
    with open(f'{bundle}/config.json', 'w') as file:
        json.dump(spec, file)
    log = f'{bundle}/log'
    runtime = ['--root', f'{root.tmp}/runc']
    words = ['/usr/bin/conmon', '--api-version', '1', '-c', 'bench', '-u', 'bench', '-r', shutil.which('runc') or 'runc', '-b', bundle, '-t',
             '-p', f'{bundle}/pid', '-P', f'{bundle}/conmon', '-l', f'k8s-file:{log}', '--exit-dir', bundle,
             '--socket-dir-path', bundle, '--full-attach', *(f'--runtime-arg={word}' for word in runtime)]
    subprocess.run(words, check=True)
    wait_for(lambda: os.path.exists(f'{bundle}/pid'), 'runc')
    subprocess.run(['runc', *runtime, 'start', 'bench'], check=True)
    wait_for(lambda: os.path.exists(log) and 'up' in open(log).read(), 'its command')
    with open(f'{bundle}/conmon') as file:
        found = memory(int(file.read()))
    subprocess.run(['runc', *runtime, 'delete', '-f', 'bench'], check=True)
    return found


def row(name, figures, unit, places=1):
    """The last one is theirs; a ratio is theirs over ours."""
    ratios = ', '.join(f'{figures[-1] / ours:.1f}' for ours in figures[:-1])
    print(f'{name:34}', *(f'{figure:10.{places}f}' for figure in figures), f' {unit:3} {ratios} x')


def compare(root, turns):
    sides = [Ours(root, 'plain'), Ours(root, 'limited', 'cgroup = helper'), Lxc(root)]
    rounds = {side: [] for side in sides}
    for turn in range(-(-turns // IN_A_ROW)):
        for side in sides[turn % 3:] + sides[:turn % 3]:
            rounds[side].append(side.measure(IN_A_ROW))
    names = (('start', 'start'), ('exec', 'exec true, lxc-attach true'), ('stop', 'stop'))
    for kind, (title, of) in enumerate((('least', min), ('median', statistics.median))):
        print(f'{title:34} {"ours":>10} {"in cgroup":>10} {"lxc":>10}')
        for verb, name in names:
            row(name, [of(taken[verb][kind] for taken in rounds[side]) for side in sides], 'ms')
    found = []
    for side in sides:
        side.do('start')
        found.append(memory(side.monitor()))
        side.do('stop')
    sides[-1].clear()
    for kind in ('Rss', 'Pss'):
        row(f'the monitor, {kind}', [found_by[kind] for found_by in found], 'kB', 0)
    try:
        found[-1] = conmon(root)
    except (OSError, subprocess.SubprocessError, AssertionError) as error:
        print(f'conmon did not run here: {error}')
        return
    for kind in ('Rss', 'Pss'):
        row(f"the same beside podman's conmon, {kind}", [found_by[kind] for found_by in found], 'kB', 0)


def many(root):
    store = Store(root, name='many')
    tree = rootfs(root, 'trees/many')
    names = [f'm{n}' for n in range(60)]
    for name in names:
        store.make(name, IDLE, tree=tree)
    for verb, what in (('start', 'started'), ('stop', 'stopped')):
        seconds = took(lambda: well(store.do(verb, *names, timeout=120))) / 1000
        print(f'{what} one after the other           {len(names) / seconds:8.1f} a second')


def main():
    cgroups = Cgroups.become_tenant()  # lxc-start makes cgroups of its own below those that it is in
    if cgroups.why_not:
        sys.exit(cgroups.why_not)
    root = Root(sys.argv[1])
    root.write('/etc/userns/cgroup.conf', f'base = {cgroups.v2}\nalice containers=3\n')
    for path in ('/etc/subuid', '/etc/subgid'):
        root.write(path, 'alice:100000:65536\nroot:100000:65536\n')
    try:
        compare(root, int(sys.argv[2]) if len(sys.argv) > 2 else 40)
        many(root)
    finally:
        end_all_children()


if __name__ == '__main__':
    main()
