"""Cgroups for a test, below directories that the test made, in every hierarchy of a host without systemd.

    from cgroups import Cgroups
    cgroups = Cgroups.become_tenant()     # before harness.main()

The process forks: the child goes on as the test, inside its own cgroups; the parent waits for it and takes everything
down. So no cgroup outlives the test, however it ends, and none that was there before is touched (but that hugetlb is
enabled for children of the v2 root while the test runs).
"""

import os
import signal
import sys
import time

from harness import skip

MOUNT = '/sys/fs/cgroup'
V1 = ('memory', 'pids', 'cpu', 'cpuset', 'blkio')


def read(path):
    with open(path) as file:
        return file.read().strip()


def write(path, text):
    with open(path, 'w') as file:
        file.write(str(text))


def below(top):
    """top and all cgroups below it, deepest first."""
    found = []
    for here, names, _ in os.walk(top):
        found.append(here)
    return found[::-1]


def pids_in(top):
    found = []
    for path in below(top):
        try:
            found += [int(pid) for pid in read(path + '/cgroup.procs').split()]
        except OSError:
            pass
    return found


def remove(top):
    """Ends what runs in `top` and removes it."""
    end = time.monotonic() + 20
    while os.path.isdir(top):
        for pid in pids_in(top):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for path in below(top):
            try:
                os.rmdir(path)
            except OSError:
                pass
        if time.monotonic() > end:
            raise AssertionError(f'{top} can not be removed')
        time.sleep(0.005)


class Cgroups:
    """`v2`: the test's own v2 cgroup, empty, a base for the helper. `v1`: {controller: directory the test is in}."""

    def __init__(self):
        self.why_not = None
        self.v2, self.v1 = None, {}
        self._hugetlb = False
        if os.geteuid() != 0:
            self.why_not = 'needs root: run it with sudo'
        elif os.path.isdir('/run/systemd/system'):
            self.why_not = "the cgroup tree is systemd's here; tests/system tries this in a booted guest"
        else:
            self._make()

    def _make(self):
        name = f'userns-test-{os.getpid()}'
        top = next((p for p in (MOUNT, MOUNT + '/unified') if os.path.exists(p + '/cgroup.controllers')), None)
        if top is None:
            self.why_not = f'no cgroup2 file system is mounted at {MOUNT} or {MOUNT}/unified'
            return
        self.top = top
        if 'hugetlb' in read(top + '/cgroup.controllers') and 'hugetlb' not in read(top + '/cgroup.subtree_control'):
            write(top + '/cgroup.subtree_control', '+hugetlb')
            self._hugetlb = True
        self.v2 = f'{top}/{name}'
        os.mkdir(self.v2)
        for controller in V1:
            if os.path.exists(f'{MOUNT}/{controller}/cgroup.procs'):
                path = f'{MOUNT}/{controller}{self._own(controller)}/{name}'
                os.mkdir(path)
                self.v1[controller] = path
                if controller == 'cpuset':
                    for file in ('cpuset.cpus', 'cpuset.mems'):
                        write(f'{path}/{file}', read(f'{path}/../{file}'))

    @staticmethod
    def _own(controller):
        for line in read('/proc/self/cgroup').splitlines():
            _, names, path = line.split(':', 2)
            if controller in names.split(','):
                return path.rstrip('/')
        return ''

    def _take_down(self):
        for path in [self.v2, *self.v1.values()]:
            if path:
                remove(path)
        if self._hugetlb:
            try:
                write(self.top + '/cgroup.subtree_control', '-hugetlb')
            except OSError:
                pass  # another test needs it

    @classmethod
    def become_tenant(cls):
        made = cls()
        if made.why_not:
            return made
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            for path in made.v1.values():
                write(path + '/cgroup.procs', 0)
            return made
        signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
        _, status = os.waitpid(child, 0)
        made._take_down()
        os._exit(abs(os.waitstatus_to_exitcode(status)))

    def begin(self, root, lines, base=None, **how):
        """A case's own beginning: nothing of the one before, and these lines of policy. Skips where there can be no cgroups."""
        if self.why_not:
            skip(self.why_not)
        self.clear()
        root.write('/etc/userns/cgroup.conf', f'base = {base or self.v2}\n{lines}\n', **how)

    def clear(self):
        """Between cases: ends and removes what is below the test's cgroups."""
        for path in [self.v2, *self.v1.values()]:
            for name in os.listdir(path):
                if os.path.isdir(f'{path}/{name}'):
                    remove(f'{path}/{name}')

    def left(self):
        """What there is below the test's cgroups, but for users' nodes: these stay, for what is charged to them."""
        return [d for top in [self.v2, *self.v1.values()] for d in below(top) if d != top and not self._is_node(top, d)]

    @staticmethod
    def _is_node(top, path):
        return os.path.dirname(path) == top and os.path.basename(path).removeprefix('userns-').isdigit()
