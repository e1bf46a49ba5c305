#!/usr/bin/env python3
"""Named containers with a NIC on a bridge: what they keep over their lives, what is left of them, what list says, and DHCP."""

import json
import os
import re
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from boot_trees import busybox  # noqa: E402
from container import FIRST, fails, well  # noqa: E402
from leased import facts, inside, lease_of, mac_of  # noqa: E402
from named import IDLE, Store, alive, await_log  # noqa: E402
from harness import CLONE_NEWNET, ROOT, case, cases, main, setns, wait_for  # noqa: E402
from net_host import Dhcp, Host, sh  # noqa: E402

made = {}
BRIDGE = 'net = bridge=br0'


def host(root, conf='alice veth br0 8\n'):
    if 'host' not in made:
        made['host'] = Host(root)
    made['host'].all_gone()
    made['host'].conf(conf)
    return made['host']


def port_state(port):
    (link,) = json.loads(sh(f'ip -j -d link show dev {port}'))
    return link['linkinfo']['info_slave_data']['state']


def send_inside(pid, frame):
    netns = os.open(f'/proc/{pid}/ns/net', os.O_RDONLY | os.O_CLOEXEC)
    own = os.open('/proc/self/ns/net', os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(netns, CLONE_NEWNET)
        out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        out.bind(('eth0', 0))
        out.send(frame.ljust(60, b'\0'))
        out.close()
    finally:
        setns(own, CLONE_NEWNET)
        os.close(netns)
        os.close(own)


def row(store, name, *more):
    """{heading: value} of the line of `name` in list's table; None where it is not listed."""
    lines = well(store.do('list', *more)).out.splitlines()
    if not lines:
        return None
    starts = [(found.group(), found.start()) for found in re.finditer(r'\S+', lines[0])]
    ends = [start for _, start in starts[1:]] + [None]
    rows = [{head: line[start:end].strip() for (head, start), end in zip(starts, ends)} for line in lines[1:]]
    return next((found for found in rows if found['NAME'] == name), None)


# --- what it keeps ------------------------------------------------------------------------------

@case('a stopped container has no NIC; after restart, stop and start it has its NIC again, with its MAC and address, in a quota of one')
def _(root):
    h = host(root, 'alice veth br0 1\n')
    store = Store(root)
    store.make('web', IDLE, f'{BRIDGE},address=10.9.0.20/24,gateway=10.9.0.1')
    store.make('other', IDLE, BRIDGE)
    seen = []
    for verb in ('start', 'restart', 'stop', 'start'):
        well(store.do(verb, 'web'))
        if verb == 'stop':
            h.all_gone()
            continue
        (port,) = h.ports()
        link = h.links()[port]
        assert link['master'] == 'br0' and 'container=web name=eth0' in link['ifalias'], link
        seen.append(mac_of(store, 'web'))
        assert '64 bytes from 10.9.0.1' in inside(store, 'web', '/bin/busybox', 'ping', '-c1', '-W5', '10.9.0.1')
        fails(store.do('start', 'other'), '[NR-QUOTA]')
    assert len(set(seen)) == 1, seen
    well(store.do('stop', 'web'))
    well(store.do('start', 'other'))
    assert mac_of(store, 'other') != seen[0], 'two containers have the same MAC address'
    well(store.do('stop', 'other'))
    h.all_gone()


@case('a NIC that the config names has the MAC, MTU and name of the config, in each life')
def _(root):
    h = host(root, 'alice veth br0 2 mac=any\n')
    store = Store(root)
    store.make('web', IDLE, f'{BRIDGE},name=lan0,mac=02:00:00:00:00:09,mtu=1400', BRIDGE)
    for verb in ('start', 'restart'):
        well(store.do(verb, 'web'))
        nics = {name: inside(store, 'web', 'cat', f'/sys/class/net/{name}/address', f'/sys/class/net/{name}/mtu').split()
                for name in inside(store, 'web', 'ls', '/sys/class/net').split() if name != 'lo'}
        assert len(nics) == 2 and nics['lan0'] == ['02:00:00:00:00:09', '1400'], nics
        assert len(h.ports()) == 2
    well(store.do('stop', 'web'))
    h.all_gone()


@cases([(f'after kill -9 of {words} the NIC is gone, its quota is free, and a start has the same MAC again', who)
        for words, who in (('its monitor', 'monitor'), ('its first process', 'init'))])
def _(root, who):
    h = host(root, 'alice veth br0 1\n')
    store = Store(root)
    store.make('web', IDLE, BRIDGE)
    well(store.do('start', 'web'))
    await_log(store, 'web', 'up')
    mac, state = mac_of(store, 'web'), store.state('web')
    os.kill(state[who]['pid'], signal.SIGKILL)
    h.all_gone()
    wait_for(lambda: not alive(state['monitor']['pid']) and not alive(state['init']['pid']), 'both to be gone')
    assert row(store, 'web')['STATE'] == 'stopped'
    well(store.do('start', 'web'))  # which the quota allows
    assert mac_of(store, 'web') == mac and len(h.ports()) == 1
    well(store.do('stop', 'web'))
    h.all_gone()


@case('restarted because it failed, it has a NIC again: the same one')
def _(root):
    h = host(root, 'alice veth br0 1\n')
    store = Store(root)
    store.make('web', BRIDGE, 'restart = on-failure:2')
    well(store.do('start', 'web', command=['sh', '-c', 'cat /sys/class/net/eth0/address; sleep 0.1; exit 9']))
    well(store.do('wait', 'web', timeout=60), 9)
    macs = store.log('web').split()
    assert len(macs) == 3 and len(set(macs)) == 1, store.log('web')
    h.all_gone()


@case('rebooted from inside it has a NIC again: the same one, within a quota of one')
def _(root):
    h = host(root, 'alice veth br0 1\n')
    store = Store(root)
    store.make('box', f'{BRIDGE},address=10.9.0.30/24', 'boot = yes', tree=busybox(root))
    well(store.do('start', 'box'))
    await_log(store, 'box', 'begun')
    mac, (first,) = mac_of(store, 'box'), h.ports()
    index = h.links()[first]['ifindex']
    store.do('exec', 'box', command=['reboot'])
    wait_for(lambda: (s := store.state('box')) and s['restarts'] == 1, 'it to be started again', 60)
    wait_for(lambda: store.log('box').count(b'begun') == 2, 'its second life', 60)
    assert mac_of(store, 'box') == mac and len(h.ports()) == 1 and h.links()[h.ports()[0]]['ifindex'] != index
    assert facts(store, 'box')['addresses'] == ['10.9.0.30']
    well(store.do('stop', 'box'))
    h.all_gone()


# --- addresses of net.conf -----------------------------------------------------------------------

ADDRESSED = 'alice veth br0 4 ip=10.9.0.16/28,fd09::10/124 gateway=10.9.0.1/24,fd09::1/64 dns=10.9.0.1,fd09::1 mtu=1400 guard=no\n'


@case('a NIC with an address of net.conf works without DHCP; resolv.conf and hosts inside, list and info tell it; it stays over restarts')
def _(root):
    h = host(root, ADDRESSED)
    store = Store(root)
    store.make('web', IDLE, BRIDGE)
    store.make('db', IDLE, BRIDGE)
    seen = []
    for verb in ('start', 'restart', 'stop', 'start'):
        well(store.do(verb, 'web'))
        if verb == 'stop':
            h.all_gone()
            continue
        (port,) = h.ports()
        names = sorted(name.removeprefix('userns-') for name in h.links()[port]['altnames'])
        assert sorted(facts(store, 'web')['addresses']) == names and len(names) == 2, (names, facts(store, 'web'))
        assert all(name in row(store, 'web')['ADDRESS'] for name in names), row(store, 'web')
        seen.append(tuple(names))
        for gateway in ('10.9.0.1', 'fd09::1'):
            assert '64 bytes from ' in inside(store, 'web', '/bin/busybox', 'ping', '-c1', '-W5', gateway)
        assert 'via 10.9.0.1' in inside(store, 'web', '/bin/busybox', 'ip', 'route')
        servers = inside(store, 'web', '/bin/busybox', 'cat', '/etc/resolv.conf').splitlines()
        assert [line for line in servers if not line.startswith('#')] == ['nameserver 10.9.0.1', 'nameserver fd09::1'], servers
        known = inside(store, 'web', '/bin/busybox', 'cat', '/etc/hosts')
        assert all(f'{name}\tweb' in known for name in names) and 'localhost' in known, known
        assert inside(store, 'web', '/bin/busybox', 'cat', '/sys/class/net/eth0/mtu').strip() == '1400'
    assert len(set(seen)) == 1, seen
    # Nothing of it is left in the container's own files.
    well(store.do('stop', 'web'))
    h.all_gone()
    h.conf('alice veth br0 4\n')
    well(store.do('start', 'web'))
    for name in ('resolv.conf', 'hosts'):
        found = inside(store, 'web', '/bin/busybox', 'sh', '-c', f'[ ! -e /etc/{name} ] || cat /etc/{name}')
        assert 'nameserver' not in found and '10.9.0.' not in found, (name, found)
    well(store.do('stop', 'web'))
    h.all_gone()
    h.conf(ADDRESSED)
    well(store.do('start', 'web'))
    well(store.do('start', 'db'))
    theirs = [a for a in facts(store, 'db')['addresses'] if ':' not in a]
    assert '64 bytes from ' in inside(store, 'web', '/bin/busybox', 'ping', '-c1', '-W5', theirs[0])
    for name in ('web', 'db'):
        well(store.do('stop', name))
    h.all_gone()


@case('an address that was asked for goes before that of net.conf, and a file that was bound before the one that would be written')
def _(root):
    h = host(root, ADDRESSED)
    store = Store(root)
    root.write(f'{root.tmp}/own-resolv', 'nameserver 192.0.2.1\n')
    store.make('web', IDLE, f'{BRIDGE},address=10.9.0.77/24,dns=192.0.2.7', f'bind = {root.tmp}/own-resolv:/etc/resolv.conf')
    well(store.do('start', 'web'))
    assert [a for a in facts(store, 'web')['addresses'] if ':' not in a] == ['10.9.0.77']
    assert inside(store, 'web', '/bin/busybox', 'cat', '/etc/resolv.conf') == 'nameserver 192.0.2.1\n'
    well(store.do('stop', 'web'))
    h.all_gone()


@case('with name servers of net.conf: --add-host counts, a hosts file of the user\'s is his, and resolv.conf may be a link into /run')
def _(root):
    h = host(root, ADDRESSED)
    store = Store(root)
    store.make('web', IDLE, BRIDGE, 'add-host = printer:192.0.2.9')
    tree = f'{root.tmp}/trees/web'
    os.symlink('../run/systemd/resolve/stub-resolv.conf', f'{tree}/etc/resolv.conf')
    well(store.do('start', 'web'))
    known = inside(store, 'web', '/bin/busybox', 'cat', '/etc/hosts')
    assert '192.0.2.9\tprinter' in known and '\tweb' in known and '127.0.0.1\tlocalhost' in known, known
    assert 'nameserver 10.9.0.1' in inside(store, 'web', '/bin/busybox', 'cat', '/etc/resolv.conf')
    well(store.do('stop', 'web'))
    h.all_gone()
    bound = f'{store.path}/etc'
    os.mkdir(bound)
    root.write(f'{bound}/hosts', '192.0.2.1 bound\n')
    os.chown(bound, FIRST, FIRST)  # so that root inside could write there
    for wish in (f'{bound}/hosts:/etc/hosts', f'{bound}:/etc'):
        with open(f'{store.path}/web/config', 'w') as file:
            file.write(f'{IDLE}\nrootfs = {tree}\nbind = {wish}\n{BRIDGE}\n')
        well(store.do('start', 'web'))
        assert inside(store, 'web', '/bin/busybox', 'cat', '/etc/hosts') == '192.0.2.1 bound\n', wish
        well(store.do('stop', 'web'))
        h.all_gone()
        assert os.listdir(bound) == ['hosts'], os.listdir(bound)


# --- what list says -----------------------------------------------------------------------------

@case('info and doctor say what is wrong with a NIC and what to do: MAC address, lost and foreign addresses, a lost bridge, a port that sent a BPDU')
def _(root):
    h = host(root, 'alice veth br0 2 ip=10.9.0.16/28 gateway=10.9.0.1/24\n')
    sh('nft add table bridge userns_guard')
    store = Store(root)
    store.make('web', IDLE, BRIDGE)
    well(store.do('start', 'web'))
    await_log(store, 'web', 'up')

    def said(user=None):
        """What info and doctor say of it, who must agree."""
        problems = json.loads(well(store.do('info', 'web', '--json')).out)['nic_problems']
        doctor = json.loads(root.run([root.program('userns-run'), 'doctor', '--json'], user or root.alice, timeout=60).out)
        found = [f'{f["text"]}: {f["fix"]}' for f in doctor['checks'] if f['id'] == 'nic' and f['subject'] == 'web']
        assert found == problems, (found, problems)
        text = well(store.do('info', 'web')).out
        assert all(f'NIC:        {problem}' in text for problem in problems), (text, problems)
        return problems

    def change(command):
        pid = store.state('web')['init']['pid']
        sh(*f'nsenter --net=/proc/{pid}/ns/net {command}'.split())
    assert said() == [], said()
    mac, address = mac_of(store, 'web'), facts(store, 'web')['addresses'][0]
    change('ip link set dev eth0 address 02:00:00:00:00:77')
    (problem,) = said()
    assert f'locked to {mac}: run "ip link set dev eth0 address {mac}" inside' in problem and '02:00:00:00:00:77' in problem, problem
    change(f'ip link set dev eth0 address {mac}')
    assert said() == [], said()
    change(f'ip address flush dev eth0 scope global')
    change('ip address add 10.9.0.99/24 dev eth0')
    lost, foreign = said()
    assert f'has lost its address {address}' in lost and 'ip address add' in lost, lost
    assert 'the address 10.9.0.99' in foreign and 'guard drops' in foreign, foreign
    assert said(ROOT) == [lost, foreign]
    change('ip address del 10.9.0.99/24 dev eth0')
    change(f'ip address add {address}/24 dev eth0')
    assert said() == [], said()
    # A bridge with STP disables the port of who sends a BPDU.
    wait_for(lambda: len(h.ports()) == 1, "doctor's own NICs to go")
    (port,) = h.ports()
    sh('ip link set br0 type bridge stp_state 1')
    try:
        wait_for(lambda: port_state(port) != 'disabled', 'the port to work')
        bpdu = bytes.fromhex('0180c2000000') + bytes.fromhex(mac.replace(':', '')) + bytes.fromhex('0026424203') + bytes(35)
        send_inside(store.state('web')['init']['pid'], bpdu)
        wait_for(lambda: port_state(port) == 'disabled', 'the port to be disabled')
        (problem,) = said()
        assert 'the bridge br0 has disabled the port of eth0' in problem and 'BPDU' in problem and port in problem, problem
        wait_for(lambda: len(h.ports()) == 1, "doctor's own NICs to go")
        front = json.loads(root.run([root.program('lxc-user-nic'), 'list', '--all', '--json'], root.alice).out)
        assert [n['state'] for n in front] == ['disabled'], front
    finally:
        sh('ip link set br0 type bridge stp_state 0')
    sh(f'ip link set {port} down')
    assert any('is down' in problem for problem in said()), said()
    sh(f'ip link set {port} up')
    wait_for(lambda: said() == [], 'all to be well again')
    sh('ip link del br0')
    Host.bridge('br0', '10.9.0.1/24')
    (problem,) = said()
    assert 'is on no bridge' in problem and 'userns-policy reattach' in problem, problem
    assert root.run([root.program('userns-policy'), 'reattach'], ROOT).code == 0
    wait_for(lambda: said() == [], 'all to be well again')
    well(store.do('stop', 'web'))
    h.all_gone()


@case('list tells the addresses of all NICs, the kind of init and how long it is up; --stopped and --running divide them')
def _(root):
    host(root)
    store = Store(root)
    store.make('web', IDLE, f'{BRIDGE},address=10.9.0.20/24,address=fd09::20/64')
    store.make('box', BRIDGE, 'boot = yes', tree=busybox(root))
    store.make('idle', IDLE, BRIDGE)
    before = int(time.time())
    well(store.do('start', 'web', 'box'))
    after = time.time()
    await_log(store, 'box', 'begun')
    web, box = row(store, 'web'), row(store, 'box')
    assert (web['STATE'], web['INIT'], web['ADDRESS']) == ('running', 'command', '10.9.0.20,fd09::20'), web
    assert (box['STATE'], box['INIT'], box['ADDRESS']) == ('running', 'busybox', '-'), box
    assert web['PID'] == str(store.state('web')['init']['pid']), web
    assert before <= facts(store, 'web')['started_at'] <= after, (before, facts(store, 'web'), after)
    assert re.fullmatch(r'(\d+m )?\d+s', web['UPTIME']), web
    wait_for(lambda: row(store, 'web')['UPTIME'] != web['UPTIME'], 'UPTIME to go on')
    # What is changed inside is seen.
    inside(store, 'box', '/bin/busybox', 'ip', 'address', 'add', '10.9.0.44/24', 'dev', 'eth0')
    assert row(store, 'box')['ADDRESS'] == '10.9.0.44', row(store, 'box')
    inside(store, 'web', '/bin/busybox', 'ip', 'address', 'del', '10.9.0.20/24', 'dev', 'eth0')
    assert row(store, 'web')['ADDRESS'] == 'fd09::20', row(store, 'web')
    idle = row(store, 'idle')
    assert [idle[head] for head in ('STATE', 'PID', 'INIT', 'ADDRESS', 'UPTIME')] == ['stopped', '-', '-', '-', '-'], idle

    def named(*words):
        return well(store.do('list', '--names', *words)).out.split()
    assert named('--stopped') == ['idle'] and sorted(named('--running')) == ['box', 'web']
    assert row(store, 'idle', '--stopped') and not row(store, 'web', '--stopped')
    well(store.do('stop', 'web'))
    assert sorted(named('--stopped')) == ['idle', 'web'] and named('--running') == ['box']
    assert row(store, 'web', '--stopped')['ADDRESS'] == '-'
    well(store.do('stop', 'box'))
    assert named('--running') == []


# --- DHCP ---------------------------------------------------------------------------------------

@case('the busybox template gets a lease with its own client, and the same one after stop and start, restart and reboot')
def _(root):
    h = host(root, 'alice veth br0 1\n')
    store = Store(root)
    with Dhcp(root) as server:
        well(store.do('create', 'box', '--template', 'busybox', '--net', 'bridge=br0', '--boot', timeout=60))
        seen = []

        def look():
            seen.append(lease_of(store, 'box', server))
            wait_for(lambda: 'nameserver 10.9.0.1' in inside(store, 'box', 'cat', '/etc/resolv.conf'), 'the name server')
            assert '64 bytes from 10.9.0.1' in inside(store, 'box', 'ping', '-c1', '-W5', '10.9.0.1')
            assert row(store, 'box')['ADDRESS'] == seen[-1][1], row(store, 'box')
        well(store.do('start', 'box'))
        look()
        well(store.do('stop', 'box'))
        h.all_gone()
        well(store.do('start', 'box'))
        look()
        well(store.do('restart', 'box'))
        look()
        store.do('exec', 'box', command=['reboot'])
        wait_for(lambda: (s := store.state('box')) and s['restarts'] == 1, 'it to be started again', 60)
        look()
        assert len(set(seen)) == 1 and len(server.leases()) == 1, (seen, server.leases())
        well(store.do('stop', 'box'))
        well(store.do('destroy', 'box'))
    h.all_gone()


@case('a directory or a file of the caller\'s own for networkd stays as it is, in each life')
def _(root):
    host(root)
    where = busybox(root)
    os.unlink(f'{where}/sbin/init')
    root.write(f'{where}/sbin/systemd', '#!/bin/sh\nls -A /run/systemd/network; cat /run/systemd/network/*; echo end\n')
    os.symlink('systemd', f'{where}/sbin/init')
    os.chmod(f'{where}/sbin/systemd', 0o755)
    own, file = f'{root.tmp}/networks', f'{root.tmp}/one.network'
    os.makedirs(own)
    for path in (f'{own}/10-mine.network', file):
        root.write(path, 'mine\n')
    os.chmod(own, 0o777)
    place = '/run/systemd/network'
    for bind, said in ((f'--bind={own}:{place}', '10-mine.network'), (f'--bind={own}:{place}:ro', '10-mine.network'),
                       (f'--bind={file}:{place}/70-userns-eth0.network', '70-userns-eth0.network')):
        for _ in range(2):
            done = root.run([root.program('userns-run'), '--boot', '--cgroup=none', f'--rootfs={where}', '--net=bridge=br0,address=10.9.0.20/24', bind],
                            root.alice, timeout=60)
            assert done.out.split() == [said, 'mine', 'end'], done
    assert os.listdir(own) == ['10-mine.network']


main()
