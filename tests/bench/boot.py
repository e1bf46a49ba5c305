#!/usr/bin/env python3
"""Time until a Debian with systemd is up: userns-run --boot beside lxc-start, and what of it is systemd's own.

usage: boot.py BUILD_DIR [ROUNDS]        (root; not a test: nothing here judges)
"""

import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cgroups import Cgroups  # noqa: E402
from console import System  # noqa: E402
from distro import SYSTEMD, unpack  # noqa: E402
from harness import Root, end_all_children, spawn, wait_for  # noqa: E402
from ids import show  # noqa: E402


def median(figures):
    return sorted(figures)[len(figures) // 2]


def ours(root, where):
    """(until READY=1, of which systemd says it took, stop) in ms."""
    begun = time.perf_counter()
    with System(root.program('userns-run'), root.alice, '--rootfs', where) as system:
        system.event()
        system.event()
        up = time.perf_counter()
        system.login()
        floor = re.search(r'finished in ([\d.]+)(m?s)', system.works('systemctl is-system-running --wait; systemd-analyze time'))
        _, seconds = system.stop()
    return (up - begun) * 1000, float(floor[1]) * (1 if floor[2] == 'ms' else 1000), seconds * 1000


def prompt(root, where):
    """Until somebody could log in, in ms."""
    begun = time.perf_counter()
    with System(root.program('userns-run'), root.alice, '--rootfs', where) as system:
        system.expect('login: $')
        taken = (time.perf_counter() - begun) * 1000
        system.stop()
    return taken


def lxc(root, where):
    """The same root file system and ids, until somebody could log in, in ms."""
    config = f'{root.tmp}/lxc.conf'
    root.write(config, f'lxc.rootfs.path = dir:{where}\nlxc.uts.name = box\nlxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n'
                       'lxc.net.0.type = empty\nlxc.mount.auto = proc:mixed sys:ro cgroup:rw:force\nlxc.apparmor.profile = unconfined\n'
                       'lxc.tty.max = 1\nlxc.pty.max = 8\n')
    begun = time.perf_counter()
    log = f'{root.tmp}/lxc-console'
    if os.path.exists(log):
        os.unlink(log)
    child = spawn(['/usr/bin/lxc-start', '-P', root.tmp, '-n', 'bench', '-F', '-f', config, '-L', log])
    try:
        wait_for(lambda: os.path.exists(log) and b'login:' in open(log, 'rb').read(), 'the login of lxc', 30)
        return (time.perf_counter() - begun) * 1000
    finally:
        subprocess.run(['lxc-stop', '-P', root.tmp, '-n', 'bench', '-k'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if not child._reap():
            child.kill()
        child.wait()


if __name__ == '__main__':
    cgroups = Cgroups.become_tenant()
    if cgroups.why_not:
        sys.exit(cgroups.why_not)
    made = Root(sys.argv[1])
    made.write('/etc/userns/cgroup.conf', f'base = {cgroups.v2}\n* containers=9\n')
    for path in ('/etc/subuid', '/etc/subgid'):
        made.write(path, 'alice:100000:65536\nroot:100000:65536\n')
    tree = unpack(made, SYSTEMD)
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    try:
        runs = [ours(made, tree) for _ in range(rounds)]
        figures = [('userns-run --boot, until the login prompt', median([prompt(made, tree) for _ in range(rounds)])),
                   ('userns-run --boot, until systemd says that it is up', median([r[0] for r in runs])),
                   ("  of which systemd's own (systemd-analyze)", median([r[1] for r in runs])),
                   ('  an orderly stop', median([r[2] for r in runs]))]
        try:
            figures.append(('lxc-start, until the login prompt', median([lxc(made, tree) for _ in range(rounds)])))
        except AssertionError as error:
            print(f'lxc-start did not come up here: {error}')
        show('a Debian with systemd, median', figures, 'ms')
    finally:
        end_all_children()
