#!/usr/bin/env python3
"""--net user=NAME: containers of one user in a network of their own, without an administrator."""

import glob
import json
import os
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from container import FIRST, fails, well  # noqa: E402
from leased import facts, inside  # noqa: E402
from named import IDLE, Store, alive, await_log  # noqa: E402
from harness import case, cases, main, mount, skip, spawn, wait_for  # noqa: E402
from net_host import Host, way_out  # noqa: E402

made = {}
BOBS = 400000
PYTHON = '/usr/bin/python3'
NET = 'net = user=lab'


def host(root):
    if 'host' not in made:
        made['host'] = Host(root)
        mount('tmpfs', '/dev/net', 'tmpfs')
        os.mknod('/dev/net/tun', 0o20666, os.makedev(10, 200))
        os.chmod('/dev/net/tun', 0o666)
    return made['host']


def files(root, user):
    path = networks_of(root, user)
    return sorted(name.split('@')[0] for name in os.listdir(path)) if os.path.isdir(path) else []


def networks_of(root, user):
    return f'{root.tmp}/home/{user.name}/.userns-networks'


def store(root, user=None, name='store'):
    return Store(root, user or root.alice, name)


def do(store, root, *words, **how):
    """As the user, at home."""
    return store.do(*words, env=env(root, store.user), **how)


def networks(root, *words):
    return root.run([root.program('userns-run'), 'network', *words], root.alice, env=env(root, root.alice))


def env(root, user):
    return {'PATH': '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', 'HOME': f'{root.tmp}/home/{user.name}'}


def started(root, store, name, *settings, net=NET):
    store.make(name, IDLE, net, *settings)
    well(do(store, root, 'start', name))
    await_log(store, name, 'up')


def address(store, name):
    """In the network."""
    found = [a for a in facts(store, name)['addresses'] if a.startswith('10.89.')]
    return found[0] if found else None


def hosts(store, name):
    return {line.split('\t')[1].split(' ')[0]: line.split('\t')[0]
            for line in inside(store, name, 'cat', '/etc/hosts').splitlines() if line.endswith('# userns-run network')}


def reaches(store, name, other, tries=5):
    return any('bytes from' in store.do('exec', name, command=['/bin/busybox', 'ping', '-c1', '-W1', other]).out for _ in range(tries))


def keepers(root=None):
    """Processes of networks, of scratch users."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/comm') as file:
                is_one = file.read() == 'userns-network\n'
            # A neighbour's programs lie on another file system under the same names.
            if is_one and os.path.samestat(os.stat(f'/proc/{pid}/exe'), os.stat(root.program('userns-run'))):
                found.append(int(pid))
        except OSError:  # gone meanwhile
            continue
    return found


def nothing_left(root, *users):
    wait_for(lambda: not keepers(root), 'the process of the network to end')
    for user in users or (root.alice,):
        assert files(root, user) == [], files(root, user)


@case('two containers of a user reach each other by name and by address, both ways; the names of who ended go, and the last one takes the network down')
def _(root):
    host(root)
    s = store(root)
    started(root, s, 'web')
    assert hosts(s, 'web') == {'web': address(s, 'web')}, hosts(s, 'web')
    started(root, s, 'db')
    a, b = address(s, 'web'), address(s, 'db')
    assert a and b and a != b
    wait_for(lambda: hosts(s, 'web') == {'web': a, 'db': b}, 'web to know db')
    assert hosts(s, 'db') == {'web': a, 'db': b}  # at once: it was there before
    assert reaches(s, 'web', 'db') and reaches(s, 'db', 'web') and reaches(s, 'db', a)
    assert len(keepers(root)) == 1 and files(root, root.alice) == ['lab']
    well(do(s, root, 'stop', 'web'))
    wait_for(lambda: hosts(s, 'db') == {'db': b}, 'db to forget web')
    assert not reaches(s, 'db', a, tries=1)
    # Over a restart it has its address again.
    well(do(s, root, 'start', 'web'))
    await_log(s, 'web', 'up')
    assert address(s, 'web') == a, (a, b, address(s, 'web'), hosts(s, 'web'), facts(s, 'web'))
    assert reaches(s, 'db', 'web')
    well(do(s, root, 'stop', 'db'))
    well(do(s, root, 'stop', 'web'))
    nothing_left(root)


@case('a host name, which an archive may bring, stands for no host of the world and for nobody\'s localhost')
def _(root):
    host(root)
    s = store(root)
    started(root, s, 'web')
    for name, host_name in (('a', 'deb.debian.org'), ('b', 'localhost'), ('c', 'LOCALHOST.localdomain')):
        started(root, s, name, f'hostname = {host_name}')
    wait_for(lambda: hosts(s, 'web') == {'web': address(s, 'web'), 'deb': address(s, 'a')}, 'web to know a, by its first label alone')
    for name in ('a', 'b', 'c', 'web'):
        well(do(s, root, 'stop', name))
    nothing_left(root)


@case('TCP and large frames pass whole between two containers, both ways, and what a container writes into its hosts file stays')
def _(root):
    host(root)
    s = store(root)
    started(root, s, 'web'), started(root, s, 'db')
    inside(s, 'db', 'sh', '-c', 'echo "192.0.2.7 printer" >> /etc/hosts')
    inside(s, 'web', 'sh', '-c', 'mkdir /www; head -c 20000000 /dev/urandom > /www/big; busybox md5sum < /www/big > /sum; busybox httpd -p 80 -h /www')
    got = inside(s, 'db', 'sh', '-c', 'busybox wget -qO- http://web/big | busybox md5sum')
    assert got == inside(s, 'web', 'cat', '/sum'), got
    started(root, s, 'third')
    wait_for(lambda: set(hosts(s, 'db')) == {'web', 'db', 'third'}, 'db to know the third')
    text = inside(s, 'db', 'cat', '/etc/hosts')
    assert '192.0.2.7 printer\n' in text and 'localhost' in text, text
    for name in ('third', 'web', 'db'):
        well(do(s, root, 'stop', name))
    nothing_left(root)


@case('another user, another network and no network do not reach it; nobody else may speak to its process')
def _(root):
    host(root)
    for path in ('/etc/subuid', '/etc/subgid'):
        root.write(path, f'alice:{FIRST}:200000\nbob:{BOBS}:200000\n')
    s, other = store(root), Store(root, root.bob, first=BOBS)
    started(root, s, 'web'), started(root, s, 'away', net='net = user=else'), started(root, other, 'bobs', 'hostname = web')
    started(root, s, 'alone', net='net = none')
    mine, theirs = address(s, 'web'), address(other, 'bobs')
    assert mine == theirs and hosts(other, 'bobs') == {'web': theirs} and hosts(s, 'web') == {'web': mine} and set(hosts(s, 'away')) == {'away'}
    assert not reaches(s, 'away', mine, tries=1) and not reaches(s, 'alone', mine, tries=1)
    # With the same addresses: it is another bridge.
    started(root, other, 'other')
    assert hosts(other, 'other') == {'web': theirs, 'other': address(other, 'other')} and hosts(s, 'web') == {'web': mine}
    assert len(keepers(root)) == 3
    (path,) = glob.glob(f'{networks_of(root, root.alice)}/lab*')
    code = ('import socket,sys\ns=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET)\ntry:\n s.connect(sys.argv[1])\nexcept PermissionError:\n sys.exit(7)\n')
    done = root.run([PYTHON, '-c', code, path], root.bob)
    assert done.code == 7, done
    # Not even where its directory was opened: it looks at who connects.
    os.chmod(os.path.dirname(path), 0o755), os.chmod(path, 0o777)
    talk = code.replace(' sys.exit(7)\n', ' sys.exit(7)\ns.settimeout(5)\ntry:\n s.send(b"join evil")\n sys.exit(0 if s.recv(9000) == b"" else 8)\nexcept OSError:\n sys.exit(0)\n')
    os.chmod(f'{root.tmp}/home/alice', 0o755)
    done = root.run([PYTHON, '-c', talk, path], root.bob)
    assert done.code == 0, done
    assert 'evil' not in hosts(s, 'web')
    os.chmod(os.path.dirname(path), 0o700)
    for one, name in ((s, 'web'), (s, 'away'), (s, 'alone'), (other, 'bobs'), (other, 'other')):
        well(do(one, root, 'stop', name))
    nothing_left(root, root.alice, root.bob)


@cases([(f'kill -9 of {what}: the rest ends in order, and a new start works', what)
        for what in ('the network\'s process', 'a monitor', 'a container', 'all of them')])
def _(root, what):
    host(root)
    s = store(root)
    started(root, s, 'web'), started(root, s, 'db')
    state = s.state('web')
    victims = {'the network\'s process': lambda: keepers(root), 'a monitor': lambda: [state['monitor']['pid']], 'a container': lambda: [state['init']['pid']],
               'all of them': lambda: keepers(root) + [state['monitor']['pid'], s.state('db')['monitor']['pid']]}[what]()
    assert victims
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(alive(pid) for pid in victims), 'the killed to be gone')
    if what in ('a monitor', 'a container'):
        wait_for(lambda: set(hosts(s, 'db')) == {'db'}, 'db to forget web')
    for name in ('web', 'db'):
        do(s, root, 'stop', name)
    wait_for(lambda: not keepers(root), 'all to end')
    for name in ('web', 'db'):
        well(do(s, root, 'start', name))
        await_log(s, name, 'up')
    assert reaches(s, 'web', 'db') and len(keepers(root)) == 1
    for name in ('web', 'db'):
        well(do(s, root, 'stop', name))
    nothing_left(root)


@case('a start that is killed, at many moments, leaves no process and no network')
def _(root):
    host(root)
    s = store(root)
    s.make('web', IDLE, NET)
    for turn in range(30):
        begun = s.begin('start', 'web', env=env(root, root.alice))
        time.sleep(0.004 * turn)  # which moment it is, is not told apart
        begun.kill(signal.SIGKILL)
        begun.wait()
        do(s, root, 'stop', 'web')  # whether it runs or not
    well(do(s, root, 'start', 'web'))
    await_log(s, 'web', 'up')
    assert set(hosts(s, 'web')) == {'web'}
    well(do(s, root, 'stop', 'web'))
    nothing_left(root)


@case('containers that start and end all at once: one network, an address each, all names known; then nothing is left')
def _(root):
    host(root)
    s = store(root)
    names = [f'c{i}' for i in range(8)]
    for name in names:
        s.make(name, IDLE, NET)
    for _ in range(3):
        begun = [s.begin('start', name, env=env(root, root.alice)) for name in names]
        for one in begun:
            assert os.waitstatus_to_exitcode(os.waitpid(one.pid, 0)[1]) == 0
        assert len(keepers(root)) == 1
        addresses = {address(s, name) for name in names}
        assert len(addresses) == 8 and None not in addresses, addresses
        for name in names:
            wait_for(lambda: set(hosts(s, name)) == set(names), f'{name} to know all')
        begun = [s.begin('stop', name, env=env(root, root.alice)) for name in names]
        for one in begun:
            assert os.waitstatus_to_exitcode(os.waitpid(one.pid, 0)[1]) == 0
        nothing_left(root)


@case('with a way out: pasta or slirp4netns for each, published ports lead inside, and the network works beside it')
def _(root):
    host(root)
    if '198.51.100' not in os.popen('ip route').read():
        way_out()
    s = store(root)
    store_web = 'publish = 18080:80'
    started(root, s, 'web', store_web), started(root, s, 'db')
    inside(s, 'web', 'sh', '-c', 'mkdir -p /www; echo hello > /www/index.html; busybox httpd -p 80 -h /www')
    assert 'hello' in inside(s, 'db', '/bin/busybox', 'wget', '-qO-', 'http://web/')

    def published():
        try:
            with socket.create_connection(('127.0.0.1', 18080), 2) as one:
                one.send(b'GET / HTTP/1.0\r\n\r\n')
                return b'hello' in one.recv(4096) + one.recv(4096)
        except OSError:
            return False
    wait_for(published, 'the published port')
    well(do(s, root, 'stop', 'web'))
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # of old connections, not of who listens
        free.bind(('0.0.0.0', 18080))  # at once
    well(do(s, root, 'stop', 'db'))
    nothing_left(root)


@case("in the host's own tree there are no names, which is said; with --overlay there are")
def _(root):
    host(root)

    def start(*more):
        return well(root.run([root.program('userns-run'), '--net', 'user=lab', '--hostname', 'one', *more, '--', 'cat', '/etc/hosts'],
                             root.alice, env=env(root, root.alice)))

    plain, covered = start(), start('--overlay')
    assert "no names: /etc/hosts is the host's own; with --overlay" in plain.err and '# userns-run network' not in plain.out, plain
    assert 'no names' not in covered.err and 'one # userns-run network' in covered.out, covered
    nothing_left(root)


@case('--dry-run, config and info name the network; names that are no names are refused; a directory that others can reach is refused')
def _(root):
    host(root)
    program = root.program('userns-run')
    out = root.run([program, '--net', 'user=lab', '--dry-run', '--', 'true'], root.alice, env=env(root, root.alice))
    assert out.code == 0 and "the caller's network lab" in out.out and files(root, root.alice) == [], out
    for bad in ('user=', 'user=a/b', 'user=.x', 'user=-x', 'user=' + 'x' * 33):
        done = root.run([program, '--net', bad, '--', 'true'], root.alice, env=env(root, root.alice))
        assert done.code == 125 and 'is not a valid name of a network' in done.err, done
    s = store(root)
    assert json.loads(well(networks(root, '--json')).out) == []
    started(root, s, 'web')
    (seen,) = json.loads(well(networks(root, '--json')).out)
    assert seen['network'] == 'lab' and seen['members'] == [{'name': 'web', 'address': address(s, 'web')}], seen
    shown = well(networks(root)).out.split()
    assert shown == ['NETWORK', 'ADDRESSES', 'NAME', 'ADDRESS', 'lab', seen['addresses'], 'web', address(s, 'web')], shown
    fails(networks(root, 'lab'), 'takes no names')
    findings = root.run([root.program('userns-run'), 'doctor'], root.alice, env=env(root, root.alice), timeout=60).out
    assert 'containers can share a network of yours' in findings, findings
    assert 'user=lab' in well(do(s, root, 'info', 'web')).out and address(s, 'web') in well(do(s, root, 'info', 'web')).out
    well(do(s, root, 'stop', 'web'))
    os.chmod(networks_of(root, root.alice), 0o755)
    fails(do(s, root, 'start', 'web'), 'is not yours alone')
    os.chmod(networks_of(root, root.alice), 0o700)
    nothing_left(root)


@case('in a cgroup of the container\'s: the network outlives who made it, and the cgroup is gone with its container')
def _(root):
    host(root)
    root.write('/etc/userns/cgroup.conf', 'alice pids.max=500\n')
    s = store(root)
    s.make('web', IDLE, NET, 'cgroup = helper')
    s.make('db', IDLE, NET)
    begun = do(s, root, 'start', 'web')
    if begun.code != 0 and 'cgroup' in begun.err:
        skip(f'no cgroup here: {begun.err.strip()}')
    well(begun)
    well(do(s, root, 'start', 'db'))
    (keeper,) = keepers(root)
    with open(f'/proc/{keeper}/cgroup') as file, open(f'/proc/{os.getpid()}/cgroup') as own:
        assert file.read() == own.read()
    cgroup = s.state('web')['cgroup']
    assert cgroup and os.path.isdir(cgroup)
    well(do(s, root, 'stop', 'web'))
    wait_for(lambda: not os.path.isdir(cgroup + '/payload'), 'the payload to go')
    wait_for(lambda: hosts(s, 'db').keys() == {'db'}, 'the name to go')
    assert alive(keeper)
    well(do(s, root, 'stop', 'db'))
    nothing_left(root)


main()
