#!/usr/bin/env python3
"""The guard: what ports may send, told by attacks of real containers on neighbours, host and LAN. Each attack is seen to do harm without it."""

import contextlib
import ipaddress
import json
import os
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from harness import CLONE_NEWNET, ROOT, case, cases, main, setns, skip, wait_for
from net_host import Container, Dhcp, Host, refused, sh

made = {}
ADDRESSED = 'ip=10.9.0.16/28,fd09::10/124 gateway=10.9.0.1/24,fd09::1/64 dns=10.9.0.1'
ALL = 'ff:ff:ff:ff:ff:ff'
MARK = b'an attack of the test'


@contextlib.contextmanager
def within(netns):
    own = os.open('/proc/self/ns/net', os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(netns, CLONE_NEWNET)
        yield
    finally:
        setns(own, CLONE_NEWNET)
        os.close(own)


class Lan:
    """A machine behind the bridge's uplink: a namespace without a process of its own, which the end of a case would end."""

    def __init__(self):
        with Container(ROOT, CLONE_NEWNET) as first:
            self.netns = os.open(f'/proc/{first.pid}/ns/net', os.O_RDONLY | os.O_CLOEXEC)
            sh(f'ip link add lan0 type veth peer name eth0 netns {first.pid}')
        sh('ip link set lan0 master br0 up')
        for words in ('link set lo up', 'link set eth0 up', 'addr add 10.9.0.200/24 dev eth0', 'addr add fd09::200/64 dev eth0 nodad'):
            self.sh(f'ip {words}')
        # An answer is believed at once, not only a second after the last one.
        for where, name in ((sh, 'br0'), (self.sh, 'eth0')):
            where(f'busybox sysctl -w net.ipv4.neigh.{name}.locktime=0')
        self.mac = json.loads(self.sh('ip -j link show eth0'))[0]['address']
        with within(self.netns):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self._socket.bind(('eth0', 0))
            self._socket.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
            self._socket.settimeout(10)

    def sh(self, command, code=0):
        with within(self.netns):
            return sh(command, code=code)

    def reaches(self, address):
        return any('bytes from' in self.sh(f'busybox ping -c 1 -W 1 {address}', code=None) for _ in range(3))

    def heard_from(self, mac):
        """How many frames of heard() that address sent: an answer quotes what it answers."""
        return sum(frame[6:12] == packed(mac) for frame in self.heard())

    def heard(self, piece=MARK):
        """The frames of since the last time that hold `piece`, up to two of the host's own that it sends now."""
        out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        out.bind(('br0', 0))
        frames = []
        for _ in range(2):
            last = packed(self.mac) + bytes(6) + b'\x88\xb5' + os.urandom(16)
            out.send(last.ljust(60, b'\0'))
            while not frames or not frames[-1].startswith(last[:6]) or last[14:] not in frames[-1]:
                frames.append(self._socket.recv(9000))
        out.close()
        return [frame for frame in frames if piece in frame]


def host(root, conf):
    """The test's host with the guard loaded from `conf`, and a machine on the LAN."""
    if 'host' not in made:
        made['host'] = Host(root)
        made['lan'] = Lan()
    made['host'].all_gone()
    made['host'].conf(conf)
    guard(root, '--apply')
    made['lan'].heard()
    return made['host'], made['lan']


def guard(root, *words, code=0):
    done = root.run([root.program('userns-policy'), 'guard', *words], ROOT)
    assert done.code == code, done
    return done.out


def packed(mac):
    return bytes.fromhex(mac.replace(':', ''))


def send(container, *frames, name='eth0'):
    with within(container.netns):
        out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        out.bind((name, 0))
        for frame in frames:
            out.send(frame.ljust(60, b'\0'))
        out.close()


def ethernet(to, source, kind, payload):
    return packed(to) + packed(source) + struct.pack('!H', kind) + payload


def checksum(data):
    data += b'\0' * (len(data) % 2)
    total = sum(struct.unpack(f'!{len(data) // 2}H', data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff


def ip4(source, to, protocol, payload):
    head = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(payload), 7, 0, 64, protocol, 0, socket.inet_aton(source), socket.inet_aton(to))
    return head[:10] + struct.pack('!H', checksum(head)) + head[12:] + payload


def udp(sport, dport, payload):
    return struct.pack('!HHHH', sport, dport, 8 + len(payload), 0) + payload


def ip6(source, to, protocol, payload, before=b''):
    """`before`: extension headers, whose first one's kind is `protocol`."""
    return struct.pack('!IHBB', 6 << 28, len(before + payload), protocol, 255) + \
        socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, to) + before + payload


def icmp6(source, to, kind, body, code=0):
    message = struct.pack('!BBH', kind, code, 0) + body
    pseudo = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, to) + struct.pack('!IxxxB', len(message), 58)
    return struct.pack('!BBH', kind, code, checksum(pseudo + message)) + body


def arp(operation, mac, address, to_mac='00:00:00:00:00:00', to='0.0.0.0'):
    return struct.pack('!HHBBH', 1, 0x800, 6, 4, operation) + packed(mac) + socket.inet_aton(address) + packed(to_mac) + socket.inet_aton(to)


def address_of(nic, family=4):
    return next(str(ipaddress.ip_interface(a).ip) for a in nic['addresses'] if ipaddress.ip_interface(a).version == family)


def link_local(mac):
    b = packed(mac)
    return str(ipaddress.IPv6Address(b'\xfe\x80' + bytes(6) + bytes([b[0] ^ 2, b[1], b[2], 0xff, 0xfe, b[3], b[4], b[5]])))


def added(h, c, *more):
    """A NIC that is up, with its addresses."""
    nic = h.added(c, 'br0', *more)
    c.sh('ip link set lo up')
    c.sh(f'ip link set {nic["name"]} up')
    for address in nic['addresses']:
        c.sh(f'ip addr add {address} dev {nic["name"]}' + (' nodad' if ':' in address else ''))
    wait_for(lambda: 'state UP' in c.sh('ip link show eth0'), 'the NIC to be up')
    with open(f'/sys/class/net/{nic["host"]}/brport/state') as file:
        wait_for(lambda: file.seek(0) == 0 and file.read() == '3\n', 'its port to forward')
    return nic


def neighbour(container, address):
    """The MAC address that a machine (None: the host) has for another's IP address."""
    where = sh if container is None else container.sh
    found = json.loads(where(f'ip -j neigh show {address}') or '[]')
    return next((n['lladdr'] for n in found if 'lladdr' in n), None)


# --- what works -----------------------------------------------------------------------------------

@case('a guarded container reaches gateway, neighbours and LAN, by IPv4 and IPv6, without a reload of the guard; MLD, ND and ARP work')
def _(root):
    h, lan = host(root, f'* veth br0 8 {ADDRESSED}\n')
    with Container(root.alice) as a, Container(root.bob) as b:
        nics = added(h, a), added(h, b)
        for own, c, other in ((nics[0], a, nics[1]), (nics[1], b, nics[0])):
            for to in ('10.9.0.1', 'fd09::1', '10.9.0.200', 'fd09::200', address_of(other), address_of(other, 6)):
                assert c.reaches(to), f'{own} does not reach {to}'
            assert lan.reaches(address_of(own)) and lan.reaches(address_of(own, 6))
        # The link-local address that the kernel inside makes is one's own, too.
        wait_for(lambda: 'bytes from' in a.sh(f'busybox ping -c 1 -W 1 {link_local(nics[1]["mac"])}%eth0', code=None), 'the link-local address', 20)


@case('a guarded container without ip= has a DHCP lease, and keeps its MAC address to itself')
def _(root):
    h, _ = host(root, 'alice veth br0 4 guard=yes\n')
    root.write(f'{root.tmp}/udhcpc', '#!/bin/sh\n[ "$1" = bound ] && ip addr add "$ip/24" dev eth0; exit 0\n', mode=0o755)
    with Dhcp(root), Container(root.alice) as c:
        added(h, c)
        c.sh(f'busybox udhcpc -f -q -n -t 10 -T 1 -i eth0 -s {root.tmp}/udhcpc')
        assert c.reaches('10.9.0.1') and c.reaches('10.9.0.200')


# --- closed without it ----------------------------------------------------------------------------

@case('NR-GUARD: lines with ip=, guard=yes or rate= give nothing while the guard is not loaded, unless they say guard=no')
def _(root):
    for settings in ('ip=10.9.0.16/28', 'guard=yes', 'group=7 rate=1mbit'):
        h, _ = host(root, f'alice veth br0 4 {settings}\n')
        with Container(root.alice) as c:
            h.added(c)
            sh('nft delete table bridge userns_guard')
            sh('nft add table inet userns_guard')  # of another family
            refused(h.add(c), 'NR-GUARD', 'userns-policy guard --apply')
            assert len(h.ports()) == 1
            sh('nft delete table inet userns_guard')
            h.conf(f'alice veth br0 4 {settings}\nalice veth br0 1\n')
            refused(h.add(c), 'NR-GUARD')
            if 'rate' not in settings:
                h.conf(f'alice veth br0 4 {settings.replace("guard=yes", "")} guard=no\n')
                h.added(c)
            h.conf('alice veth br0 4\n')
            h.added(c)


@case('guard --check says whether it is loaded, from which lines, and what it holds; --print loads; a malformed file changes nothing')
def _(root):
    h, _ = host(root, f'alice veth br0 4 {ADDRESSED}\n')
    assert 'alice: frames of hosts only, from one MAC address and its IP addresses' in guard(root, '--check')
    h.conf(f'alice veth br0 4 {ADDRESSED}\nbob veth br0 1 guard=no group=9\n')
    assert 'bob: not guarded' in guard(root, '--check', code=1)
    text = guard(root)
    root.write(f'{root.tmp}/guard.nft', text)
    sh(f'nft -f {root.tmp}/guard.nft')
    guard(root, '--check')
    h.conf('alice veth br0 4 ip=here\n')
    done = root.run([root.program('userns-policy'), 'guard', '--apply'], ROOT)
    assert done.code == 125 and 'net.conf:1:' in done.err, done
    h.conf(f'alice veth br0 4 {ADDRESSED}\nbob veth br0 1 guard=no group=9\n')
    guard(root, '--check')
    sh('nft delete table bridge userns_guard')
    assert 'is not loaded' in guard(root, '--check', code=2)
    assert root.run([root.program('userns-policy'), 'guard', '--check'], root.alice).code == 125


@case('a line that came after the guard was loaded gives too little, not too much; loaded again it works')
def _(root):
    h, lan = host(root, 'alice veth br0 4\n')
    h.conf(f'alice veth br0 4 {ADDRESSED}\n')
    with Container(root.alice) as c:
        nic = added(h, c)
        assert not c.reaches('10.9.0.1', tries=1)
        guard(root, '--apply')
        assert c.reaches('10.9.0.1')
        h.conf('')
        guard(root, '--apply')
        send(c, ethernet(ALL, nic['mac'], 0x88cc, MARK))
        assert not lan.heard() and not c.reaches('10.9.0.1', tries=1)


# --- the attacks ----------------------------------------------------------------------------------

def hidden(kind):
    """Options that fill a fragment; the header that follows them is in the next one."""
    return struct.pack('!BBBB', kind, 3, 1, 28) + MARK.ljust(28, b'\0')


def frames_of(nic, victim):
    """{what: frames}: each must not be heard on the LAN. What a port without ip= may not send either is marked with a *."""
    mac, own, own6 = nic['mac'], address_of(nic), address_of(nic, 6)
    local = link_local(mac)

    def v4(payload, source=own, to='10.9.0.200'):
        return ethernet(ALL, mac, 0x800, ip4(source, to, *payload))

    def v6(protocol, payload, source=own6, to='ff02::1', before=b''):
        return ethernet('33:33:00:00:00:01', mac, 0x86dd, ip6(source, to, protocol, payload, before))

    def from_there(*sources):
        """By UDP and by TCP: the guard has a shorter way for what is of TCP."""
        segment = struct.pack('!HHIIBBHHH', 5, 5, 1, 0, 0x50, 2, 1000, 0, 0) + MARK
        return [frame for source in sources for frame in (
            (v6(17, udp(5, 5, MARK), source), v6(6, segment, source)) if ':' in source else
            (v4((17, udp(5, 5, MARK)), source), v4((6, segment), source)))]

    advert = struct.pack('!BBHII', 64, 0, 1800, 0, 0) + MARK.ljust(24, b'\0')
    solicited = struct.pack('!I', 0x20000000)
    target = {name: socket.inet_pton(socket.AF_INET6, a) for name, a in (('victim', address_of(victim, 6)), ('gateway', 'fd09::1'))}
    router = icmp6(local, 'ff02::1', 134, advert)
    query = icmp6(local, 'ff02::1', 130, struct.pack('!HH', 1, 0) + bytes(16) + MARK)
    alert = b'\x3a\0\x05\x02\0\0\x01\0'
    frames = {
        '* a BPDU': [packed('01:80:c2:00:00:00') + packed(mac) + struct.pack('!H', 3 + 35) + b'\x42\x42\x03' + MARK],
        '* TCP from its own address to a reserved group': [packed('01:80:c2:00:00:00') + frame[6:] for frame in from_there(own, own6)],
        '* frames with a tag': [ethernet(ALL, mac, 0x8100, struct.pack('!HH', 30, 0x800) + ip4(own, '10.9.0.200', 17, udp(5, 5, MARK)))],
        '* frames with a tag of a provider': [ethernet(ALL, mac, 0x88a8, struct.pack('!HH', 30, 0x800) + ip4(own, '10.9.0.200', 17, udp(5, 5, MARK)))],
        '* frames of priority alone': [ethernet(ALL, mac, 0x8100, struct.pack('!HH', 0xe000, 0x800) + ip4(own, '10.9.0.200', 17, udp(5, 5, MARK)))],
        '* other EtherTypes': [ethernet(ALL, mac, kind, MARK) for kind in (0x88cc, 0x888e, 0x8863, 0x8847, 0x1234)],
        '* a router advertisement': [v6(58, router, local)],
        '* a router advertisement behind options': [v6(60, router, local, before=b'\x3a\0\x01\x04\0\0\0\0')],
        '* a router advertisement in a fragment': [v6(44, router, local, before=b'\x3a\0' + struct.pack('!HI', 1, 77))],
        '* a first fragment without the header that tells': [
            v6(44, hidden(kind), local, before=b'\x3c\0' + struct.pack('!HI', 1, 78)) for kind in (58, 17)],
        '* a redirect': [v6(58, icmp6(local, 'ff02::1', 137, bytes(36) + MARK), local)],
        '* an MLD query': [v6(0, query, local, before=alert)],
        '* an MLD query without its alert': [v6(58, query, local)],
        '* an IGMP query': [v4((2, struct.pack('!BBHI', 0x11, 1, 0, 0) + MARK), to='224.0.0.1')],
        '* a DHCP server\'s reply': [v4((17, udp(67, 68, MARK)), to='255.255.255.255'), v4((17, udp(4067, 68, MARK)), to='255.255.255.255')],
        '* a DHCPv6 server\'s reply': [v6(17, udp(547, 546, MARK)), v6(17, udp(4547, 546, MARK))],
        '* words of routers (VRRP, OSPF, PIM)': [v4((kind, MARK), to='224.0.0.18') for kind in (112, 89, 103)],
        '* the address of the gateway': from_there('10.9.0.1', 'fd09::1'),
        '* the address of a neighbour': from_there(address_of(victim), address_of(victim, 6)),
        'an address of nobody\'s': from_there('192.0.2.7', '2001:db8::7'),
        'a neighbour\'s link-local address': from_there(link_local(victim['mac'])),
        'requests for a lease, though it has an address': [v4((17, udp(68, 67, MARK)), '0.0.0.0', '255.255.255.255'), v4((17, udp(68, 67, MARK)))],
        'a probe that keeps a neighbour from his address': [v6(58, icmp6('::', 'ff02::1', 135, bytes(4) + target['victim'] + MARK), '::')],
    }
    for name, whose in target.items():
        frames[f'* an answer for the {name}\'s IPv6 address'] = [v6(58, icmp6(own6, 'ff02::1', 136, solicited + whose + MARK))]
    return frames


NAMES = {'mac': '56:75:0a:09:00:10', 'addresses': ['10.9.0.16/24', 'fd09::10/64']}


@cases([(f'{what.removeprefix("* ")}: not from a guarded port', what) for what in frames_of(NAMES, NAMES)])
def _(root, what):
    h, lan = host(root, f'alice veth br0 8 {ADDRESSED}\nbob veth br0 1 ip=10.9.0.32/28,fd09::20/124 gateway=10.9.0.1/24,fd09::1/64 guard=no\n'
                        f'carol veth br0 1 guard=yes\n')
    with Container(root.alice) as a, Container(root.bob) as b, Container(root.alice) as v, Container(root.carol) as c:
        victim, guarded, free, plain = added(h, v), added(h, a), added(h, b), added(h, c)
        send(b, *frames_of(free, victim)[what])
        heard = lan.heard()
        assert len(heard) == len(frames_of(free, victim)[what]), f'without the guard: {heard}'
        frames = frames_of(guarded, victim)[what]
        send(a, *frames)
        assert lan.heard() == [], 'heard from a guarded port'
        if what.startswith('* '):
            plain['addresses'] = ['10.9.0.150/24', 'fd09::150/64']
            send(c, *frames_of(plain, victim)[what])
            assert lan.heard() == [], 'heard from a guarded port without an address'


@case('ARP for the gateway or a neighbour, in each form, moves nobody; nor does ARP that lies about its sender\'s MAC address')
def _(root):
    h, lan = host(root, f'alice veth br0 8 {ADDRESSED}\nbob veth br0 1 ip=10.9.0.32/28,fd09::20/124 guard=no\ncarol veth br0 1 guard=yes\n')
    with Container(root.alice) as a, Container(root.bob) as b, Container(root.alice) as v, Container(root.carol) as c:
        victim, guarded, free, plain = added(h, v), added(h, a), added(h, b), added(h, c)
        c.sh('ip addr add 10.9.0.150/24 dev eth0')
        bridge = h.links()['br0']['address']
        truth = {'10.9.0.1': bridge, address_of(victim): victim['mac']}

        def learn():
            for machine in (None, lan):
                for address in truth:
                    if machine is not None or address != '10.9.0.1':
                        (sh if machine is None else machine.sh)(f'ip neigh replace {address} lladdr {truth[address]} dev {"br0" if machine is None else "eth0"} nud stale')

        def claims(mac, address, said):
            return [ethernet(ALL, mac, 0x806, arp(1, said, address, to=address)), ethernet(ALL, mac, 0x806, arp(2, said, address, ALL, address)),
                    ethernet(lan.mac, mac, 0x806, arp(2, said, address, lan.mac, '10.9.0.200')),
                    ethernet(ALL, mac, 0x806, arp(1, said, address, to='10.9.0.200')), ethernet(ALL, mac, 0x806, arp(1, said, address, to='10.9.0.1'))]

        def believed():
            lan.heard()
            return {(machine is None, address): neighbour(machine, address) for machine in (None, lan) for address in truth
                    if machine is not None or address != '10.9.0.1'}
        learn()
        right = believed()
        for address in truth:
            learn()
            send(b, *claims(free['mac'], address, free['mac']))
            assert believed() != right, f'ARP for {address} does no harm even without the guard'
            for box, nic in ((a, guarded), (c, plain)):
                learn()
                send(box, *claims(nic['mac'], address, nic['mac']))
                assert believed() == right, (address, believed())
        # Its own address at another's MAC address.
        for box, nic, own in ((a, guarded, address_of(guarded)), (c, plain, '10.9.0.150')):
            lan.sh('ip neigh flush dev eth0')
            assert lan.reaches(own)
            send(box, *claims(nic['mac'], own, victim['mac']))
            lan.heard()
            assert neighbour(lan, own) == nic['mac'], neighbour(lan, own)
    sh('ip neigh flush dev br0')
    lan.sh('ip neigh flush dev eth0')


@case('a router advertisement gives neither the host nor the LAN a default route; without the guard it does')
def _(root):
    h, lan = host(root, f'alice veth br0 8 {ADDRESSED}\nbob veth br0 1 ip=10.9.0.32/28 guard=no\n')
    def accept(name):
        with open(f'/proc/sys/net/ipv6/conf/{name}/accept_ra', 'w') as file:
            file.write('2')
    accept('br0')
    with within(lan.netns):
        accept('eth0')

    def routes():
        lan.heard()
        return sh('ip -6 route show default'), lan.sh('ip -6 route show default')

    def advert(nic):
        local = link_local(nic['mac'])
        return ethernet('33:33:00:00:00:01', nic['mac'], 0x86dd,
                        ip6(local, 'ff02::1', 58, icmp6(local, 'ff02::1', 134, struct.pack('!BBHII', 64, 0, 1800, 0, 0))))
    with Container(root.alice) as a, Container(root.bob) as b:
        guarded, free = added(h, a), added(h, b)
        send(a, advert(guarded))
        assert routes() == ('', '')
        send(b, advert(free))
        assert all('default via fe80' in found for found in routes()), routes()
        for where in (sh, lan.sh):
            where('ip -6 route flush default')


@case('frames to reserved groups do not reach the host\'s own stack; without the guard they do')
def _(root):
    h, lan = host(root, f'alice veth br0 8 {ADDRESSED}\nbob veth br0 1 ip=10.9.0.32/28,fd09::20/124 guard=no\n')
    ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ear.bind(('10.9.0.1', 0))
    ear.setblocking(False)

    def heard():
        lan.heard()
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(ear.recv(100))
        return found
    with Container(root.alice) as a, Container(root.bob) as b:
        guarded, free = added(h, a), added(h, b)

        def knock(nic):
            return [ethernet(f'01:80:c2:00:00:{last:02x}', nic['mac'], 0x800, ip4(address_of(nic), '10.9.0.1', 17, udp(5, ear.getsockname()[1], MARK)))
                    for last in range(16)]
        assert b.reaches('10.9.0.1') and a.reaches('10.9.0.1')
        send(b, *knock(free))
        assert MARK in heard()
        send(a, *knock(guarded))
        assert heard() == []
    ear.close()


@case('DHCP requests with random or a neighbour\'s hardware address take no lease; without the guard they do')
def _(root):
    h, lan = host(root, 'alice veth br0 2 guard=yes\nbob veth br0 1 guard=no\n')

    def discover(nic, hardware):
        message = struct.pack('!BBBBIHH', 1, 1, 6, 0, 0x1234, 0, 0x8000) + bytes(16) + packed(hardware) + bytes(10 + 192) + \
            b'\x63\x82\x53\x63\x35\x01\x01\xff'
        return ethernet(ALL, nic['mac'], 0x800, ip4('0.0.0.0', '255.255.255.255', 17, udp(68, 67, message.ljust(300, b'\0'))))
    strangers = [f'02:de:ad:00:00:{i:02x}' for i in range(30)]
    with Dhcp(root) as server, Container(root.alice) as a, Container(root.bob) as b:
        guarded, free = added(h, a), added(h, b)

        def asked(hardware):
            return f'DHCPDISCOVER(br0) {hardware}' in open(f'{root.tmp}/dnsmasq.log').read()
        wait_for(lambda: 'DHCP, IP range' in open(f'{root.tmp}/dnsmasq.log').read(), 'the server')
        send(a, *[discover(guarded, mac) for mac in strangers[:20]], discover(guarded, guarded['mac']))
        wait_for(lambda: asked(guarded['mac']), 'the request with its own address')  # it came last
        assert not any(map(asked, strangers)), server.said()
        send(b, discover(free, strangers[29]))
        wait_for(lambda: asked(strangers[29]), 'the request of a port without a guard')


@case('no port is a multicast router, and no host end makes itself an address, guarded or not')
def _(root):
    h, _ = host(root, f'alice veth br0 8 {ADDRESSED}\nbob veth br0 1\n')
    with Container(root.alice) as a, Container(root.bob) as b:
        for c in (a, b):
            nic = added(h, c)
            local = link_local(nic['mac'])
            query = icmp6(local, 'ff02::1', 130, struct.pack('!HH', 1, 0) + bytes(16))
            send(c, *[ethernet('33:33:00:00:00:01', nic['mac'], 0x86dd, ip6(local, 'ff02::1', 0, query, b'\x3a\0\x05\x02\0\0\x01\0'))] * 2)
            made['lan'].heard()
            with open(f'/sys/class/net/{nic["host"]}/brport/multicast_router') as file:
                assert file.read().strip() == '0'
            assert not any(nic['host'] in line for line in sh('bridge -d mdb show').splitlines() if line.startswith('router'))
            assert 'inet6' not in sh(f'ip addr show {nic["host"]}')


# --- what lines add -------------------------------------------------------------------------------

@case('NR-GUARD: a kernel that cannot be asked for the guard gives nothing, and is said to be the reason')
def _(root):
    h, _ = host(root, 'alice veth br0 1 guard=yes\n')
    with Container(root.alice) as a:
        log = f'{root.tmp}/sockets'
        add = ['/usr/bin/setpriv', '--reuid', f'{root.alice.uid}', '--regid', f'{root.alice.gid}', '--clear-groups', '--',
               h.helper, 'add', '--netns', f'pid:{a.pid}', '--bridge', 'br0']
        strace = ['/usr/bin/strace', '-f', '-qq', '-o', log]
        assert root.run([*strace, '-e', 'trace=socket', *add], ROOT).code == 0
        with open(log) as file:
            (number,) = [i for i, line in enumerate(filter(lambda one: 'socket(' in one, file), 1) if 'NETLINK_NETFILTER' in line]
        h.run(['del', *h.ports()], root.alice)
        refused(root.run([*strace, '-e', f'inject=socket:error=EPROTONOSUPPORT:syscall=getpid:when={number}', *add], ROOT),
                'NR-GUARD', 'cannot see whether the guard is loaded')
        assert h.ports() == []


@case('rate= holds what a port sends and what it gets, each for itself')
def _(root):
    h, lan = host(root, 'alice veth br0 1 group=71 rate=800kbit\nbob veth br0 1\n')
    with Container(root.alice) as a, Container(root.bob) as b:
        nics = {a: added(h, a), b: added(h, b)}
        payload = MARK.ljust(1400, b'\0')

        def passed(c):
            began = time.monotonic()
            send(c, *[ethernet(lan.mac, nics[c]['mac'], 0x800, ip4('10.9.0.150', '10.9.0.200', 17, udp(5, 5, payload)))] * 400)
            return lan.heard_from(nics[c]['mac']) * 1442, time.monotonic() - began
        size, seconds = passed(b)
        assert size > 500_000, 'an unlimited port does not even'
        size, seconds = passed(a)
        assert 100_000 < size <= 65_536 + 100_000 * (1 + seconds) + 2 * 1442, (size, seconds)
        # To it.
        with within(a.netns):
            ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            ear.bind(('eth0', 0))
            ear.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
            ear.setblocking(False)
        began = time.monotonic()
        send(lan, *[ethernet(nics[a]['mac'], lan.mac, 0x800, ip4('10.9.0.200', '10.9.0.150', 17, udp(5, 5, payload)))] * 400)
        got = []

        def came():
            with contextlib.suppress(BlockingIOError):
                while True:
                    got.append(len(ear.recv(9000)))
            return sum(got) > 100_000
        wait_for(came, 'what the rate lets through')
        lan.heard()
        came()
        size = sum(got)
        ear.close()
        assert 100_000 < size <= 65_536 + 100_000 * (1 + time.monotonic() - began) + 4 * 1442, size


@case('rate= holds over a NIC that is removed and made again, and where many ports of others have a meter')
def _(root):
    h, lan = host(root, 'alice veth br0 1 group=71 rate=800kbit\nbob veth br0 1\n')
    sh('nft', 'add element bridge userns_guard iif71 { ' + ', '.join(f'"p{n}"' for n in range(4096)) + ' }')
    payload = MARK.ljust(1400, b'\0')  # 1428 with its headers; the frame's own is not counted
    began, size = time.monotonic(), 0
    with Container(root.alice) as a:
        for _ in range(4):
            nic = added(h, a)
            send(a, *[ethernet(lan.mac, nic['mac'], 0x800, ip4('10.9.0.150', '10.9.0.200', 17, udp(5, 5, payload)))] * 400)
            size += lan.heard_from(nic['mac']) * 1428
            assert h.run(['del', nic['host']], root.alice).code == 0
    assert 100_000 < size <= 65_536 + 100_000 * (1 + time.monotonic() - began) + 4 * 1428, size


@cases([(f'group= that lines share: {what}', *rest) for what, *rest in (
    ('guard=no takes no port of a line with ip= out of the guard', f'alice veth br0 1 {ADDRESSED} group=9\nbob veth br0 1 guard=no group=9\n'),
    ('nor does the group that such lines have of their own', f'alice veth br0 1 {ADDRESSED} group=30062\n'),
    ('spoof=allow lets nobody else be another', 'alice veth br0 1 group=9\nbob veth br0 1 spoof=allow group=9\n'))])
def _(root, conf):
    h, lan = host(root, conf)
    with Container(root.alice) as a:
        nic = added(h, a)
        own = nic['addresses'][0].split('/')[0] if nic['addresses'] else '10.9.0.150'
        for mac, heard in (('02:11:22:33:44:55', 0), (nic['mac'], 1)):
            send(a, ethernet(ALL, nic['mac'], 0x806, arp(1, mac, own, to='10.9.0.200') + MARK))
            assert lan.heard_from(nic['mac']) == heard, mac


@case('group= that lines share: the lowest rate= holds')
def _(root):
    h, lan = host(root, 'alice veth br0 1 group=71 rate=1600kbit\nbob veth br0 1 group=71 rate=80mbit\n')
    with Container(root.alice) as a:
        nic = added(h, a)
        began = time.monotonic()
        send(a, *[ethernet(lan.mac, nic['mac'], 0x800, ip4('10.9.0.150', '10.9.0.200', 17, udp(5, 5, MARK.ljust(1400, b'\0'))))] * 800)
        size = lan.heard_from(nic['mac']) * 1428
        assert 100_000 < size <= 65_536 + 200_000 * (1 + time.monotonic() - began) + 1428, size


@case('macs=2: the port sends from its own and two more addresses, which the answer names, and from no other')
def _(root):
    h, lan = host(root, 'alice veth br0 2 macs=2\nalice veth br1 4 macs=15\n')
    with Container(root.alice) as c:
        nic = added(h, c, '--container', 'vm')
        assert len({nic['mac'], *nic['macs']}) == 3, nic
        for mac in (nic['mac'], *nic['macs']):
            send(c, ethernet(ALL, mac, 0x800, ip4('10.9.0.150', '10.9.0.200', 17, udp(5, 5, MARK))))
            assert len(lan.heard()) == 1, mac
        for mac in ('02:11:22:33:44:55', nic['mac'][:-2] + f'{int(nic["mac"][-2:], 16) ^ 1:02x}'):
            send(c, ethernet(ALL, mac, 0x800, ip4('10.9.0.150', '10.9.0.200', 17, udp(5, 5, MARK))))
            assert lan.heard() == [], mac
        every = [mac for _ in range(4) for n in [h.added(c, 'br1')] for mac in (n['mac'], *n['macs'])]
        assert len(set(every)) == 64, every


@case('tagged=30: frames of that VLAN and no other leave with their tag, from the port\'s own address')
def _(root):
    h, lan = host(root, 'alice veth brv 1 group=72 tagged=30\n')
    if 'brv' not in h.links():
        if subprocess.run(['ip', 'link', 'add', 'brv', 'type', 'bridge', 'vlan_filtering', '1'], capture_output=True).returncode:
            skip('bridges of this kernel do not filter VLANs')
        sh('ip link del brv')
        h.bridge('brv', None, 'vlan_filtering 1')
        sh('ip link add vlan-lan type veth peer name vlan-out')
        for name in ('vlan-lan', 'vlan-out'):
            sh(f'ip link set {name} up')
        sh('ip link set vlan-lan master brv')
        for vid in (30, 31):
            sh(f'bridge vlan add dev vlan-lan vid {vid}')
    ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    ear.bind(('vlan-out', 0))
    ear.settimeout(5)
    with Container(root.alice) as c:
        nic = h.added(c, 'brv')
        c.sh('ip link set eth0 up')

        def tagged(vid, mark, mac=None):
            return ethernet(ALL, mac or nic['mac'], 0x8100, struct.pack('!HH', vid, 0x800) + ip4('10.9.0.150', '10.9.0.200', 17, udp(5, 5, mark)))
        send(c, tagged(31, MARK), tagged(30, MARK, '02:11:22:33:44:55'), ethernet(ALL, nic['mac'], 0x8100, struct.pack('!HHHH', 30, 0x8100, 7, 0x800) + MARK),
             tagged(30, b'the last'))
        heard = []
        while not heard or b'the last' not in heard[-1]:
            heard.append(ear.recv(9000))
        assert not any(MARK in frame for frame in heard), heard
    ear.close()


@cases([(f'NC-LINE: {settings} is refused', settings) for settings in (
    'guard=maybe', 'group=0', 'group=2147483648', 'rate=100', 'rate=0mbit group=1', 'rate=1mbit', 'tagged=30', 'tagged=30 group=1 guard=no', 'tagged=0 group=1',
    'tagged=30, group=1', 'macs=0', 'macs=16', 'macs=2 ip=10.9.0.0/28')])
def _(root, settings):
    h, _ = host(root, '')
    h.conf(f'bob veth br1 1\nalice veth br0 1 {settings}\n')
    with Container(root.alice) as c:
        refused(h.add(c), 'NC-LINE', 'net.conf:2:')


if __name__ == '__main__':
    main()
