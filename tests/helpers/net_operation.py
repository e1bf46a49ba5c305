#!/usr/bin/env python3
"""NICs in operation: bridges that are made anew, quotas meanwhile, who has what, hosts with one machine-id."""

import json
import os
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from harness import ROOT, case, main, skip
from net_host import Container, Host, refused, sh

_host = None


def host(root, conf, guarded=False):
    global _host
    _host = _host or Host(root)
    _host.all_gone()
    again('br0', '10.9.0.1/24')
    _host.conf(conf)
    sh('nft', 'delete', 'table', 'bridge', 'userns_guard', code=None)
    if guarded:
        sh('nft', 'add', 'table', 'bridge', 'userns_guard')
    return _host


def again(name, address, more=''):
    """The bridge of that name is deleted and made anew, with another index."""
    sh('ip', 'link', 'del', name, code=None)
    Host.bridge(name, address, more)


def reattach(root, *words, user=ROOT):
    return root.run([root.program('userns-policy'), 'reattach', *words], user)


def port_flags(port):
    (link,) = json.loads(sh('ip', '-j', '-d', 'link', 'show', 'dev', port))
    return link, link.get('linkinfo', {}).get('info_slave_data', {})


def entries(bridge, port):
    return sorted(e['mac'] for e in json.loads(sh(f'bridge -j fdb show br {bridge}'))
                  if e['ifname'] == port and e.get('master') == bridge and 'sticky' in e.get('flags', []))


@case('NR-QUOTA: ports count also while their bridge is gone or was made anew; one that ends is free again')
def _(root):
    h = host(root, 'alice veth br0 2\nbob veth br0 1\n')
    with Container(root.alice) as a, Container(root.alice) as b, Container(root.bob) as c:
        h.added(a), h.added(b)
        again('br0', '10.9.0.1/24')
        assert all('master' not in h.links()[port] for port in h.ports())
        refused(h.add(a), 'NR-QUOTA', 'all 2 NICs')
        h.added(c)  # another's quota is another's
        b.kill()
        h.added(a)
        refused(h.add(a), 'NR-QUOTA')


@case('reattach: a bridge that was made anew has its ports back, bound as before, and containers reach it again')
def _(root):
    lines = ('alice veth br0 1 isolated=yes mtu=1400\nalice veth br0 1 macs=2\n'
             'bob veth br0 1 ip=10.9.0.16/28 gateway=10.9.0.1/24 group=77\ncarol veth br0 1 spoof=allow\n')
    h = host(root, lines, guarded=True)
    with Container(root.alice) as a, Container(root.bob) as b, Container(root.carol) as c:
        nics = [h.added(a, 'br0', '--container', 'web'), h.added(a), h.added(b, 'br0', '--container', 'db'), h.added(c)]
        a.up('10.9.0.5/24'), b.up(nics[2]['addresses'][0]), c.up('10.9.0.6/24')
        assert b.reaches('10.9.0.1')
        before = [(port_flags(n['host']), entries('br0', n['host'])) for n in nics]
        again('br0', '10.9.0.1/24')
        assert not b.reaches('10.9.0.1', tries=1)
        dry = reattach(root, '--dry-run', user=root.alice)
        assert dry.code == 0 and dry.out.count('would go back to br0') == 4, dry
        assert all('master' not in h.links()[n['host']] for n in nics), 'a dry run did something'
        asked = reattach(root, user=root.alice)
        assert asked.code == 125 and 'only root' in asked.err, asked
        done = reattach(root)
        assert done.code == 0 and done.out.count('is back on br0') == 4 and f'{nics[0]["host"]} (alice, container web)' in done.out, done
        for nic, ((link, port), macs) in zip(nics, before):
            now, flags = port_flags(nic['host'])
            assert now['master'] == 'br0' and now['ifalias'] == link['ifalias'], now
            assert now.get('group') == link.get('group') and now.get('altnames') == link.get('altnames'), (now, link)
            for key in ('locked', 'isolated', 'learning', 'flood', 'guard', 'multicast_router'):
                assert flags.get(key) == port.get(key), (key, flags, port)
            assert entries('br0', nic['host']) == macs, (nic, macs)
        for container in (a, b, c):
            container.sh('ip neigh flush all')  # the new bridge has another MAC address
        assert b.reaches('10.9.0.1') and a.reaches('10.9.0.1') and c.reaches('10.9.0.1')
        # What is bound again holds: another MAC address reaches nobody.
        b.sh('ip link set eth0 address 02:00:00:00:00:99')
        assert not b.reaches('10.9.0.1', tries=1)
        assert reattach(root).out == 'every port has its bridge\n'
        refused(h.add(b), 'NR-QUOTA')


@case('reattach: a VLAN is the port\'s only one again')
def _(root):
    h = host(root, 'alice veth br0 1 vlan=30\n')
    if sh('ip', 'link', 'set', 'br0', 'type', 'bridge', 'vlan_filtering', '1', code=None):
        skip('this kernel filters no VLANs')
    with Container(root.alice) as a:
        nic = h.added(a)
        again('br0', '10.9.0.1/24', 'vlan_filtering 1')
        assert reattach(root).code == 0
        (vlans,) = json.loads(sh('bridge', '-j', 'vlan', 'show', 'dev', nic['host']))
        assert [v['vlan'] for v in vlans['vlans']] == [30], vlans


@case('reattach: what net.conf gives no more, or only guarded, stays without a bridge and is named, and others come back; one bridge can be named')
def _(root):
    h = host(root, 'alice veth br0 2\nbob veth br0 1\nbob veth br1 1\ncarol veth br0 1\n')
    with Container(root.alice) as a, Container(root.bob) as b, Container(root.carol) as c:
        kept, beyond, revoked, other = h.added(a), h.added(a), h.added(b), h.added(b, 'br1')
        unguarded = h.added(c)
        again('br0', '10.9.0.1/24'), again('br1', '10.8.0.1/24')
        h.conf('alice veth br0 1\nbob veth br1 1\ncarol veth br0 1 guard=yes\n')
        done = reattach(root, 'br1')
        assert done.code == 0 and other['host'] in done.out and done.out.count('\n') == 1, done
        done = reattach(root)
        assert done.code == 1, done
        said = {line.split()[0]: line for line in done.out.splitlines()}
        assert 'is back on br0' in said[kept['host']], done
        assert 'only 1' in said[beyond['host']] and 'stays without a bridge' in said[beyond['host']], done
        assert 'no line of net.conf' in said[revoked['host']] and 'guard' in said[unguarded['host']], done
        links = h.links()
        assert [links[n['host']].get('master') for n in (kept, beyond, revoked, unguarded, other)] == ['br0', None, None, None, 'br1']


@case('reattach: a bridge that is gone for good, and interfaces that others made, are left as they are')
def _(root):
    h = host(root, 'alice veth br0 1\n')
    with Container(root.alice) as a:
        nic = h.added(a)
        sh('ip', 'link', 'del', 'br0')
        # One that has such a name and such words, but is not of that bridge.
        forged = 'u' + nic['host'][1:7] + 'zzzzzz'[:6].replace('z', '1') + '00'
        sh('ip', 'link', 'add', forged, 'type', 'veth', 'peer', 'name', 'forged1')
        sh('ip', 'link', 'set', forged, 'alias', h.links()[nic['host']]['ifalias'])
        done = reattach(root)
        assert done.code == 1 and 'there is no bridge br0 now' in done.out and forged not in done.out, done
        Host.bridge('br0', '10.9.0.1/24')
        assert reattach(root).code == 0 and 'master' not in h.links()[forged]
        sh('ip', 'link', 'del', forged)


@case('reattach: an IP address or a MAC address that the line gives no more does not come back')
def _(root):
    h = host(root, 'alice veth br0 1 ip=10.9.0.16/28 guard=no\nbob veth br0 1 mac=any\n')
    with Container(root.alice) as a, Container(root.bob) as b:
        nics = [h.added(a, 'br0', '--container', 'x'), h.added(b, 'br0', '--mac', '02:00:00:00:00:77')]
        again('br0', '10.9.0.1/24')
        h.conf('alice veth br0 1 ip=10.9.0.32/28 guard=no\nbob veth br0 1\n')
        done = reattach(root)
        assert done.code == 1 and done.out.count('other addresses now') == 2, done
        assert all('master' not in h.links()[n['host']] for n in nics)
        h.conf('alice veth br0 1 ip=10.9.0.16/28 guard=no\nbob veth br0 1 mac=any\n')
        assert reattach(root).code == 0 and all(h.links()[n['host']]['master'] == 'br0' for n in nics)


@case('reattach: a port that cannot be bound is off the bridge again, down, and comes back when it can')
def _(root):
    h = host(root, 'alice veth br0 1\nbob veth br0 1 mac=any\n')
    with Container(root.alice) as a, Container(root.bob) as b:
        nic = h.added(a)
        again('br0', '10.9.0.1/24')
        other = h.added(b, 'br0', '--mac', nic['mac'])
        done = reattach(root)
        assert done.code == 1 and 'is in use' in done.out, done
        link = h.links()[nic['host']]
        assert 'master' not in link and 'UP' not in link['flags'], link
        assert h.run(['del', other['host']], root.bob).code == 0
        assert reattach(root).code == 0
        link = h.links()[nic['host']]
        assert link['master'] == 'br0' and 'UP' in link['flags'], link


@case('reattach: a port that stays without a bridge goes down: it is an interface of the host, and no lock holds there')
def _(root):
    h = host(root, 'alice veth br0 1\n')
    with Container(root.alice) as a:
        nic = h.added(a)
        sh('ip', 'link', 'del', 'br0')
        assert reattach(root, '--dry-run').code == 1 and 'UP' in h.links()[nic['host']]['flags']
        assert reattach(root).code == 1 and 'UP' not in h.links()[nic['host']]['flags']
        Host.bridge('br0', '10.9.0.1/24')
        assert reattach(root).code == 0 and 'UP' in h.links()[nic['host']]['flags']


@case('guard: what a port without a bridge sends comes nowhere, with guard=no, too')
def _(root):
    h = host(root, 'alice veth br0 1 guard=no\n')
    with Container(root.alice) as a, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        nic = h.added(a)
        a.up('10.9.0.5/24')
        sh('ip', 'addr', 'replace', '198.51.100.2/32', 'dev', 'lo')
        server.bind(('198.51.100.2', 5353))
        server.settimeout(10)
        a.sh('ip route add 198.51.100.2 dev eth0')
        a.sh(f'ip neigh add 198.51.100.2 lladdr {h.links()[nic["host"]]["address"]} dev eth0')
        sh('ip', 'link', 'del', 'br0')

        def send(word):
            send_it = f'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"{word}", ("198.51.100.2", 5353))'
            subprocess.run(['nsenter', f'--net=/proc/{a.pid}/ns/net', sys.executable, '-c', send_it], check=True)
        send('before')
        assert server.recv(100) == b'before', 'a port without a bridge is an interface of the host'
        applied = root.run([root.program('userns-policy'), 'guard', '--apply'], ROOT)
        assert applied.code == 0, applied
        send('guarded')
        for family in ('inet', 'arp', 'bridge'):
            sh('nft', 'delete', 'table', family, 'userns_guard')
        send('after')
        assert server.recv(100) == b'after', 'it passed the guard'


@case('list --all: user, container, addresses, bytes each way and state, in lines and as JSON; root deletes any of them')
def _(root):
    h = host(root, 'alice veth br0 2 ip=10.9.0.16/28,fd09::10/124 gateway=10.9.0.1/24\nbob veth br0 1\n', guarded=True)
    front = root.program('lxc-user-nic')

    def listed(user=root.carol):
        return {n['host']: n for n in json.loads(root.run([front, 'list', '--all', '--json'], user).out)}
    with Container(root.alice) as a, Container(root.bob) as b:
        mine, other = h.added(a, 'br0', '--container', 'web'), h.added(b)
        for nic in (mine, other):
            assert listed()[nic['host']]['state'] == 'down inside'
        a.up(mine['addresses'][0])
        b.up('10.9.0.9/24')
        assert a.reaches('10.9.0.1')
        found = listed()
        assert set(found) == {mine['host'], other['host']}
        row = found[mine['host']]
        assert (row['user'], row['uid'], row['container'], row['bridge'], row['slot'], row['state'], row['mac']) == \
            ('alice', 70001, 'web', 'br0', 0, 'works', mine['mac']), row
        assert sorted(row['addresses']) == sorted(x.split('/')[0] for x in mine['addresses']), row
        assert found[other['host']]['addresses'] == [] and found[other['host']]['container'] == ''
        sent, received = row['sent'], row['received']
        a.sh('busybox ping -c 3 -s 1000 -i 0.1 10.9.0.1', code=None)
        later = listed()[mine['host']]
        # No more comes back than was sent, and what the container sent is on the side that says so.
        assert later['sent'] >= sent + 3000 and later['received'] >= received + 3000, (row, later)
        text = root.run([front, 'list', '--all'], root.carol).out
        assert f'{mine["host"]} user=alice container=web name=eth0 addresses=' in text and 'state=works' in text, text
        refused(root.run([front, 'list', '--all', '--all'], root.carol), 'NR-ARGS')
        refused(root.run([front, 'list', 'all'], root.carol), 'NR-ARGS')
        again('br0', '10.9.0.1/24')
        assert listed()[mine['host']]['state'] == 'no bridge' and listed()[mine['host']]['bridge'] == 'br0'
        for nic in (mine, other):
            refused(h.run(['del', nic['host']], root.carol), 'NR-DEL')
            assert h.run(['del', nic['host']], ROOT).code == 0
        assert h.ports() == []


@case('NR-MAC: hosts of one machine-id give other MAC addresses with another salt=; the same salt keeps them')
def _(root):
    def mac(lines):
        h = host(root, lines)
        with Container(root.alice) as a:
            return h.added(a, 'br0', '--container', 'web')['mac']
    plain, one, two = mac('alice veth br0 1\n'), mac('alice veth br0 1 salt=lab-1\n'), mac('alice veth br0 1 salt=lab-2\n')
    assert len({plain, one, two}) == 3 and mac('alice veth br0 1 salt=lab-1\n') == one and mac('alice veth br0 1\n') == plain
    h = host(root, 'alice veth br0 1 salt=\n')
    with Container(root.alice) as a:
        for bad in ('salt=', 'salt=a/b', 'salt=' + 'x' * 65, 'salt=a salt=b'):
            h.conf(f'alice veth br0 1 {bad}\n')
            refused(h.add(a), 'NC-LINE', 'salt=')


main()
