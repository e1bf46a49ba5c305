#!/usr/bin/env python3
"""create --template debian by the real mmdebstrap from a real mirror, and the life of what it made, with a NIC."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cgroups import Cgroups, pids_in  # noqa: E402
from container import well  # noqa: E402
import debian  # noqa: E402
from leased import inside, lease_of  # noqa: E402
from named import Store  # noqa: E402
from harness import case, main, skip, wait_for, with_own_pids  # noqa: E402
from net_host import Dhcp, Host  # noqa: E402

with_own_pids()  # ids are chosen that no process in sight has
cgroups = Cgroups.become_tenant()


def unreachable(root):
    """What apt says where no mirror answers; empty where one does."""
    lists = f'{root.tmp}/lists'
    os.makedirs(f'{lists}/partial', exist_ok=True)
    done = subprocess.run(['apt-get', '-q', 'update', '--error-on=any', '-o', f'Dir::State::lists={lists}'], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    return '' if done.returncode == 0 else done.stdout.strip().splitlines()[-1]


@case('made by mmdebstrap, it boots with a NIC and has its address by DHCP, the same after stop and start; destroy leaves nothing')
def _(root):
    why = cgroups.why_not or debian.why_not(debian.BOOKWORM)
    if why:
        skip(why)
    cgroups.clear()
    root.write('/etc/userns/cgroup.conf', f'base = {cgroups.v2}\n* containers=4\n')
    store = Store(root)
    made = store.do('create', 'deb', '--template', 'debian', '--suite', 'bookworm', '--net', 'bridge=br0', timeout=900)
    if made.code != 0 and (why := unreachable(root)):
        skip(f'no Debian mirror answers: {why}')
    well(made)
    host = Host(root)  # only now: its network is its own
    host.conf('alice veth br0 1\n')
    seen = []
    with Dhcp(root) as server:
        for _ in range(2):
            well(store.do('start', 'deb', '--boot', '--wait-ready=180s', timeout=240))
            state = store.state('deb')
            assert state['kind'] == 'systemd' and state['cgroup'], state
            seen.append(lease_of(store, 'deb', server))
            assert inside(store, 'deb', 'systemctl', 'is-system-running') == 'running\n'
            assert inside(store, 'deb', 'sh', '-c', '. /etc/os-release; echo $ID $VERSION_CODENAME') == 'debian bookworm\n'
            assert inside(store, 'deb', 'hostname') == 'deb\n'
            well(store.do('stop', 'deb', '--timeout=60s', timeout=90))
            assert store.last('deb')['exit_status'] == 0, store.last('deb')
            host.all_gone()
        assert len(set(seen)) == 1, seen
    wait_for(lambda: not pids_in(cgroups.v2), 'its cgroups to be empty: the next start sweeps them')
    well(store.do('destroy', 'deb', timeout=120))
    assert not os.path.exists(f'{store.path}/deb') and store.do('list', '--names').out == ''
    assert not [name for name in os.listdir(store.path) if name not in ('.lock', '.index', '.events')], os.listdir(store.path)


main()
