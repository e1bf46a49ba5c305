#!/usr/bin/env python3
"""Figures of userns-net and --net beside those of other programs, in one run, as ratios. Not a test: nothing here can fail.

usage: net.py BUILD_DIR [start|guarded-start|guarded-stages|life|throughput|guarded-throughput|guarded-frame|add|guarded-add]

"guarded": with an address of net.conf and the guard loaded.
"""

import json
import os
import re
import resource
import socket
import statistics
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from harness import CLONE_NEWNET, Root, end_all_children, mount, setns, wait_for
from ids import measure
from net_host import Container, Host, sh

PATH = '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin'
THEIRS = '/usr/libexec/lxc/lxc-user-nic'


LOOP = 'n=$1; shift; i=0; while [ $i -lt $n ]; do "$@" >/dev/null || exit 1; i=$((i+1)); done'
NUMBERED = 'n=$1; first=$2; shift 2; i=$first; while [ $i -lt $((first+n)) ]; do "$@" e$i >/dev/null || exit 1; i=$((i+1)); done'


def timed(root, count, argv, user, script=LOOP, env=None):
    """(wall, CPU) milliseconds of one of `count` runs in a shell's loop; each must succeed. CPU time bears a busy machine."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    done = root.run(['/bin/sh', '-c', script, 'sh', count, *argv], user, timeout=300, env=env)
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.code == 0, done
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall * 1000 / count, cpu * 1000 / count


def interleaved(rounds, **commands):
    """Medians of commands that are run in turns, so that the machine's moods meet all of them."""
    taken = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            taken[name].append(command())
    return {name: tuple(statistics.median(times) for times in zip(*pairs)) for name, pairs in taken.items()}


def show(title, figures, unit, ours):
    print(f'{title}:')
    for name, value in figures.items():
        values = value if isinstance(value, tuple) else (value,)
        base = figures[ours] if isinstance(value, tuple) else (figures[ours],)
        text = '   '.join(f'{kind}{v:8.2f} {unit} ({v / b:5.2f})' for v, b, kind in zip(values, base, ('wall ', 'CPU ') if len(values) > 1 else ('',)))
        print(f'  {name:32} {text}')
    sys.stdout.flush()


def guarded(root, h, conf):
    h.conf(conf)
    done = root.run([root.program('userns-policy'), 'guard', '--apply'])
    assert done.code == 0, done


def bench_guarded_add(root, h):
    guarded(root, h, 'alice veth br0 1023 ip=10.10.0.0/20 gateway=10.10.255.1/16\n')
    bench_add(root, h, conf=False)


def bench_add(root, h, conf=True):
    """Each program has a bridge, a user and a number of NICs of its own that exist already."""
    mount('tmpfs', '/run/lxc', 'tmpfs') if os.path.isdir('/run/lxc') else None
    if conf:
        h.conf('alice veth br0 1023\n')
    root.write('/etc/lxc/lxc-usernet', 'bob veth br1 5000\n')
    with Container(root.alice) as a, Container(root.bob) as b:
        ours = [h.helper, 'add', '--netns', f'pid:{a.pid}', '--bridge', 'br0', '--name']
        theirs = [THEIRS, 'create', '/p', 'n', str(b.pid), 'veth', 'br1']
        have = 0
        for wanted in (0, 250, 970):
            if wanted > have:
                timed(root, wanted - have, [have, *ours], root.alice, NUMBERED)
                timed(root, wanted - have, [have, *theirs], root.bob, NUMBERED)
            rounds = [(measure(root, root.alice, 'time', 8, *ours, f't{turn}x{wanted}x{{run}}', '---', h.helper, '--version'),
                       measure(root, root.bob, 'time', 8, *theirs, f't{turn}x{wanted}x{{run}}')) for turn in range(5)]
            have = wanted + 50
            for kind, name in enumerate(('least', 'median')):
                figures = [statistics.median(rows[kind] for rows in side) for side in zip(*((*o, *t) for o, t in rounds))]
                show(f'add with {wanted} NICs of the same user there, {name}',
                     dict(zip(('userns-net add', 'userns-net --version', 'lxc-user-nic create'), figures)), 'us', 'userns-net add')


def one_life(root, user, words):
    """Milliseconds from the add on until no trace of the NIC is left, its namespace killed at once."""
    with Container(user) as c:
        argv = [word.replace('%d', str(c.pid)) for word in words]
        begun = time.perf_counter()
        done = root.run(argv, user)
        assert done.code == 0, done
        host = json.loads(done.out)['host'] if done.out.startswith('{') else done.out.split(':')[2]
        c.kill()
        while any(name == host for _, name in socket.if_nameindex()):
            time.sleep(0.0005)
        return (time.perf_counter() - begun) * 1000


def bench_life(root, h):
    mount('tmpfs', '/run/lxc', 'tmpfs') if os.path.isdir('/run/lxc') else None
    h.conf('alice veth br0 16\n')
    root.write('/etc/lxc/lxc-usernet', 'bob veth br1 16\n')
    figures = interleaved(25, **{
        'userns-net add, death': lambda: (one_life(root, root.alice, [h.helper, 'add', '--netns', 'pid:%d', '--bridge', 'br0']),),
        'lxc-user-nic create, death': lambda: (one_life(root, root.bob, [THEIRS, 'create', '/p', 'n', '%d', 'veth', 'br1', 'eth0']),)})
    show('a NIC from the add until it is gone with its killed namespace', figures, 'ms', 'userns-net add, death')


def iperf(command, server):
    """Gbit/s of one TCP stream out of a container."""
    done = subprocess.run(command + ['iperf3', '-J', '-c', server, '-t', '3'], capture_output=True, text=True)
    return json.loads(done.stdout[done.stdout.index('{'):])['end']['sum_received']['bits_per_second'] / 1e9


def bench_throughput(root, h):
    mount('tmpfs', '/dev/net', 'tmpfs')
    os.mknod('/dev/net/tun', 0o20666, os.makedev(10, 200))
    os.chmod('/dev/net/tun', 0o666)
    h.conf('alice veth br0 8\n')
    with open('/proc/sys/net/ipv4/ip_forward', 'w') as file:
        file.write('1')
    with Container(root.bob) as world:
        # The same way out for all: a veth to another namespace, routed by the host.
        sh('ip link add out0 type veth peer name in0')
        sh(f'ip link set in0 netns {world.pid}')
        sh('ip addr add 198.51.100.2/24 dev out0')
        sh('ip link set out0 up')
        world.up('198.51.100.1/24', 'in0')
        world.sh('ip route add default via 198.51.100.2')
        sh('ip route add default via 198.51.100.1')
        server = subprocess.Popen(['nsenter', f'--net=/proc/{world.pid}/ns/net', 'iperf3', '-s'], stdout=subprocess.DEVNULL)
        time.sleep(0.5)
        run = ['setpriv', '--reuid', '70001', '--regid', '71001', '--clear-groups', 'env', f'PATH={PATH}', root.program('userns-run')]
        only_slirp = f'{root.tmp}/only-slirp'
        os.makedirs(only_slirp)
        os.symlink('/usr/bin/slirp4netns', f'{only_slirp}/slirp4netns')
        os.symlink('/usr/bin/iperf3', f'{only_slirp}/iperf3')
        for name in ('newuidmap', 'newgidmap'):
            os.symlink(f'/usr/local/bin/{name}', f'{only_slirp}/{name}')
        slirp = [word.replace(f'PATH={PATH}', f'PATH={only_slirp}') for word in run]
        figures = {
            '--net bridge': iperf(run + ['--net', 'bridge=br0,address=10.9.0.2/24,gateway=10.9.0.1', '--'], '198.51.100.1'),
            '--net user (pasta)': iperf(run + ['--net', 'user', '--'], '198.51.100.1'),
            '--net user (slirp4netns)': iperf(slirp + ['--net', 'user', '--'], '198.51.100.1'),
            '(the host itself)': iperf([], '198.51.100.1'),
        }
        server.kill()
        show('one TCP stream out of a container', figures, 'Gbit/s', '--net bridge')


def stream(command, server):
    """Gbit/s of one TCP stream of a second, and the CPU seconds that both its ends took for a GiB. A server that still sees to
    the one before is asked again."""
    for _ in range(20):
        done = subprocess.run(command + ['iperf3', '-J', '-c', server, '-t', '1'], capture_output=True, text=True)
        end = json.loads(done.stdout[done.stdout.index('{'):])['end'] if '{' in done.stdout else {}
        if 'sum_received' in end:
            break
        time.sleep(0.2)
    else:
        raise RuntimeError(done)
    cpu = sum(end['cpu_utilization_percent'][side] for side in ('host_total', 'remote_total')) / 100
    received = end['sum_received']
    return received['bits_per_second'] / 1e9, cpu * received['seconds'] / (received['bytes'] / (1 << 30))


def bench_guarded_throughput(root, h):
    """To a machine behind the same bridge: out of a guarded port, out of a veth that nothing binds, and by pasta. Rounds of a second
    in turns. The CPU time bears a busy machine."""
    mount('tmpfs', '/dev/net', 'tmpfs')
    os.mknod('/dev/net/tun', 0o20666, os.makedev(10, 200))
    os.chmod('/dev/net/tun', 0o666)
    guarded(root, h, 'alice veth br0 8 ip=10.9.0.64/28 gateway=10.9.0.1/24\n')
    with Container(root.bob) as server, Container(root.bob) as plain, Container(root.alice) as port:
        for number, (one, address) in enumerate(((server, '10.9.0.200/24'), (plain, '10.9.0.201/24'))):
            sh(f'ip link add plain{number} type veth peer name eth0 netns {one.pid}')
            sh(f'ip link set plain{number} master br0 up')
            one.up(address)
        port.up(h.added(port)['addresses'][0])
        sh('ip route add default via 10.9.0.200')
        serving = subprocess.Popen(['nsenter', f'--net=/proc/{server.pid}/ns/net', 'iperf3', '-s'], stdout=subprocess.DEVNULL)
        time.sleep(0.5)
        run = ['setpriv', '--reuid', '70001', '--regid', '71001', '--clear-groups', 'env', f'PATH={PATH}', root.program('userns-run')]
        ways = {'guarded port, userns-run': run + ['--net', 'bridge=br0', '--'],
                'guarded port': ['nsenter', f'--net=/proc/{port.pid}/ns/net'],
                'veth without a guard': ['nsenter', f'--net=/proc/{plain.pid}/ns/net'],
                '--net user (pasta)': run + ['--net', 'user', '--']}

        def unloaded():
            for family in ('bridge', 'inet', 'arp'):
                sh(f'nft delete table {family} userns_guard')
            figures = stream(ways['veth without a guard'], '10.9.0.200')
            root.run([root.program('userns-policy'), 'guard', '--apply'])
            return figures
        figures = interleaved(int(os.environ.get('ROUNDS', '11')), **{'veth, guard not loaded': unloaded},
                              **{name: lambda words=words: stream(words, '10.9.0.200') for name, words in ways.items()})
        serving.kill()
        for kind, unit in enumerate(('Gbit/s', 'CPU s/GiB')):
            show('one TCP stream to a machine behind the bridge', {name: pair[kind] for name, pair in figures.items()}, unit, 'veth without a guard')


def tcp_frame(to, source, own, other):
    """The shortest that is whole; nobody answers it."""
    ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 40, 7, 0x4000, 64, 6, 0, socket.inet_aton(own), socket.inet_aton(other))
    total = sum(struct.unpack('!10H', ip))
    ip = ip[:10] + struct.pack('!H', ~(total + (total >> 16)) & 0xffff) + ip[12:]
    macs = bytes.fromhex((to + source).replace(':', ''))
    return (macs + b'\x08\0' + ip + struct.pack('!HHIIBBHHH', 5, 5, 1, 0, 0x50, 4, 0, 0, 0)).ljust(60, b'\0')


def bench_guarded_frame(root, h):
    """What a frame costs its sender, who does all the work up to the other machine: least of nine, which a busy machine bears."""
    guarded(root, h, 'alice veth br0 8 ip=10.9.0.64/28 gateway=10.9.0.1/24\n')
    frames, rounds = 20_000, 9
    with Container(root.bob) as server, Container(root.bob) as plain, Container(root.alice) as port:
        for number, (one, address) in enumerate(((server, '10.9.0.200/24'), (plain, '10.9.0.201/24'))):
            sh(f'ip link add plain{number} type veth peer name eth0 netns {one.pid}')
            sh(f'ip link set plain{number} master br0 up')
            one.up(address)
        nic = h.added(port)
        port.up(nic['addresses'][0])
        to, own, senders = server.interfaces()['eth0']['address'], os.open('/proc/self/ns/net', os.O_RDONLY), {}
        for name, one, address in (('veth', plain, '10.9.0.201'), ('guarded port', port, nic['addresses'][0].split('/')[0])):
            setns(one.netns, CLONE_NEWNET)
            out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            out.bind(('eth0', 0))
            setns(own, CLONE_NEWNET)
            senders[name] = out, tcp_frame(to, one.interfaces()['eth0']['address'], address, '10.9.0.200')

        def least(out, frame):
            found = []
            for _ in range(rounds):
                began = time.perf_counter()
                for _ in range(frames):
                    out.send(frame)
                found.append((time.perf_counter() - began) * 1e9 / frames)
            return min(found)
        for name, (out, frame) in senders.items():
            wait_for(lambda out=out, frame=frame: out.send(frame) and server.interfaces()['eth0']['operstate'] == 'UP', 'the ports to forward')
        figures = {f'{name}, guard loaded': least(*sender) for name, sender in senders.items()}
        for family in ('bridge', 'inet', 'arp'):
            sh(f'nft delete table {family} userns_guard')
        figures |= {f'{name}, guard not loaded': least(*sender) for name, sender in senders.items()}
        show('one small TCP frame', figures, 'ns', 'veth, guard loaded')


def bench_guarded_start(root, h):
    guarded(root, h, 'alice veth br0 64 ip=10.9.0.64/26 gateway=10.9.0.1/24\n')
    bench_start(root, h, conf=False)


def bench_start(root, h, conf=True):
    if conf:
        h.conf('alice veth br0 64\n')
    run = root.program('userns-run')
    # To a bridge of its own: nothing asks whether its address is free.
    floor = root.copy_program(f'{root.build}/tests/bench/nic_floor', f'{root.tmp}/nic_floor', 'setuid')
    commands = {
        'userns-run --net bridge=br0': [run, '--net', 'bridge=br0', '--', '/bin/true'],
        'userns-run': [run, '--', '/bin/true'],
        'their floor: no checks, no files read': [floor, 'br1', '/bin/true'],
        'bwrap --unshare-all': ['/usr/bin/bwrap', '--unshare-all', '--bind', '/', '/', '/bin/true'],
        'unshare, all, no maps': ['/usr/bin/unshare', '-UrmpinuCf', '/bin/true']}
    figures = interleaved(15, **{name: lambda argv=argv: timed(root, 10, argv, root.alice, env={'PATH': PATH}) for name, argv in commands.items()})
    show('start of true in a container, with a NIC and without', figures, 'ms', 'userns-run --net bridge=br0')


STAGES = (('its exec', 'exec', 'userns-run'), ('its first process is made', 'fork', 'userns-run'),
          ('userns-net is executed', 'exec', 'userns-net'), ('newuidmap is executed', 'exec', 'newuidmap'), ('newuidmap has ended', 'exit', 'newuidmap'),
          ('newgidmap is executed', 'exec', 'newgidmap'), ('newgidmap has ended', 'exit', 'newgidmap'), ('userns-net has ended', 'exit', 'userns-net'),
          ('the command is executed', 'exec', 'true'), ('the command has ended', 'exit', 'true'), ('userns-run has ended', 'exit', 'userns-run'))


def stages_of(trace):
    """{stage: ms since the exec} of one start, from the kernel's own events."""
    began, own, found = None, None, {}
    for line in trace.splitlines():
        event = re.match(r'.*-(\d+) +\[\d+\] \S+ +([\d.]+): sched_process_(\w+): (?:comm=(\S+)|filename=(\S+))', line)
        if not event:
            continue
        pid, at, kind, name = int(event[1]), float(event[2]) * 1000, event[3], os.path.basename(event[4] or event[5])
        if began is None and (kind, name) == ('exec', 'userns-run'):
            began, own = at, pid
        for stage, kind_of, name_of in STAGES:
            # Its children have its name until their exec, and its helpers' children theirs.
            is_first = stage not in found and (name != 'userns-run' or pid == own)
            if began is not None and is_first and (kind, name) == (kind_of, name_of):
                found[stage] = at - began
                break
    return found


def bench_guarded_stages(root, h):
    """What a start does when: the scheduler's events, which cost little."""
    guarded(root, h, 'alice veth br0 64 ip=10.9.0.64/26 gateway=10.9.0.1/24\n')
    mount('tracefs', '/sys/kernel/tracing', 'tracefs')
    own = '/sys/kernel/tracing/instances/userns-bench'
    os.mkdir(own)

    def put(name, text):
        with open(f'{own}/{name}', 'w') as file:
            file.write(text)
    rounds = []
    try:
        put('trace_clock', 'mono')
        put('options/event-fork', '1')
        for kind in ('exec', 'fork', 'exit'):
            put(f'events/sched/sched_process_{kind}/enable', '1')
        for _ in range(25):
            put('trace', '')
            put('set_event_pid', str(os.getpid()))
            done = root.run([root.program('userns-run'), '--net', 'bridge=br0', '--', '/bin/true'], root.alice, env={'PATH': PATH})
            assert done.code == 0, done
            put('set_event_pid', '')
            with open(f'{own}/trace') as file:
                rounds.append(stages_of(file.read()))
    finally:
        os.rmdir(own)
    rounds = [one for one in rounds if len(one) == len(STAGES)]
    print(f'a start with a guarded NIC, ms since the exec of userns-run, medians of {len(rounds)}:')
    for at, stage in sorted((statistics.median(one[stage] for one in rounds), stage) for stage, _, _ in STAGES):
        print(f'  {at:8.2f}  {stage}')


def main():
    root = Root(sys.argv[1])
    h = Host(root)
    try:
        for what, bench in (('start', bench_start), ('guarded-start', bench_guarded_start), ('guarded-stages', bench_guarded_stages),
                            ('life', bench_life), ('throughput', bench_throughput),
                            ('guarded-throughput', bench_guarded_throughput), ('guarded-frame', bench_guarded_frame),
                            ('guarded-add', bench_guarded_add), ('add', bench_add)):
            if len(sys.argv) < 3 or sys.argv[2] == what:
                bench(root, h)
                h.all_gone() if what != 'add' else None
    finally:
        end_all_children()


if __name__ == '__main__':
    main()
