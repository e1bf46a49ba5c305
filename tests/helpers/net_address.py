#!/usr/bin/env python3
"""userns-net: addresses that go with a NIC (ip= in net.conf), kept by the kernel alone."""

import ipaddress
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from harness import SYSCALL, case, cases, main, spawn, trace
from net_host import Container, Host, refused, sh

_host = None


def host(root, conf):
    global _host
    _host = _host or Host(root)
    _host.all_gone()
    _host.conf(conf)
    sh('nft add table bridge userns_guard')  # what it does is net_guard.py's
    return _host


def address_of(nic, family=4):
    """The one of that family."""
    (found,) = [a for a in nic['addresses'] if ipaddress.ip_interface(a).version == family]
    return found


def altnames(link):
    return sorted(link.get('altnames', []))


@case('a NIC of a line with ip= has an address of each block, gateway, name servers and MTU in the answer; with them it works')
def _(root):
    h = host(root, '* veth br0 4 ip=10.9.0.16/28,fd09::10/124 gateway=10.9.0.1/24,fd09::1/64 dns=10.9.0.1,fd09::1 mtu=1400\n')
    with Container(root.alice) as a, Container(root.bob) as b:
        nics = [h.added(a, 'br0', '--container', 'web'), h.added(b)]
        for nic, c in zip(nics, (a, b)):
            v4, v6 = (ipaddress.ip_interface(address_of(nic, f)) for f in (4, 6))
            assert v4.ip in ipaddress.ip_network('10.9.0.16/28') and v4.network.prefixlen == 24, nic
            assert v6.ip in ipaddress.ip_network('fd09::10/124') and v6.network.prefixlen == 64, nic
            assert int(v4.ip) - int(ipaddress.ip_address('10.9.0.16')) == int(v6.ip) - int(ipaddress.ip_address('fd09::10')), nic
            assert (nic['gateways'], nic['dns'], nic['mtu']) == (['10.9.0.1', 'fd09::1'], ['10.9.0.1', 'fd09::1'], 1400), nic
            link = h.links()[nic['host']]
            assert altnames(link) == sorted([f'userns-{v4.ip}', f'userns-{v6.ip}']), link
            assert nic['mac'] == '56:75:' + ':'.join(f'{byte:02x}' for byte in v4.ip.packed), nic
            assert c.interfaces()[nic['name']]['address'] == nic['mac']
            c.up(str(v4))
            c.up(str(v6))
        assert address_of(nics[0]) != address_of(nics[1])
        assert a.reaches(address_of(nics[1]).split('/')[0]) and b.reaches('10.9.0.1') and b.reaches('fd09::1')


@case('a NIC of a line without ip= says that it has none, and has no other name')
def _(root):
    h = host(root, 'alice veth br0 1\n')
    with Container(root.alice) as c:
        nic = h.added(c)
        assert (nic['addresses'], nic['gateways'], nic['dns']) == ([], [], []), nic
        assert altnames(h.links()[nic['host']]) == [] and not nic['mac'].startswith(('56:75:', '56:74:'))


@case('NR-ADDRESS: a container keeps its address over restarts, also while its NIC of before is just going, and when others came meanwhile')
def _(root):
    h = host(root, '* veth br0 40 ip=10.9.0.64/26 gateway=10.9.0.1/24\n')
    seen = {}
    for number in range(12):
        for name in ('web', 'db', 'mail'):
            with Container(root.alice) as c:
                seen.setdefault(name, set()).add(address_of(h.added(c, 'br0', '--container', name)))
                # killed at the end of `with`: the next one finds the NIC of before, dying
    assert all(len(found) == 1 for found in seen.values()) and len(set(map(min, seen.values()))) == 3, seen
    with Container(root.bob) as other:
        taken = {address_of(h.added(other, 'br0', '--name', f'n{i}')) for i in range(30)} | {address_of(h.added(other, 'br0', '--container', 'web'))}
        with Container(root.alice) as c:
            again = address_of(h.added(c, 'br0', '--container', 'web'))
            assert again not in taken and (again == min(seen['web']) or min(seen['web']) in taken), (again, seen, taken)
            twin = address_of(h.added(c, 'br0', '--name', 'eth0b', '--container', 'web'))
            assert twin not in taken | {again}


@case('NR-ADDRESS: every address of the block but those of the network, its gateway, name server and bridge is given, each once')
def _(root):
    h = host(root, 'alice veth br0 20 ip=10.9.0.0/29 gateway=10.9.0.2 dns=10.9.0.5\n')
    with Container(root.alice) as c:
        # Without a length of the gateway's, the bridge's own address (10.9.0.1/24) says what the network is.
        nics = [h.added(c) for _ in range(4)]
        assert sorted(address_of(n) for n in nics) == [f'10.9.0.{i}/24' for i in (3, 4, 6, 7)], nics
        refused(h.add(c), 'NR-ADDRESS', 'all addresses')
        assert len(h.ports()) == 4
        h.run(['del', nics[2]['host']], root.alice)
        assert address_of(h.added(c)) == address_of(nics[2])
    h = host(root, 'alice veth br1 20 ip=10.7.0.0/29\n')
    with Container(root.alice) as c:
        # No network is known but the block itself: it has an address for itself and one for broadcasts.
        assert sorted(address_of(h.added(c, 'br1')) for _ in range(6)) == [f'10.7.0.{i}/29' for i in range(1, 7)]
        refused(h.add(c, 'br1'), 'NR-ADDRESS')
    h = host(root, 'alice veth br1 2 ip=fd00:9:1::40/128\n')
    with Container(root.alice) as c:
        assert h.added(c, 'br1')['addresses'] == ['fd00:9:1::40/128']
        refused(h.add(c, 'br1'), 'NR-ADDRESS')


@case('NR-ADDRESS: an address is given once on the whole host: not to two users, not on two bridges, not by two lines')
def _(root):
    h = host(root, 'alice veth br0 2 ip=10.9.0.40/31 gateway=10.9.0.1/24\nbob veth br0 2 ip=10.9.0.40/30 gateway=10.9.0.1/24\n'
                   'bob veth br1 2 ip=10.9.0.41/32\n')
    with Container(root.alice) as a, Container(root.bob) as b:
        given = [h.added(a), h.added(a), h.added(b), h.added(b)]
        assert sorted(address_of(n) for n in given) == [f'10.9.0.{i}/24' for i in range(40, 44)], given
        refused(h.add(b, 'br1'), 'NR-ADDRESS')
        a.kill()
        h.added(b, 'br1')


@case('NR-ADDRESS: an address that somebody takes between the look and the act is not given twice: another one is')
def _(root):
    h = host(root, 'alice veth br0 2 ip=10.9.0.40/31 gateway=10.9.0.1/24\n')
    with Container(root.alice) as c:
        before = h.added(c, 'br0', '--container', 'web')
        h.run(['del', before['host']], root.alice)
        stolen = []

        def steal(stop):
            if stop.number == SYSCALL['sendto'] and not stolen and h.ports():
                stolen.append(f'userns-{address_of(before).split("/")[0]}')
                sh(f'ip link property add dev br1 altname {stolen[0]}')
        done = trace(spawn([h.helper, 'add', '--netns', f'pid:{c.pid}', '--bridge', 'br0', '--container', 'web'], root.alice, traced=True), steal)
        sh(f'ip link property del dev br1 altname {stolen[0]}')
        assert done.code == 0 and len(h.ports()) == 1, (done, h.ports())
        assert address_of(json.loads(done.out)) != address_of(before), done
        (port,) = h.ports()
        assert altnames(h.links()[port]) == [f'userns-{address_of(json.loads(done.out)).split("/")[0]}']


@case('64 adds at once on a range of 16 addresses: exactly 16 succeed, all different, in each of many rounds')
def _(root):
    h = host(root, '* veth br0 64 ip=10.9.0.16/28,fd09::10/124 gateway=10.9.0.1/24\n')
    script = f'''for i in $(seq 32); do ({h.helper} add --netns pid:$1 --bridge br0 --name n$i 2>/dev/null || echo no) & done; wait'''
    rounds = 100 if os.environ.get('USERNS_TEST_LONG') == '1' else 10
    for number in range(rounds):
        with Container(root.alice) as a, Container(root.bob) as b:
            running = [spawn(['/bin/sh', '-c', script, 'sh', c.pid], c.user) for c in (a, b)]
            lines = [line for child in running for line in child.wait().out.splitlines()]
            nics = [json.loads(line) for line in lines if line != 'no']
            assert len(lines) == 64 and len(nics) == 16, (number, len(lines), len(nics))
            for family in (4, 6):
                assert len({address_of(n, family) for n in nics}) == 16, nics
            assert sorted(n['host'] for n in nics) == h.ports()
            names = [name for port in h.ports() for name in altnames(h.links()[port])]
            assert len(names) == len(set(names)) == 32, names
        h.all_gone()
    return f'{rounds} rounds'


@case('NR-MAC: an address of the kind that goes with an IP address cannot be chosen, whatever the line allows')
def _(root):
    h = host(root, 'alice veth br0 4 mac=any spoof=allow\n')
    with Container(root.alice) as c:
        for mac in ('56:75:0a:09:00:10', '56:74:12:34:56:78'):
            refused(h.add(c, 'br0', '--mac', mac), 'NR-MAC', 'belongs to an IP address')
        h.added(c, 'br0', '--mac', '56:73:0a:09:00:10')


@cases([(f'NC-LINE: {settings} is refused', settings) for settings in (
    'ip=10.9.0.17/28', 'ip=10.9.0.16/33', 'ip=10.9.0.16/', 'ip=', 'ip=10.9.0.0/24,10.9.1.0/24', 'ip=10.9.0.0/24,', 'ip=::ffff:10.9.0.0/120',
    'ip=10.9.0.0/024', 'ip=10.9.000.0/24', 'ip=fd00::1::/64', 'ip=10.9.0.0/28 spoof=allow', 'ip=10.9.0.0/28 mac=any', 'gateway=here',
    'gateway=10.0.0.1,10.0.0.2,10.0.0.3', 'dns=1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4', 'dns=example.org', 'ip=10.9.0.0/28 ip=10.9.0.16/28')])
def _(root, settings):
    h = host(root, f'bob veth br1 1\nalice veth br0 1 {settings}\n')
    with Container(root.alice) as c:
        refused(h.add(c), 'NC-LINE', 'net.conf:2:')


@case('lxc-user-nic\'s create prints the fields that LXC expects, in its order, from a line with ip=, too')
def _(root):
    h = host(root, 'alice veth br0 2 ip=10.9.0.40/31 gateway=10.9.0.1/24 dns=10.9.0.1\n')
    program = root.program('lxc-user-nic')
    with Container(root.alice) as c:
        done = root.run([program, 'create', '/p', 'web', c.pid, 'veth', 'br0', 'eth7'], root.alice)
        name, index, outside, number = done.out.rstrip('\n').split(':')
        assert name == 'eth7' and int(index) > 0 and h.links()[outside]['ifindex'] == int(number), done


if __name__ == '__main__':
    main()
