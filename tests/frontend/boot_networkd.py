#!/usr/bin/env python3
"""A booted Debian whose systemd-networkd sets up the NIC, behind the guard of net.conf(5)."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cgroups import Cgroups  # noqa: E402
from console import System  # noqa: E402
from distro import SYSTEMD, SYSTEMD_257, unpack  # noqa: E402
from harness import ROOT, case, cases, main, skip  # noqa: E402
from net_host import Dhcp, Host  # noqa: E402

cgroups = Cgroups.become_tenant()
made = {}
# What --template debian writes.
DHCP = '[Match]\nName=eth* en* host*\nType=ether\n\n[Network]\nDHCP=yes\n\n[DHCPv4]\nClientIdentifier=mac\n'


def host(root, conf, tree=SYSTEMD):
    if cgroups.why_not:
        skip(cgroups.why_not)
    cgroups.clear()
    root.write('/etc/userns/cgroup.conf', f'base = {cgroups.v2}\n* containers=4\n')
    if tree not in made:
        made[tree] = unpack(root, tree)
    made['where'] = made[tree]
    if 'host' not in made:
        made['host'] = Host(root)
    made['host'].all_gone()
    made['host'].conf(conf)
    done = root.run([root.program('userns-policy'), 'guard', '--apply'], ROOT)
    assert done.code == 0, done
    return made['host']


def networkd(files):
    """The tree with networkd enabled, and no other files of networks than these."""
    place = f'{made["where"]}/etc/systemd/network'
    for name in os.listdir(place):
        os.unlink(f'{place}/{name}')
    for name, text in files.items():
        with open(f'{place}/{name}', 'w') as file:
            file.write(text)
    wants = f'{made["where"]}/etc/systemd/system/multi-user.target.wants'
    if not os.path.lexists(f'{wants}/systemd-networkd.service'):
        os.symlink('/lib/systemd/system/systemd-networkd.service', f'{wants}/systemd-networkd.service')


def boot(root, *words):
    return System(root.program('userns-run'), root.alice, '--rootfs', made['where'], '--hostname', 'box', '--net', 'bridge=br0', *words)


def addresses(system):
    """Of eth0, when networkd says that it has done all that it was told to."""
    system.works('/lib/systemd/systemd-networkd-wait-online --interface=eth0:routable --timeout=60; '
                 'until networkctl status eth0 | grep "(configured)"; do sleep 0.2; done', '(configured)', seconds=150)
    found = json.loads(system.works('ip -j addr show eth0'))[0]['addr_info']
    return {one['local'] for one in found if one['scope'] == 'global'}


def reached(system, *others):
    for other in others:
        system.works(f'ping -c1 -W5 {other}', '1 received')


def nothing_wrong(system):
    assert system.works('systemctl is-system-running --wait') == 'running'
    complaints = system.works('journalctl _SYSTEMD_INVOCATION_ID=$(systemctl show -P InvocationID systemd-networkd) -p warning --no-pager -q | grep eth0; true')
    assert complaints == '', complaints
    assert system.stop() == 0, system.text[-2000:]


IP = 'alice veth br0 4 ip=10.9.0.16/28,fd09::10/124 gateway=10.9.0.1/24,fd09::1/64 dns=10.9.0.1\n'


@cases([(f'on a line with ip= {tree}, whose networkd would ask for a lease, has what net.conf gave, and networkd is done at once', tree)
        for tree in (SYSTEMD, SYSTEMD_257)])
def _(root, tree):
    host(root, IP, tree)
    networkd({'80-dhcp.network': DHCP})
    with Dhcp(root) as server, boot(root) as system:
        system.login()
        given = addresses(system)
        assert any(one.startswith('10.9.0.') for one in given) and any(one.startswith('fd09::') for one in given), given
        reached(system, '10.9.0.1', 'fd09::1')
        # networkd begins anew: duplicate address detection, MLD reports, router solicitations go through the guard.
        system.works('networkctl down eth0 && networkctl up eth0')
        assert addresses(system) == given
        reached(system, '10.9.0.1', 'fd09::1')
        assert server.leases() == {}
        nothing_wrong(system)


@case('on a line with ip= a system whose own file says the same addresses keeps that file, and they work')
def _(root):
    host(root, 'alice veth br0 1 ip=10.9.0.16 gateway=10.9.0.1/24\n')
    networkd({'10-own.network': '[Match]\nName=eth0\n\n[Network]\nAddress=10.9.0.16/24\nGateway=10.9.0.1\nDescription=of the system\n'})
    with boot(root) as system:
        system.login()
        assert addresses(system) == {'10.9.0.16'}
        assert '10-own.network' in system.works('networkctl status eth0 | cat')
        reached(system, '10.9.0.1')
        nothing_wrong(system)


@case('on a guarded line without ip= networkd gets a lease')
def _(root):
    host(root, 'alice veth br0 1 guard=yes\n')
    networkd({'80-dhcp.network': DHCP})
    with Dhcp(root) as server, boot(root) as system:
        system.login()
        given = addresses(system)
        assert len(given) == 1 and len(server.leases()) == 1 and given.pop() in str(server.leases()), (given, server.leases())
        reached(system, '10.9.0.1')
        nothing_wrong(system)


main()
