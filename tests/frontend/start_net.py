#!/usr/bin/env python3
"""userns-run --net: containers of scratch users connected by userns-net, pasta and slirp4netns, on a host of the test's own."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from harness import CLONE_NEWNET, case, cases, main, mount, setns, skip, spawn, status_of, wait_for
from net_host import Container, Dhcp, Host, sh

_host = None
PATH = '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin'


def host(root, conf='alice veth br0 8\n'):
    global _host
    if not _host:
        _host = Host(root)
        # The machine keeps /dev/net/tun to root; elsewhere it is everyone's.
        mount('tmpfs', '/dev/net', 'tmpfs')
        os.mknod('/dev/net/tun', 0o20666, os.makedev(10, 200))
        os.chmod('/dev/net/tun', 0o666)
    _host.all_gone()
    _host.conf(conf)
    return _host


def run(root, *words, user=None, path=PATH, **how):
    return root.run([root.program('userns-run'), *words], user or root.alice, env={'PATH': path}, **how)


def ran(root, *words, **how):
    done = run(root, *words, **how)
    assert done.code == 0, done
    return done.out


def left_over():
    """Processes that connect containers."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/stat') as file:
                name, state = re.search(r'\((.*)\) (\w)', file.read()).groups()
            # Others of the machine's live in other network namespaces.
            if name.startswith(('pasta', 'passt', 'slirp4netns')) and state != 'Z':
                if os.stat(f'/proc/{pid}/ns/net').st_ino == os.stat('/proc/self/ns/net').st_ino:
                    found.append(int(pid))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def nothing_left():
    _host.all_gone()
    wait_for(lambda: not left_over(), 'pasta and slirp4netns to end')


@case('--net bridge: addresses and default routes of both families, the loopback and the NIC are up, and the bridge answers')
def _(root):
    h = host(root)
    out = ran(root, '--net', 'bridge=br0,address=10.9.0.20/24,gateway=10.9.0.1,address=fd09::20/64,gateway=fd09::1', '--', 'sh', '-c',
              'ip -br addr; ip route; ip -6 route; ping -n -c1 -W2 10.9.0.1; ping -n -c1 -W2 fd09::1; ping -n -c1 -W2 ::1; ping -n -c1 -W2 127.0.0.1')
    for what in ('10.9.0.20/24', 'fd09::20/64', 'default via 10.9.0.1 dev eth0', 'default via fd09::1 dev eth0', '64 bytes from 10.9.0.1',
                 '64 bytes from fd09::1', '64 bytes from ::1', '64 bytes from 127.0.0.1'):
        assert what in out, (what, out)
    assert '"host"' not in out, out
    nothing_left()


@case('--net bridge, several: each NIC has its name, MTU and address; the same host name has the same MAC address again')
def _(root):
    h = host(root, 'alice veth br0 8\nalice veth br1 1 mac=any\n')
    words = ['--hostname', 'web', '--net', 'bridge=br0', '--net', 'bridge=br1,name=lan,mac=02:00:00:00:00:07,mtu=1300,address=10.8.0.2/24',
             '--', 'ip', '-j', 'link']
    first, again = (json.loads(ran(root, *words)) for _ in range(2))
    links = {link['ifname']: link for link in first}
    assert set(links) == {'lo', 'eth0', 'lan'}, links
    assert (links['lan']['mtu'], links['lan']['address']) == (1300, '02:00:00:00:00:07') and 'UP' in links['lan']['flags'], links
    assert 'UP' in links['eth0']['flags'] and 'UP' in links['lo']['flags']
    assert links['eth0']['address'] == {link['ifname']: link for link in again}['eth0']['address'], again


@case('--net bridge, sixteen with addresses of both families from net.conf: the last one has its own, too')
def _(root):
    h = host(root, 'alice veth br0 16 guard=no ip=10.9.0.64/26,fd09:1111:2222:3333:4444:5555:6666:1000/116 '
                   'gateway=10.9.0.1/24,fd09:1111:2222:3333:4444:5555:6666:2001/64 '
                   'dns=fd09:1111:2222:3333:4444:5555:6666:2001,fd09:1111:2222:3333:4444:5555:6666:2002,fd09:1111:2222:3333:4444:5555:6666:2003\n')
    names = [f'a-long-name-{number:02}' for number in range(16)]
    nics = [word for name in names for word in ('--net', f'bridge=br0,name={name}')]
    links = json.loads(ran(root, *nics, '--', 'ip', '-j', 'addr'))
    found = {link['ifname']: [one for one in link['addr_info'] if one['scope'] == 'global'] for link in links if link['ifname'] != 'lo'}
    assert set(found) == set(names) and all(len(one) == 2 for one in found.values()), found
    nothing_left()


@case('a container gets a DHCP lease with a client of its own')
def _(root):
    h = host(root)
    root.write(f'{root.tmp}/udhcpc', '#!/bin/sh\n[ "$1" = bound ] && ip addr add "$ip/24" dev eth0; exit 0\n', mode=0o755)
    with Dhcp(root):
        out = ran(root, '--net', 'bridge=br0', '--', 'sh', '-c',
                  f'busybox udhcpc -f -q -n -t 10 -T 1 -i eth0 -s {root.tmp}/udhcpc >&2; ip -br addr; ping -n -c1 -W2 10.9.0.1')
        assert re.search(r'eth0\S* +\w+ +10\.9\.0\.\d\d/24', out) and 'bytes from 10.9.0.1' in out, out


# Ends once all three have begun: one that waited for another's end would wait in vain.
RENDEZVOUS = '''#!/bin/sh
: >{where}/{name}
left=400
while [ ! -e {where}/newuidmap ] || [ ! -e {where}/newgidmap ] || [ ! -e {where}/userns-net ]; do
  left=$((left - 1))
  [ $left -gt 0 ] || {{ echo "{name} waited in vain for $(ls {where} | wc -l) of 3" >&2; exit 9; }}
  sleep 0.05
done
exec {path}.real "$@"
'''


@case('the map helpers and userns-net run at the same time: each of them has begun before any goes on')
def _(root):
    h = host(root)
    helpers = {'newuidmap': root.newuidmap, 'newgidmap': root.newgidmap, 'userns-net': h.helper}
    where = f'{root.tmp}/home/alice/begun'
    os.mkdir(where)
    os.chown(where, root.alice.uid, root.alice.gid)
    for name, path in helpers.items():
        os.rename(path, f'{path}.real')
        root.write(path, RENDEZVOUS.format(where=where, name=name, path=path), mode=0o755)
    try:
        out = ran(root, '--net', 'bridge=br0', '--', 'sh', '-c', 'cat /proc/self/uid_map; ip -br link', timeout=90)
    finally:
        for path in helpers.values():
            os.rename(f'{path}.real', path)
    assert sorted(os.listdir(where)) == sorted(helpers), os.listdir(where)
    assert out.split()[:3] == ['0', '100000', '65536'] and 'eth0@' in out, out
    nothing_left()


@cases([
    ('a bridge that is not granted says the rule', 'bridge=br1', '[NR-POLICY]'),
    ('a bridge that is not there says so', 'bridge=nobr', '[NR-POLICY]'),
    ('a gateway outside of every address is explained', 'bridge=br0,address=10.9.0.20/24,gateway=10.1.1.1', 'is it within the network of an address=?'),
    ('a MAC address that may not be chosen says the rule', 'bridge=br0,mac=02:00:00:00:00:07', '[NR-MAC]'),
    ('an MTU that the interface can not have', 'bridge=br0,mtu=65535', None),
])
def _(root, net, says):
    h = host(root)
    done = run(root, '--net', net, '--', 'true')
    if says is None:  # a veth end takes any MTU; the frames then are the bridge's to drop
        assert done.code == 0, done
    else:
        assert done.code == 125 and says in done.err and done.out == '' and done.err.count('\n') == 1, done
    nothing_left()


@case('a start that fails after the NIC was made leaves none')
def _(root):
    h = host(root)
    done = run(root, '--net', 'bridge=br0', '--', '/nonexistent')
    assert done.code == 127, done
    nothing_left()


@case('the mounts are made while the NIC is: one that fails says so itself, beside a NIC that is made, or that is refused')
def _(root):
    h = host(root)
    helper = h.helper
    os.rename(helper, f'{helper}.real')
    # It goes on when the container's first process has ended: the mount has failed by then.
    root.write(helper, '#!/bin/sh\nuntil for c in $(cat /proc/$PPID/task/$PPID/children); do cat /proc/$c/stat; done 2>&- | '
                       f'grep -q "(userns-run) Z"; do sleep 0.02; done\nexec {helper}.real "$@"\n', mode=0o755)
    try:
        done = run(root, '--net', 'bridge=br0', '--bind', '/etc:/etc/passwd', '--', 'true', timeout=60)
    finally:
        os.rename(f'{helper}.real', helper)
    for net, done in (('lost', done), ('made', run(root, '--net', 'bridge=br0', '--bind', '/etc:/etc/passwd', '--', 'true'))):
        assert done.code == 125 and '/etc/passwd' in done.err and done.err.count('\n') == 1 and done.out == '', (net, done)
    nothing_left()
    done = run(root, '--net', 'bridge=br1', '--bind', '/etc:/etc/passwd', '--', 'true')
    assert done.code == 125 and ('/etc/passwd' in done.err or '[NR-POLICY]' in done.err) and done.err.count('\n') == 1, done
    nothing_left()


@case('without userns-net the sentence says what is missing')
def _(root):
    h = host(root)
    os.rename(h.helper, h.helper + '.away')
    try:
        done = run(root, '--net', 'bridge=br0', '--', 'true')
        assert done.code == 125 and 'cannot find userns-net' in done.err, done
    finally:
        os.rename(h.helper + '.away', h.helper)


class World:
    """A place beyond the host: 192.0.2.1 with a TCP server that says who it is, reached by the host's default route."""

    def __init__(self, root):
        self.box = Container(root.bob)
        sh('ip link add out0 type veth peer name in0')
        sh(f'ip link set in0 netns {self.box.pid}')
        sh('ip addr add 198.51.100.2/24 dev out0')
        sh('ip link set out0 up')
        self.box.up('198.51.100.1/24', 'in0')
        self.box.sh('ip addr add 192.0.2.1/32 dev lo')
        sh('ip route add default via 198.51.100.1')
        self.server = os.fork()
        if self.server == 0:
            setns(self.box.netns, CLONE_NEWNET)
            with socket.create_server(('192.0.2.1', 7777)) as server:
                while True:
                    peer, _ = server.accept()
                    peer.recv(10)
                    peer.sendall(b'the world\n')
                    peer.close()

    def __enter__(self):
        return self

    def __exit__(self, *what):
        os.kill(self.server, signal.SIGKILL)
        os.waitpid(self.server, 0)
        sh('ip link del out0', code=None)
        self.box.__exit__()


# pasta of 2023 sometimes keeps the first bytes to itself where a server speaks first and hangs up.
ASK = ['sh', '-c', 'for i in 1 2 3 4 5 6 7 8 9; do said=$(echo who | timeout 2 busybox nc 192.0.2.1 7777); [ "$said" ] && echo "$said" && break; done']


def path_with(root, *names):
    """A PATH on which of the two programs only these are."""
    where = f'{root.tmp}/path-{"-".join(names) or "none"}'
    if not os.path.isdir(where):
        os.makedirs(where)
        for directory in PATH.split(':'):
            for name in os.listdir(directory) if os.path.isdir(directory) else []:
                if (name not in ('pasta', 'slirp4netns') or name in names) and not os.path.lexists(f'{where}/{name}'):
                    os.symlink(f'{directory}/{name}', f'{where}/{name}')
    return where


@cases([('pasta', 'pasta'), ('slirp4netns', 'slirp4netns')])
def _(root, program):
    h = host(root)
    if not shutil.which(program):
        skip(f'{program} is not installed')
    with World(root):
        out = ran(root, '--net', 'user', '--', *ASK, path=path_with(root, program))
        assert 'the world' in out, out
        nothing_left()
        # A service on the host's own loopback is not for containers.
        own = socket.create_server(('127.0.0.1', 7001))
        for address in ('127.0.0.1', '198.51.100.1', '10.0.2.2'):
            run(root, '--net', 'user', '--', 'busybox', 'nc', '-w', '1', address, '7001', path=path_with(root, program))
        own.settimeout(0.2)
        try:
            own.accept()
            raise AssertionError('a container reached the host\'s loopback')
        except TimeoutError:
            pass
        own.close()


for _index in (-1, -2):  # the two cases above, under their sentences
    from harness import _cases
    _cases[_index] = (f'--net user by {_cases[_index][0]}: reaches the world, not the host\'s loopback, and leaves no process', _cases[_index][1])


UDP_ANSWER = '''import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('', 81))
while True:
    s.sendto(b'a datagram\\n', s.recvfrom(100)[1])
'''


# From beyond the host: pasta of 2023 loses what comes back to the host's own addresses.
UDP_QUESTION = '''import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
s.sendto(b'hello', ('198.51.100.2', 18081))
try:
    sys.stdout.write(s.recv(100).decode())
except OSError:
    pass
'''


def _publish(root, program, *options):
    h = host(root)
    with World(root) as world:
        path = path_with(root, program)
        child = spawn([root.program('userns-run'), '--net', 'user', '--publish', '18080:80', '--publish', '18081:81/udp', *options, '--', 'sh', '-c',
                       '/usr/bin/python3 -c "$0" & exec busybox nc -l -p 80 -e echo from inside', UDP_ANSWER], root.alice, env={'PATH': path})

        def answer():
            try:
                with socket.create_connection(('127.0.0.1', 18080), timeout=2) as peer:
                    return peer.recv(100)
            except OSError:
                return b''

        def datagram():
            return sh('nsenter', f'--net=/proc/{world.box.pid}/ns/net', '/usr/bin/python3', '-c', UDP_QUESTION, code=None)
        assert wait_for(datagram, 'the published UDP port to answer') == 'a datagram\n'
        assert wait_for(answer, 'the published port to answer') == b'from inside\n'
        assert child.wait().code == 0
        nothing_left()
        taken = socket.create_server(('0.0.0.0', 18090))
        done = run(root, '--net', 'user', '--publish', '18090:80', *options, '--', 'true', path=path)
        assert done.code == 125 and '18090' in done.err, done
        taken.close()
        nothing_left()


@case('--publish by pasta: ports of the host\'s lead to those inside; one in use is named')
def _(root):
    _publish(root, 'pasta', '--publish-loopback')


@case('--publish by slirp4netns: ports of the host\'s lead to those inside; one in use is named')
def _(root):
    _publish(root, 'slirp4netns')


LOOPBACK_ONLY = '''import socket, threading
def serve(address, port):
    server = socket.create_server((address, port))
    while True:
        peer, whence = server.accept()
        peer.recv(10)
        peer.sendall(f'{address} hears {whence[0]}\\n'.encode())
        peer.close()
threading.Thread(target=serve, args=('127.0.0.1', 80), daemon=True).start()
threading.Thread(target=serve, args=('0.0.0.0', 82), daemon=True).start()
print('up', flush=True)
threading.Event().wait()
'''


def ask(port):
    try:
        with socket.create_connection(('127.0.0.1', port), timeout=3) as peer:
            peer.sendall(b'who')
            return peer.recv(100).decode()
    except OSError:
        return ''


@cases([('--publish does not lead to a service on the container\'s own 127.0.0.1 (CVE-2021-20199)', (), ('pasta', 'slirp4netns')),
        ('it does with --publish-loopback and pasta', ('--publish-loopback',), ('pasta',))])
def _(root, options, programs):
    host(root)
    for program in programs:
        if not shutil.which(program):
            skip(f'{program} is not installed')
    with World(root):
        child = spawn([root.program('userns-run'), '--net', 'user', '--publish', '18083:80', '--publish', '18084:82', *options, '--',
                       '/usr/bin/python3', '-c', LOOPBACK_ONLY], root.alice, env={'PATH': path_with(root, *programs)})
        try:
            open_one = wait_for(lambda: ask(18084), 'the service on all addresses to answer')
            closed = [ask(18083) for _ in range(5)]
        finally:
            child.kill(signal.SIGTERM)
            child.wait()
        if options:
            assert any('hears 127.0.0.1' in text for text in closed), closed
        else:
            assert not any(closed), closed
            assert 'hears 127.' not in open_one, open_one
    nothing_left()


@case('a pasta that cannot keep them apart is refused for --publish, with what helps')
def _(root):
    host(root)
    if 'host-lo-to-ns-lo' in subprocess.run(['pasta', '--help'], capture_output=True, text=True, check=False).stdout:
        skip('this pasta can')
    with World(root):
        done = run(root, '--net', 'user', '--publish', '18085:80', '--', 'true', path=path_with(root, 'pasta'))
        assert done.code == 125 and '--publish-loopback' in done.err and 'slirp4netns' in done.err, done
        assert run(root, '--net', 'user', '--', 'true', path=path_with(root, 'pasta')).code == 0


GREETS = '''
import socket, sys
family = socket.AF_INET6 if sys.argv[1] == '::' else socket.AF_INET
s = socket.create_server((sys.argv[1], 80), family=family)
while True:
    peer, _ = s.accept()
    peer.sendall(b'hello')
    peer.close()
'''


def hears(address, port):
    try:
        with socket.create_connection((address, port), timeout=2) as peer:
            return peer.recv(100)
    except OSError:
        return b''


def _one_address(root, program, *options):
    """A port that is published on 127.0.0.1 alone."""
    host(root)
    with World(root) as world:
        path = path_with(root, program)
        child = spawn([root.program('userns-run'), '--net', 'user', '--publish', 'localhost:18086:80', '--publish', '18087:80', *options, '--',
                       '/usr/bin/python3', '-c', GREETS, '0.0.0.0'], root.alice, env={'PATH': path})
        try:
            wait_for(lambda: hears('127.0.0.1', 18086), 'the published port to answer')
            assert listening(18086) == {'127.0.0.1'} and '127.0.0.1' not in listening(18087), (listening(18086), listening(18087))
            assert not asked_from(world, 18086), 'a port of the loopback answers elsewhere'
            if program == 'slirp4netns':  # this pasta's TCP does not get through the veth of the test
                assert wait_for(lambda: asked_from(world, 18087), 'the port on all addresses to answer') == 'hello'
        finally:
            child.kill(signal.SIGTERM)
            child.wait()
    nothing_left()


def asked_from(world, port):
    question = (f'import socket\ntry:\n s = socket.create_connection(("198.51.100.2", {port}), timeout=2)\n print(s.recv(100).decode(), end="")\n'
                'except OSError:\n pass')
    return sh('nsenter', f'--net=/proc/{world.box.pid}/ns/net', '/usr/bin/python3', '-c', question, code=None)


def listening(port):
    """The addresses of the host's on which something listens on that port."""
    lines = sh('ss', '--listening', '--tcp', '--numeric', '--no-header').splitlines()
    places = [line.split()[3].rpartition(':') for line in lines]
    return {place[0].strip('[]').split('%')[0] for place in places if place[2] == str(port)}


def opens(address, port):
    try:
        socket.create_connection((address, port), timeout=2).close()
        return True
    except OSError:
        return False


@case('--publish localhost:HOST:PORT by slirp4netns answers on 127.0.0.1 and nowhere else')
def _(root):
    _one_address(root, 'slirp4netns')


@case('--publish localhost:HOST:PORT by pasta answers on 127.0.0.1 and nowhere else')
def _(root):
    _one_address(root, 'pasta', '--publish-loopback')


@case('--publish [::1]:HOST:PORT answers there with pasta; slirp4netns says that it cannot')
def _(root):
    host(root)
    with World(root):
        if not shutil.which('pasta'):
            skip('pasta is not installed')
        sh('ip -6 addr add 2001:db8::2/64 dev out0 nodad')
        sh('ip -6 route add default via 2001:db8::1 dev out0')  # without one, pasta leaves IPv6 alone
        child = spawn([root.program('userns-run'), '--net', 'user', '--publish', '[::1]:18088:80', '--publish-loopback', '--', '/usr/bin/python3',
                       '-c', GREETS, '::'], root.alice, env={'PATH': path_with(root, 'pasta')})
        try:
            wait_for(lambda: opens('::1', 18088), 'the published port to be open')
            assert listening(18088) == {'::1'}, listening(18088)
        finally:
            child.kill(signal.SIGTERM)
            child.wait()
        done = run(root, '--net', 'user', '--publish', '[::1]:18088:80', '--', 'true', path=path_with(root, 'slirp4netns'))
        assert done.code == 125 and 'IPv4 addresses only' in done.err and '[::1]:18088' in done.err, done
    nothing_left()


@case('a port that only root may open is refused before anything starts, and the sysctl is named')
def _(root):
    host(root)
    with World(root):
        for program in ('pasta', 'slirp4netns'):
            done = run(root, '--net', 'user', '--publish', '81:80', '--publish-loopback', '--', 'true', path=path_with(root, program))
            assert done.code == 125 and 'tcp 81 -> 80' in done.err and 'net.ipv4.ip_unprivileged_port_start=81' in done.err, done
    nothing_left()


@case('--publish where no port is to be published says why')
def _(root):
    host(root)
    for net, says in (('none', 'give --net user'), ('bridge=br0', 'an address of its own')):
        done = run(root, '--net', net, '--publish', '1:1', '--', 'true')
        assert done.code == 125 and says in done.err, done


@case('killed or not, userns-run leaves no pasta or slirp4netns behind')
def _(root):
    h = host(root)
    with World(root):
        for program in ('pasta', 'slirp4netns'):
            for number in (signal.SIGKILL, signal.SIGTERM):
                child = spawn([root.program('userns-run'), '--net', 'user', '--', 'sh', '-c', 'echo up; exec sleep 100'], root.alice,
                              env={'PATH': path_with(root, program)})
                wait_for(left_over, f'{program} to run')
                child.kill(number)
                child.wait()
                nothing_left()


@case('a watcher of theirs that is killed takes them along, and what killed ones left in /tmp is removed')
def _(root):
    host(root)
    litter = '/tmp/userns-run-abcdef'
    with World(root):
        for program in ('pasta', 'slirp4netns'):
            os.makedirs(litter)
            open(f'{litter}/it', 'w').close()
            for path in (litter, f'{litter}/it'):
                os.chown(path, root.alice.uid, root.alice.gid)
            child = spawn([root.program('userns-run'), '--net', 'user', '--', 'sh', '-c', 'echo up; exec sleep 100'], root.alice,
                          env={'PATH': path_with(root, program)})
            # One that goes into the background is two for a moment.
            (pid,) = wait_for(lambda: len(found := left_over()) == 1 and found, f'{program} to run')
            assert not os.path.exists(litter)
            os.kill(int(status_of(pid)['PPid']), signal.SIGKILL)
            nothing_left()
            child.kill(signal.SIGTERM)
            child.wait()


# As Debian 12's AppArmor has it: pasta's own profile does not let it look at a process of another one.
REFUSED = '#!/bin/sh\necho "Couldn\'t open user namespace: Permission denied" >&2; exit 1\n'


def path_with_refused_pasta(root, *others):
    where = f'{path_with(root, *others)}-refused'
    if not os.path.isdir(where):
        shutil.copytree(path_with(root, *others), where, symlinks=True)
        with open(where + '/pasta', 'w') as file:
            file.write(REFUSED)
        os.chmod(where + '/pasta', 0o755)
    return where


def user_network(root, path):
    """What userns-run doctor says of it; others of its checks may fail."""
    checks = json.loads(run(root, 'doctor', '--json', path=path).out)['checks']
    return next(check for check in checks if check['id'] == 'user-network')


@case('where pasta is there and refused, slirp4netns takes its place, with ports and all')
def _(root):
    host(root, '')
    path = path_with_refused_pasta(root, 'slirp4netns')
    with World(root):
        for net in ('user', 'auto'):
            done = run(root, '--net', net, '--', *ASK, path=path)
            assert done.code == 0 and 'the world' in done.out, done
        nothing_left()
        found = user_network(root, path)
        assert found['status'] == 'note' and 'slirp4netns works, and takes the place of' in found['text'], found
        assert 'Permission denied' in found['text'] and 'DENIED' in found['fix'], found
        nothing_left()
        taken = socket.create_server(('0.0.0.0', 18091))
        done = run(root, '--net', 'user', '--publish', '18091:80', '--', 'true', path=path)
        assert done.code == 125 and '18091' in done.err and 'slirp4netns' in done.err, done
        taken.close()
        nothing_left()


@case('where neither works, --net user says what each said; --net auto goes on without a network and says so, but not with --publish')
def _(root):
    h = host(root)
    h.conf('')
    path = path_with_refused_pasta(root)
    with World(root):
        done = run(root, '--net', 'user', '--', 'true', path=path)
        assert done.code == 125 and 'pasta ended before it was ready: Couldn\'t open user namespace: Permission denied' in done.err, done
        assert 'slirp4netns is not installed' in done.err and '(see user-network in userns-run doctor)' in done.err, done
        done = run(root, '--net', 'auto', '--', 'ip', '-br', 'link', path=path)
        assert done.code == 0 and done.out.count('\n') == 1, done
        assert 'network: none' in done.err and 'Permission denied' in done.err, done
        found = user_network(root, path)
        assert found['status'] == 'warn' and 'Permission denied' in found['text'] and 'install slirp4netns' in found['fix'], found
        assert user_network(root, PATH)['status'] == 'pass'
        done = run(root, '--net', 'auto', '--publish', '18092:80', '--publish-loopback', '--', 'true', path=path)
        assert done.code == 125 and 'Permission denied' in done.err, done
    nothing_left()


@case('--net auto: a granted bridge that is up, else user, else none, and one line says which and why')
def _(root):
    h = host(root, 'alice veth nobr 1\nbob veth br1 1\n@alice veth br0 1\n')
    done = run(root, '--net', 'auto', '--', 'ip', '-br', 'link')
    assert done.code == 0 and 'eth0' in done.out and done.err.startswith('userns-run: network: bridge br0') and done.err.count('\n') == 1, done
    h.conf('')
    with World(root):
        done = run(root, '--net', 'auto', '--', *ASK)
        assert 'the world' in done.out and done.err.splitlines()[0].startswith('userns-run: network: user'), done
        done = run(root, '--net', 'auto', '--', 'ip', '-br', 'link', path=path_with(root))
        assert done.code == 0 and done.out.count('\n') == 1 and 'network: none' in done.err and 'neither pasta nor slirp4netns' in done.err, done
    done = run(root, '--net', 'auto', '--', 'true')
    assert done.code == 0 and 'network: none' in done.err and 'no default route' in done.err, done
    h.conf('alice veth br0 x\n')
    done = run(root, '--net', 'auto', '--', 'true')
    assert done.code == 0 and 'net.conf:1:16' in done.err, done


@case('inside a root file system the host\'s resolvers are used with user networking and with addresses by hand, not with DHCP')
def _(root):
    h = host(root)
    rootfs = f'{root.tmp}/home/alice/root'
    for name in ('bin', 'proc', 'sys', 'dev', 'etc', 'tmp', 'run'):
        os.makedirs(f'{rootfs}/{name}', exist_ok=True)
    shutil.copy('/bin/busybox', f'{rootfs}/bin/busybox')
    root.write(f'{rootfs}/etc/resolv.conf', '# the image\'s\n')
    root.write('/etc/resolv.conf', 'nameserver 198.51.100.53\n')
    sh(f'chown -R 100000:100000 {rootfs}')
    cat = ['--rootfs', rootfs, '--', '/bin/busybox', 'cat', '/etc/resolv.conf']
    assert ran(root, '--net', 'bridge=br0', *cat) == '# the image\'s\n'
    assert ran(root, '--net', 'bridge=br0,address=10.9.0.9/24', *cat) == 'nameserver 198.51.100.53\n'
    with World(root):
        assert ran(root, '--net', 'user', *cat) == 'nameserver 198.51.100.53\n'


@case('--dry-run shows the network and makes nothing')
def _(root):
    h = host(root)
    out = ran(root, '--dry-run', '--net', 'bridge=br0,address=10.9.0.20/24,gateway=10.9.0.1', '--net', 'bridge=br0', '--', 'true')
    assert 'network     eth0 on bridge br0 10.9.0.20/24 gateway 10.9.0.1, by userns-net\n' in out, out
    assert 'network     eth1 on bridge br0, by userns-net; addresses by DHCP inside\n' in out, out
    assert h.ports() == []


if __name__ == '__main__':
    main()
