#!/usr/bin/env python3
"""The hybrid part of the matrix of inits, cgroups and acts (lib/matrix.py), on a host without systemd."""

import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', 'lib'), HERE]
from boot_trees import busybox  # noqa: E402
from cgroups import MOUNT, Cgroups, read  # noqa: E402
from container import rootfs  # noqa: E402
from distro import OPENRC, SYSTEMD, SYSTEMD_257, unpack  # noqa: E402
from harness import case, main, skip  # noqa: E402
from matrix import PARAMETERS, pairwise, scenarios, why_not  # noqa: E402
from matrix_acts import register  # noqa: E402
from named import Store  # noqa: E402

cgroups = Cgroups.become_tenant()
TARS = {'openrc': OPENRC, 'systemd-252': SYSTEMD, 'systemd-257': SYSTEMD_257}


class World:
    slow = 60

    def __init__(self, root):
        if cgroups.why_not or not cgroups.v1:
            skip(cgroups.why_not or 'this host has no v1 hierarchies: the v2 part runs in the booted guest')
        cgroups.begin(root, '* containers=4')
        self.root, self.store, self.shared = root, Store(root), f'{root.tmp}/shared'
        os.makedirs(self.shared, exist_ok=True)
        root.write(f'{self.shared}/shared', "the host's\n")

    def limit(self, processes):
        """The administrator's, in v1: a user's own needs pids in v2, which is not there."""
        cgroups.begin(self.root, f'* containers=4 pids.max={processes}')
        return []

    def make(self, name, settings, init):
        if init in TARS:
            settings, tree = ['boot = yes', *settings], unpack(self.root, TARS[init])
        else:
            tree = busybox(self.root) if init == 'busybox' else rootfs(self.root, f'trees/{name}')
        os.makedirs(f'{tree}/mnt', exist_ok=True)
        self.store.make(name, *settings, tree=tree)

    def do(self, verb, *args, command=None):
        return self.store.do(verb, *args, command=command, timeout=120)

    def begin(self, verb, *args, **how):
        return self.store.begin(verb, *args, **how)

    def state(self, name):
        return self.store.state(name)

    def log(self, name):
        return self.store.log(name).decode(errors='replace')

    @staticmethod
    def pids_max(state):
        """In the v1 hierarchy, and in v2 where pids is there."""
        found = []
        for line in read(f'/proc/{state["init"]["pid"]}/cgroup').splitlines():
            _, names, path = line.split(':', 2)
            top = MOUNT + ('/pids' if names == 'pids' else '/unified')
            while names in ('', 'pids') and path not in ('/', ''):
                if os.path.exists(f'{top}{path}/pids.max') and (text := read(f'{top}{path}/pids.max')).isdigit():
                    found.append(int(text))
                path = re.sub('/[^/]*$', '', path)
        return min(found, default=None)


register(case, World, scenarios(pairwise(PARAMETERS, why_not), hierarchy='hybrid'))
main()
