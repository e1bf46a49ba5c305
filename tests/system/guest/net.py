#!/usr/bin/env python3
"""In the booted guest: userns-net on the kernel that a stock Debian 12 has, with VLANs and an audit daemon. Nothing is timed."""

import json
import os
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import CLONE_NEWNET, CLONE_NEWNS, MS_PRIVATE, MS_REC, ROOT, User, case, main, mount, setns, spawn, unshare, wait_for  # noqa: E402
from net_host import Container, Host, refused, sh  # noqa: E402

ALICE, BOB = User('alice', 1000), User('bob', 1001)
POLICY = '/usr/local/bin/userns-policy'
SLOW = 120  # the guest's CPU is emulated
Container.PATIENCE = 8


class Installed:
    """What Host needs of a root: here the machine itself."""

    @staticmethod
    def program(name):
        return f'/usr/local/libexec/userns/{name}'

    @staticmethod
    def write(path, text, mode=0o644):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w') as file:
            file.write(text)
        os.chmod(path, mode)

    @staticmethod
    def run(argv, user, **how):
        return spawn(argv, user, **how).wait(SLOW)


_host = None


def host(conf):
    global _host
    if not _host:
        unshare(CLONE_NEWNS)
        mount(None, '/', None, MS_REC | MS_PRIVATE)
        _host = Host(Installed)
    _host.all_gone()
    _host.conf(conf)
    return _host


def audit_log():
    with open('/var/log/audit/audit.log', errors='replace') as file:
        return file.read()


@case('two users reach the bridge and each other, by ports that this kernel locked')
def _(root):
    h = host('alice veth br0 2\nbob veth br0 2\n')
    with Container(ALICE) as a, Container(BOB) as b:
        nic = h.added(a)
        h.added(b)
        assert h.links()[nic['host']]['linkinfo']['info_slave_data']['locked'], h.links()[nic['host']]
        a.up('10.9.0.2/24'), b.up('10.9.0.3/24')
        assert a.reaches('10.9.0.1') and a.reaches('10.9.0.3')


@case('NR-VLAN: a line\'s VLAN is the port\'s only one: its members meet, and nobody else')
def _(root):
    h = host('alice veth br6 4 vlan=30\nbob veth br6 4\nalice veth br0 1 vlan=30\n')
    h.bridge('br6', '10.7.0.1/24', 'vlan_filtering 1')
    with Container(ALICE) as a, Container(ALICE) as a2, Container(BOB) as b:
        refused(h.add(a, 'br0'), 'NR-VLAN', 'does not filter VLANs')
        nic = h.added(a, 'br6')
        h.added(a2, 'br6'), h.added(b, 'br6')
        for i, c in enumerate((a, a2, b), 2):
            c.up(f'10.7.0.{i}/24')
        vlans = json.loads(sh(f'bridge -j vlan show dev {nic["host"]}'))[0]['vlans']
        assert [v['vlan'] for v in vlans] == [30] and set(vlans[0]['flags']) == {'PVID', 'Egress Untagged'}, vlans
        assert a.reaches('10.7.0.3') and b.reaches('10.7.0.1')
        assert not a.reaches('10.7.0.4', tries=1) and not a.reaches('10.7.0.1', tries=1) and not b.reaches('10.7.0.2', tries=1)
        # Taking another's address does not help in a VLAN either.
        a2.sh('ip link set eth0 down')
        a2.sh(f'ip link set eth0 address {nic["mac"]}')
        a2.sh('ip link set eth0 up')
        assert not a2.reaches('10.7.0.2', tries=1) and a.interfaces()['eth0']['address'] == nic['mac']


def guard():
    done = Installed.run([POLICY, 'guard', '--apply'], ROOT)
    assert done.code == 0, done


def frames(name, seconds=5):
    ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    ear.bind((name, 0))
    ear.settimeout(seconds * 12)
    return ear


@case('tagged=30 on a bridge that filters VLANs: frames of that VLAN and no other leave with their tag, from the port\'s own address')
def _(root):
    h = host('alice veth br7 1 group=72 tagged=30\n')
    h.bridge('br7', '10.6.0.1/24', 'vlan_filtering 1')
    guard()
    sh('ip link add lan7 type veth peer name out7')
    for name in ('lan7', 'out7'):
        sh(f'ip link set {name} up')
    sh('ip link set lan7 master br7')
    for vid in (30, 31):
        sh(f'bridge vlan add dev lan7 vid {vid}')
    ear = frames('out7')
    with Container(ALICE) as c:
        nic = h.added(c, 'br7')
        c.sh('ip link set eth0 up')

        def tagged(vid, mark, mac=None):
            head = b'\xff' * 6 + bytes.fromhex((mac or nic['mac']).replace(':', ''))
            payload = mark.ljust(26, b'.')
            ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(payload), 7, 0, 64, 253, 0, bytes([10, 6, 0, 9]), bytes([10, 6, 0, 1]))
            return head + struct.pack('!HHH', 0x8100, vid, 0x800) + ip + payload
        attack, last = b'an attack of the test', b'the last of the test'
        own = os.open('/proc/self/ns/net', os.O_RDONLY)
        setns(c.netns, CLONE_NEWNET)
        out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        out.bind(('eth0', 0))
        setns(own, CLONE_NEWNET)
        for frame in (tagged(31, attack), tagged(30, attack, '02:11:22:33:44:55'), tagged(30, last)):
            out.send(frame)
        heard = []
        while not heard or last not in heard[-1]:
            heard.append(ear.recv(9000))
        assert not any(attack in frame for frame in heard), heard
        out.close()
        # A bridge that was made anew: VLANs are those of before.
        sh('ip link del br7')
        h.bridge('br7', '10.6.0.1/24', 'vlan_filtering 1')
        done = Installed.run([POLICY, 'reattach'], ROOT)
        assert done.code == 0 and 'is back on br7' in done.out, done
        vlans = json.loads(sh(f'bridge -j vlan show dev {nic["host"]}'))[0]['vlans']
        assert sorted(v['vlan'] for v in vlans) == [1, 30], vlans
    ear.close()


def nftables_starts_during_a_reload(run, mark):
    """What it flushes is loaded by another reload after this one, which is held at its end until nftables has started."""
    drop_in, held = '/proc/1/root/run/systemd/system/userns-net-guard.service.d', '/proc/1/root/run/held'
    os.makedirs(drop_in)
    with open(held, 'w'), open(drop_in + '/test.conf', 'w') as file:
        file.write("[Service]\nExecReload=/bin/sh -c 'while [ -e /run/held ]; do sleep 0.2; done'\n")
    run('systemctl daemon-reload')
    before = mark()
    with open('/proc/1/root/etc/userns/net.conf', 'w') as file:
        file.write('alice veth brg 1 ip=10.5.0.16/28 gateway=10.5.0.1/24\n')
    wait_for(lambda: mark() != before, 'the guard to be loaded after the change', SLOW)
    assert run('systemctl show -P ActiveState userns-net-guard.service').strip() == 'reloading'
    run('systemctl restart nftables.service')
    assert not mark()
    os.unlink(held)
    wait_for(lambda: mark(), 'the guard to be loaded after a start of nftables during its reload', SLOW)


@case('the guard\'s units under systemd: loaded at the start, again after a change of net.conf and whatever nftables does; flushed by hand it is closed')
def _(root):
    # In the guest's own network and mounts, where its systemd is.
    def run(command, code=0):
        return sh(*f'nsenter --target 1 --net --mount -- {command}'.split(), code=code)

    def mark():
        """What is loaded: [] if nothing is."""
        return [line.split()[1] for line in run('nft list table bridge userns_guard', code=None).splitlines() if line.strip().startswith('chain ')]
    os.makedirs('/proc/1/root/etc/userns', exist_ok=True)
    with open('/proc/1/root/etc/userns/net.conf', 'w') as file:
        file.write('alice veth brg 1 ip=10.5.0.16/28 gateway=10.5.0.1/24\n')
    run('ip link add brg type bridge')
    run('ip link set brg up')
    try:
        run('systemctl enable --now userns-net-guard.service userns-net-guard.path')
        before = mark()
        assert before, 'the guard is not loaded'
        assert run('userns-policy guard --check').startswith('the guard is loaded from what')
        with open('/proc/1/root/etc/userns/net.conf', 'a') as file:
            file.write('bob veth brg 1 ip=10.5.0.32/28 gateway=10.5.0.1/24\n')
        wait_for(lambda: mark() != before, 'the guard to be loaded again', SLOW)
        # Each of them flushes all rules: its first start, a restart, a reload.
        for verb in ('start', 'restart', 'reload', 'stop', 'start', 'stop'):
            run(f'systemctl {verb} nftables.service')
            wait_for(lambda: mark(), f'the guard to be loaded after the {verb} of nftables', SLOW)
        # By hand they are flushed by nobody that can be followed: closed, until the guard is loaded again.
        nic = '--map-self --net bridge=brg -- ip -4 -br addr show eth0'
        as_alice = f'setpriv --reuid {ALICE.uid} --regid {ALICE.gid} --clear-groups env HOME=/ /usr/local/bin/userns-run {nic}'
        assert '10.5.0.' in run(as_alice)
        run('nft flush ruleset')
        assert not mark()
        said = run(as_alice, code=125)
        assert '[NR-GUARD]' in said and 'userns-policy guard --apply' in said, said
        run('systemctl reload userns-net-guard.service')
        assert mark() and '10.5.0.' in run(as_alice)
        nftables_starts_during_a_reload(run, mark)
        wait_for(lambda: run('systemctl is-failed userns-net-guard.service', code=None).strip() == 'active', 'the last reload', SLOW)
    finally:
        run('systemctl disable --now userns-net-guard.service userns-net-guard.path')
        run('ip link del brg')


@case('rate= holds on this kernel what a port sends, and nothing of a port without one')
def _(root):
    h = host('alice veth br0 1 group=71 rate=800kbit\nbob veth br0 1\n')
    guard()
    sh('ip link add lan0 type veth peer name out0')
    for name in ('lan0', 'out0'):
        sh(f'ip link set {name} up')
    sh('ip link set lan0 master br0')
    with Container(ALICE) as a, Container(BOB) as b:
        passed = {}
        for c in (b, a):
            nic = h.added(c)
            c.sh('ip link set eth0 up')
            with open(f'/sys/class/net/{nic["host"]}/brport/state') as file:
                wait_for(lambda file=file: file.seek(0) == 0 and file.read() == '3\n', 'the port to forward', SLOW)
            ear = frames('out0')
            ear.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
            mac = bytes.fromhex(nic['mac'].replace(':', ''))
            payload = b'of the test'.ljust(1400, b'.')
            words = [0x4500, 20 + len(payload), 7, 0, 64 << 8 | 253, 0x0a09, 0x0009, 0x0a09, 0x00c8]
            total = sum(words)
            words.insert(5, ~(total + (total >> 16)) & 0xffff)  # a bridge that knows of iptables looks at it
            ip = struct.pack('!10H', *words)
            own = os.open('/proc/self/ns/net', os.O_RDONLY)
            setns(c.netns, CLONE_NEWNET)
            out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            out.bind(('eth0', 0))
            setns(own, CLONE_NEWNET)
            began = time.monotonic()
            for _ in range(400):
                out.send(b'\xff' * 6 + mac + b'\x08\0' + ip + payload)
            took = time.monotonic() - began
            # The bridge itself tells when all before it has passed.
            bell = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            bell.bind(('br0', 0))
            bell.send(b'\xff' * 6 + b'\x02\0\0\0\0\x01\x88\xb5' + b'the last of the test'.ljust(46, b'.'))
            heard, size = b'', 0
            while b'the last of the test' not in heard:
                heard = ear.recv(9000)
                size += len(heard) if heard[6:12] == mac else 0
            passed[c] = size, took
            for one in (out, bell, ear):
                one.close()
            os.close(own)
        assert passed[b][0] >= 400 * 1434, passed[b]
        size, took = passed[a]
        assert 60_000 < size <= 65_536 + 100_000 * (1 + took) + 2 * 1442, passed[a]
    sh('ip link del lan0')


@case('NR-PORT: a container that takes another\'s MAC reaches nobody')
def _(root):
    h = host('alice veth br0 2\nbob veth br0 2\n')
    with Container(ALICE) as victim, Container(BOB) as thief:
        nic = h.added(victim)
        h.added(thief)
        victim.up('10.9.0.2/24')
        thief.sh(f'ip link set eth0 address {nic["mac"]}')
        thief.up('10.9.0.3/24')
        assert not thief.reaches('10.9.0.1', tries=1) and victim.reaches('10.9.0.1')


@case('grants and refusals are in the audit log, with caller and rule')
def _(root):
    h = host('alice veth br0 1\n')
    with Container(ALICE) as a:
        h.added(a, 'br0', '--container', 'audited')
        refused(h.add(a, 'br0', '--container', 'audited'), 'NR-QUOTA')
        refused(h.add(a, 'br1', '--container', 'audited'), 'NR-POLICY')
    for rule, result in (('none', 'success'), ('NR-QUOTA', 'failed'), ('NR-POLICY', 'failed')):
        words = ('op=userns-net uid=1000 ', ' add ', ' container=audited ', f' rule={rule} ', f'res={result}')
        wait_for(lambda words=words: any(all(word in line for word in words) for line in audit_log().splitlines()),
                 f'{words} in the audit log', SLOW)


if __name__ == '__main__':
    main(need_root=False)
