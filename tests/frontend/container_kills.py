#!/usr/bin/env python3
"""Containers with a cgroup and a NIC or a published port, whose front-end, monitor or first process is killed at random
moments: nothing is left.

USERNS_TEST_KILLS=N has that done N times instead of 12, and USERNS_TEST_SEED=N repeats a run.
"""

import os
import random
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cgroups import Cgroups, below, pids_in  # noqa: E402
from container import FIRST, rootfs, well  # noqa: E402
from container_end_lib import everyones_device, holders_of, is_free  # noqa: E402
from named import IDLE, Store  # noqa: E402
from harness import case, main, own_children, skip, wait_for  # noqa: E402
from net_host import Host, way_out  # noqa: E402

cgroups = Cgroups.become_tenant()
PORT = 18090


def mounts():
    with open('/proc/self/mountinfo') as file:
        return file.read()


def living():
    found = []
    for pid in own_children():
        try:
            with open(f'/proc/{pid}/stat') as file:
                if file.read().rpartition(')')[2].split()[0] != 'Z':
                    found.append(pid)
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def victim_of(store, name, what, child):
    """A pid to kill, or None where there is none just now."""
    if what == 'front-end':
        return child.pid
    try:
        state = store.state(name)
    except ValueError:
        return None
    return state and state[{'monitor': 'monitor', 'payload': 'init'}[what]]['pid'] or None


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def left(host, store, before):
    """What is there that a container that has ended does not leave; empty: nothing."""
    found = []
    if processes := living():
        found.append(('processes', processes))
    if held := holders_of(FIRST):
        found.append(('ids', held))
    leaves = [path for path in below(cgroups.v2) if path.endswith('/payload') or pids_in(path)]
    if leaves:
        found.append(('cgroups', leaves))
    if host.ports():
        found.append(('NICs', host.ports()))
    if not is_free(PORT):
        found.append(('port', PORT))
    if mounts() != before:
        found.append(('mounts', mounts()))
    return found


@case('killed at any moment of a start, a run, an exec, a restart or a stop, nothing of it is left after the next word')
def _(root):
    if not shutil.which('pasta') and not shutil.which('slirp4netns'):
        skip('neither pasta nor slirp4netns is installed')
    cgroups.begin(root, 'alice containers=3')
    host = Host(root)
    host.conf('alice veth br0 8\n')
    everyones_device('net/tun', 200)
    way_out()
    rounds = int(os.environ.get('USERNS_TEST_KILLS', '12'))
    seed = int(os.environ.get('USERNS_TEST_SEED', '0')) or random.SystemRandom().randrange(1, 1 << 30)
    dice = random.Random(seed)
    store = Store(root)
    port = ('net = user', f'publish = {PORT}:80')
    kinds = {'nic': ('net = bridge=br0',), 'port': port, 'loopback': (*port, 'publish-loopback = yes')}  # the last by pasta, if it is there
    for number, (name, net) in enumerate(kinds.items()):
        first = FIRST + number * 16384
        store.make(name, IDLE, f'map = b:0:{first}:16384', 'cgroup = helper', *net, tree=rootfs(root, f'trees/{name}', first))
    before, count = mounts(), {}
    for turn in range(rounds):
        name = list(kinds)[turn % len(kinds)]
        what = dice.choice(['front-end', 'monitor', 'payload'])
        act = dice.choice(['start', 'start', 'exec', 'restart', 'stop'])
        if act != 'start':
            well(store.do('start', name))
        child = store.begin(act, name, command=['sleep', '0.05'] if act == 'exec' else None)
        time.sleep(dice.random() ** 2 * 0.3)
        if pid := victim_of(store, name, what, child):
            kill(pid)
            count[what] = count.get(what, 0) + 1
        child.wait(60)
        # The next words find it out, whatever it was.
        store.do('stop', name, '--timeout=0s', timeout=60)
        store.do('stop', name, '--timeout=0s', timeout=60)
        try:
            wait_for(lambda: not left(host, store, before), 'all to be gone')
        except AssertionError:
            raise AssertionError(f'round {turn} (seed {seed}): {what} at {act}: {left(host, store, before)}') from None
    return f'{rounds} rounds, seed {seed}: killed ' + ', '.join(f'{what} {number}' for what, number in sorted(count.items()))


main()
