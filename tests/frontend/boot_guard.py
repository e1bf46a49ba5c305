#!/usr/bin/env python3
"""The guard's units in a booted Debian with its own nftables: whatever nftables.service does, the guard is there again."""

import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cgroups import Cgroups  # noqa: E402
from console import System  # noqa: E402
from distro import SYSTEMD, unpack  # noqa: E402
from harness import build_dir, case, main, skip  # noqa: E402

cgroups = Cgroups.become_tenant()
FIRST = 100000  # the tree's root
UNITS = ('userns-net-guard-again.service', 'userns-net-guard.path', 'nftables.service.d/50-userns-net-guard.conf')
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
NFT, NFTABLES = '/usr/sbin/nft', '/lib/systemd/system/nftables.service'


def put(where, path, source):
    place = where + path
    os.makedirs(os.path.dirname(place), exist_ok=True)
    shutil.copy(source, place)
    os.chown(place, FIRST, FIRST)


def furnish(root, where):
    """nft as the host has it, which is of the same Debian; our program and units as they are installed."""
    for program in (NFT, root.program('userns-policy')):
        said = subprocess.run(['ldd', program], capture_output=True, text=True, check=True).stdout
        for path in re.findall(r'=> (/\S+)', said):
            if not os.path.exists(where + path):
                put(where, path, path)
    put(where, NFT, NFT)
    put(where, NFTABLES, NFTABLES)
    put(where, '/etc/nftables.conf', '/etc/nftables.conf')
    put(where, '/usr/local/bin/userns-policy', root.program('userns-policy'))
    for unit in UNITS:
        put(where, f'/lib/systemd/system/{unit}', f'{SOURCE}/packaging/systemd/{unit}')
    put(where, '/lib/systemd/system/userns-net-guard.service', f'{build_dir()}/frontend/policy_tool/userns-net-guard.service')
    text = f'{root.tmp}/net.conf'
    root.write(text, 'alice veth brg 1 ip=10.5.0.16/28 gateway=10.5.0.1/24\n')
    put(where, '/etc/userns/net.conf', text)
    for name in ('etc/userns', 'usr/local/bin'):
        os.chown(f'{where}/{name}', FIRST, FIRST)


LOADED = 'nft list chain bridge userns_guard port'


@case('the guard is there after each start, restart, reload and stop of nftables, which flush it, and from the boot on')
def _(root):
    if cgroups.why_not:
        skip(cgroups.why_not)
    if not os.path.exists(NFT) or not os.path.exists(NFTABLES):
        skip('nftables is not installed')
    root.write('/etc/userns/cgroup.conf', f'base = {cgroups.v2}\n* containers=4\n')
    where = unpack(root, SYSTEMD)
    furnish(root, where)
    words = (root.program('userns-run'), root.alice, '--rootfs', where, '--hostname', 'box')
    with System(*words) as system:
        system.login()
        system.works('systemctl enable --now userns-net-guard.service userns-net-guard.path')
        system.works(LOADED)
        for verb in ('start', 'restart', 'reload', 'stop', 'start', 'stop', 'stop'):
            # Ours is a job that follows theirs.
            system.works(f'systemctl {verb} nftables; until {LOADED} >/dev/null 2>&1; do sleep 0.1; done', seconds=30)
        system.works('nft flush ruleset')
        assert system.shell(LOADED)[0] != 0
        system.works('systemctl reload userns-net-guard')
        system.works(LOADED)
        assert system.works('systemctl --failed --no-legend') == ''
        system.works('systemctl enable nftables')
        assert system.stop() == 0, system.text[-2000:]
    with System(*words) as system:
        system.login()
        assert system.works('systemctl is-system-running --wait') == 'running'
        system.works(f'systemctl is-active nftables userns-net-guard && {LOADED}')
        assert system.works('journalctl -b | grep -c "ordering cycle"; true') == '0'
        assert system.stop() == 0, system.text[-2000:]


main()
