#!/usr/bin/env python3
"""Two hundred named containers of one user, from create to destroy: with ids, a NIC and a cgroup each."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cgroups import Cgroups, pids_in  # noqa: E402
from container import well  # noqa: E402
from named import Store, alive, below  # noqa: E402
from harness import case, main, skip, status_of, wait_for  # noqa: E402
from net_host import Host, sh  # noqa: E402

MANY, AT_ONCE = 200, 20
FIRST, BLOCK = 1 << 20, 65536

cgroups = Cgroups.become_tenant()


def at_once(children, seconds=120):
    """Waits for all; each must be well."""
    for done in [child.wait(seconds) for child in children]:
        well(done)


def batches(names):
    return [names[first:first + AT_ONCE] for first in range(0, len(names), AT_ONCE)]


def mounts():
    with open('/proc/self/mountinfo') as file:
        return len(file.readlines())


def processes(root):
    """Those of alice and of the ids delegated to her."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            uid = int(status_of(pid)['Uid'].split()[0])
            if (uid == root.alice.uid or FIRST <= uid < FIRST + MANY * BLOCK) and alive(pid) and below(int(pid)):
                found.append(int(pid))
        except (FileNotFoundError, ProcessLookupError, KeyError):
            pass
    return found


def block_of(store, name):
    """The first id outside, which the config says."""
    with open(f'{store.path}/{name}/config') as file:
        maps = [line.split('=')[1].split(':') for line in file if line.startswith('map')]
    assert all(int(m[3]) == BLOCK and int(m[1]) == 0 for m in maps), maps
    firsts = {int(m[2]) for m in maps}
    assert len(firsts) == 1, maps
    return firsts.pop()


@case(f'{MANY} containers, {AT_ONCE} at a time, made, started, stopped and destroyed: ids, NIC and cgroup of each are its own, nothing is left')
def _(root):
    if not os.path.exists('/bin/busybox'):
        skip('busybox-static is not installed')
    lan = Host(root)
    lan.conf(f'alice veth br0 {MANY}\n')
    if not cgroups.why_not:
        root.write('/etc/userns/cgroup.conf', f'base = {cgroups.v2}\nalice containers={MANY}\n')
    for path in ('/etc/subuid', '/etc/subgid'):
        root.write(path, f'alice:{FIRST}:{MANY * BLOCK}\n')
    store = Store(root)
    before, began, notes = mounts(), time.monotonic(), [f'without cgroups: {cgroups.why_not}'] if cgroups.why_not else []

    def lap(what):
        nonlocal began
        now = time.monotonic()
        notes.append(f'{what} {now - began:.1f} s')
        began = now

    names = [f'c{n}' for n in range(MANY)]
    options = ['--template=busybox', '--net=bridge=br0', *([] if cgroups.why_not else ['--cgroup=helper'])]
    idle = ['sh', '-c', 'trap "exit 0" TERM; while :; do sleep 1000 & wait; done']
    for batch in batches(names):
        at_once([store.begin('create', name, *options, command=idle) for name in batch])
    assert sorted(block_of(store, name) for name in names) == [FIRST + n * BLOCK for n in range(MANY)]
    more = store.do('create', 'more', *options)
    assert more.code == 125 and 'ids' in more.err, more
    lap('create')
    for batch in batches(names):
        well(store.do('start', *batch, timeout=120))
    lap('start')
    states = {name: store.state(name) for name in names}
    first = [states[name]['init']['pid'] for name in names]
    assert all(map(alive, first))
    for kind in ('user', 'net', 'pid', 'mnt'):
        assert len({os.stat(f'/proc/{pid}/ns/{kind}').st_ino for pid in first}) == MANY, kind
    for name in names:
        assert int(status_of(states[name]['init']['pid'])['Uid'].split()[0]) == block_of(store, name), name
    assert len(lan.ports()) == MANY
    assert cgroups.why_not or len({states[name]['cgroup'] for name in names}) == MANY
    lap('looked at')
    for batch in batches(names):
        well(store.do('stop', *batch, timeout=120))
    lap('stop')
    wait_for(lambda: not processes(root), 'all processes to end', 60)
    lan.all_gone()
    assert mounts() == before, (mounts(), before)
    assert cgroups.why_not or not pids_in(cgroups.v2)
    for name in names:
        left = store.files(name) - {'config', 'lock', 'running', 'console.log', 'console.times', 'last.json', 'rootfs'}
        assert not left, (name, left)
    for batch in batches(names):
        at_once([store.begin('destroy', name) for name in batch])
    assert os.listdir(store.path) == ['.events'], os.listdir(store.path)
    lap('destroy')
    well(store.do('create', 'next', *options))
    assert block_of(store, 'next') == FIRST
    if not cgroups.why_not:
        wait_for(lambda: not cgroups.left(), 'the cgroups of 200 to go')
    well(store.do('start', 'next'))
    well(store.do('stop', 'next'))
    wait_for(lambda: not processes(root), 'the last one to end')
    lan.all_gone()
    assert not processes(root) and mounts() == before
    return ', '.join(notes)


main()
