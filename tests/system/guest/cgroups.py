#!/usr/bin/env python3
"""In the booted guest: userns-cgroup on pure cgroup v2 below systemd, as two ordinary users. Nothing is timed."""

import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cgroups import below, pids_in, read, remove  # noqa: E402
from harness import User, case, main, spawn, status_of, wait_for  # noqa: E402

ALICE, BOB = User('alice', 1000), User('bob', 1001)
TOP = '/sys/fs/cgroup'
BASE = TOP + '/system.slice/userns-cgroup.service'
HELPER = '/usr/local/libexec/userns/userns-cgroup'
SLOW = 120  # the guest's CPU is emulated


def policy(text):
    os.makedirs('/etc/userns', exist_ok=True)
    with open('/etc/userns/cgroup.conf', 'w') as file:
        file.write(text + '\n')


def start_unit():
    subprocess.run('systemctl enable --now userns-cgroup.service'.split(), check=True, stderr=subprocess.DEVNULL)


def node(user):
    return f'{BASE}/{user.uid}'


def enter(user, name, command, **how):
    return spawn([HELPER, 'enter', name, '--', *command], user, **how).wait(SLOW)


def running(user, name, command=('/bin/sleep', '900')):
    child = spawn([HELPER, 'enter', name, '--', *command], user)
    wait_for(lambda: os.path.exists(f'{node(user)}/{name}') and child.pid in pids_in(f'{node(user)}/{name}'),
             f'{name} to be entered', SLOW)
    return child


def events(path):
    return {key: int(value) for key, value in (line.split() for line in read(path).splitlines())}


def hog(megabytes, then='pass'):
    """A command that touches so much memory."""
    return ['/usr/bin/python3', '-c', f'import time\nx = bytearray({megabytes} << 20)\nprint("have it", flush=True)\n{then}']


def begin(text):
    """A policy, and nobody in any container."""
    policy(text)
    start_unit()
    for name in os.listdir(BASE):
        if name.isdigit():
            with open(f'{BASE}/{name}/cgroup.kill', 'w') as file:
                file.write('1')
            remove(f'{BASE}/{name}')


@case("the v2 root is systemd's: without a delegated unit nothing is made there (CG-WRITER)")
def _(_root):
    policy('alice pids.max=64')
    done = enter(ALICE, 'web', ['/bin/true'])
    assert done.code == 125 and '[CG-WRITER]' in done.err and 'userns-cgroup.service' in done.err, done
    assert not os.path.exists(f'{TOP}/1000')


@case('with userns-cgroup.service running its cgroup is found and used')
def _(_root):
    begin('alice pids.max=64')
    done = enter(ALICE, 'web', ['/bin/cat', '/proc/self/cgroup'])
    assert (done.code, done.out) == (0, '0::/system.slice/userns-cgroup.service/1000/web\n'), done


@case('every limit of the policy stands in its file, and an edit takes effect at the next enter')
def _(_root):
    begin('alice memory.max=96M memory.high=90M memory.swap.max=0 pids.max=64 cpu.max=50% cpu.weight=50 cpuset.cpus=1 '
          'descendants=40 depth=5')
    assert enter(ALICE, 'web', ['/bin/true']).code == 0
    wanted = {'memory.max': str(96 << 20), 'memory.high': str(90 << 20), 'memory.swap.max': '0', 'pids.max': '64',
              'cpu.max': '50000 100000', 'cpu.weight': '50', 'cpuset.cpus': '1', 'cgroup.max.descendants': '40',
              'cgroup.max.depth': '5'}
    assert {file: read(f'{node(ALICE)}/{file}') for file in wanted} == wanted
    policy('alice pids.max=32')
    assert enter(ALICE, 'web', ['/bin/true']).code == 0
    wanted = {'memory.max': 'max', 'memory.high': 'max', 'memory.swap.max': 'max', 'pids.max': '32',
              'cpu.max': 'max 100000', 'cpu.weight': '100', 'cpuset.cpus': '', 'cgroup.max.depth': '16'}
    assert {file: read(f'{node(ALICE)}/{file}') for file in wanted} == wanted


@case('a limit that this host cannot set is a refusal (CG-CONTROLLER, CG-LIMIT)')
def _(_root):
    begin('alice hugetlb.2MB.max=4M')  # systemd delegates no such controller
    assert '[CG-CONTROLLER]' in enter(ALICE, 'other', ['/bin/true']).err
    policy('alice io.max=77:77,rbps=1M')
    assert '[CG-LIMIT]' in enter(ALICE, 'other', ['/bin/true']).err
    assert not os.path.exists(f'{node(ALICE)}/other')


@case('spawn: a new process begins in a leaf below the limits, which hold for it; a full pids.max is a refusal (CG-FULL)')
def _(_root):
    begin('alice memory.max=64M memory.swap.max=0 pids.max=4')
    box = f'{node(ALICE)}/web'
    done = spawn([HELPER, 'spawn', 'web', '--', '/bin/sh', '-c', f'cat /proc/self/cgroup {box}/cgroup.subtree_control'], ALICE).wait(SLOW)
    assert done.code == 0 and done.out.startswith('0::/system.slice/userns-cgroup.service/1000/web/monitor\n'), done
    assert {'memory', 'pids'} <= set(done.out.split('\n')[1].split()), done
    done = spawn([HELPER, 'spawn', 'web', '--', *hog(300)], ALICE).wait(SLOW)
    assert 'have it' not in done.out and events(f'{node(ALICE)}/memory.events')['oom_kill'] == 1, done
    running(ALICE, 'full', ['/bin/sh', '-c', 'sleep 600 & sleep 600 & sleep 600 & wait'])
    wait_for(lambda: int(read(f'{node(ALICE)}/pids.current')) == 4, 'four processes', SLOW)
    done = spawn([HELPER, 'spawn', 'web', '--', '/bin/true'], ALICE).wait(SLOW)
    assert done.code == 125 and '[CG-FULL]' in done.err, done


@case('the memory limit kills only the offender')
def _(_root):
    begin('* memory.max=64M memory.swap.max=0 pids.max=64')
    calm, his = running(ALICE, 'calm'), running(BOB, 'calm')
    done = enter(ALICE, 'hog', hog(300))
    assert done.code == -signal.SIGKILL and 'have it' not in done.out, done
    assert events(f'{node(ALICE)}/memory.events')['oom_kill'] == 1
    assert events(f'{node(BOB)}/memory.events')['oom_kill'] == 0
    assert {status_of(pid)['State'][0] for pid in (calm.pid, his.pid)} == {'S'}


@case("files in memory that outlive a container stay charged to their user: release gives no limit afresh")
def _(_root):
    begin('alice memory.max=64M memory.swap.max=0 pids.max=64')
    names = [f'/dev/shm/f{number}' for number in (1, 2)]

    def fill(name):
        return enter(ALICE, 'm', ['/bin/dd', 'if=/dev/zero', f'of={name}', 'bs=1M', 'count=50']).code
    try:
        assert fill(names[0]) == 0 and spawn([HELPER, 'release', 'm'], ALICE).wait(SLOW).code == 0
        assert fill(names[1]) == -signal.SIGKILL
    finally:
        for name in filter(os.path.exists, names):
            os.unlink(name)


@case("the limit holds for the sum of a user's containers, not for each")
def _(_root):
    begin('* memory.max=80M memory.swap.max=0 pids.max=64')
    first = running(ALICE, 'one', hog(50, 'time.sleep(900)'))
    his = running(BOB, 'one', hog(50, 'time.sleep(900)'))
    wait_for(lambda: int(read(f'{node(ALICE)}/one/memory.current')) > 50 << 20, 'the first to have its memory', SLOW)
    wait_for(lambda: int(read(f'{node(BOB)}/one/memory.current')) > 50 << 20, "bob's to have its memory", SLOW)
    running(ALICE, 'two', hog(50, 'time.sleep(900)'))
    wait_for(lambda: events(f'{node(ALICE)}/memory.events')['oom_kill'] > 0, 'one of the two to be killed', SLOW)
    assert int(read(f'{node(ALICE)}/memory.current')) <= 80 << 20
    assert events(f'{node(BOB)}/memory.events')['oom_kill'] == 0 and status_of(his.pid)['State'][0] == 'S'
    del first


@case('the pids limit stops a fork bomb while the host stays responsive')
def _(_root):
    begin('alice pids.max=40\nbob pids.max=40')
    bomb = 'import os\nwhile True:\n  try: os.fork()\n  except OSError: pass\n'
    running(ALICE, 'bomb', ['/usr/bin/python3', '-c', bomb])
    # Before Linux 6.11 the refusal is counted where the fork was tried.
    wait_for(lambda: any(events(f'{d}/pids.events')['max'] for d in below(node(ALICE))), 'the limit to be hit', SLOW)
    assert int(read(f'{node(ALICE)}/pids.current')) == 40
    # Others start processes all the same, as users and as systemd.
    assert enter(BOB, 'web', ['/bin/sh', '-c', 'true & true & wait; echo fine']).out == 'fine\n'
    assert subprocess.run(['systemctl', 'start', 'systemd-tmpfiles-clean.service'], timeout=SLOW).returncode == 0
    assert '[CG-BUSY]' in spawn([HELPER, 'release', 'bomb'], ALICE).wait(SLOW).err
    with open(f'{node(ALICE)}/bomb/cgroup.kill', 'w') as file:
        file.write('1')
    wait_for(lambda: not pids_in(f'{node(ALICE)}/bomb'), 'the end of the bomb', SLOW)


@case('the CPU limit holds, by cpu.stat: throttled, and never above its share of the periods')
def _(_root):
    begin('alice cpu.max=20% pids.max=64')
    for name in ('one', 'two'):
        running(ALICE, name, ['/bin/sh', '-c', 'while :; do :; done'])
    before = events(f'{node(ALICE)}/cpu.stat')

    def more():
        now = events(f'{node(ALICE)}/cpu.stat')
        return {key: now[key] - before[key] for key in now}
    wait_for(lambda: more()['nr_throttled'] >= 40, 'forty throttled periods', SLOW)
    used, periods = more()['usage_usec'], more()['nr_periods']
    # 20 ms in each period of 100 ms, on both CPUs together; what a tick overshoots is paid back later.
    assert 0.5 * 20_000 * periods <= used <= 1.3 * 20_000 * (periods + 2), (used, periods)
    return f'{used / periods / 1000:.1f} ms in each period of 100 ms, 20 allowed'


@case('the user can write no limit above what is his, and none of his node')
def _(_root):
    begin('alice memory.max=96M pids.max=64 cpu.max=50%')
    running(ALICE, 'web')
    places, path = [], node(ALICE)
    while path != '/sys/fs':
        places.append(path)
        path = os.path.dirname(path)
    files = [f'{p}/{n}' for p in places for n in [*os.listdir(p), '.'] if n != 'web' or p != node(ALICE)]
    files += [f'{node(ALICE)}/web/{n}' for n in os.listdir(f'{node(ALICE)}/web')]
    assert len(files) > 100
    script = 'for f; do [ -w "$f" ] && echo "${f##*/}"; done; true'
    found = spawn(['/bin/sh', '-c', script, 'sh', *files], ALICE).wait(SLOW).out.split()
    assert sorted(found) == ['cgroup.procs', 'cgroup.subtree_control', 'cgroup.threads'], found
    for name, text in (('memory.max', 'max'), ('pids.max', 'max'), ('cpu.max', 'max')):
        for where in (node(ALICE), node(ALICE) + '/web'):
            assert spawn(['/bin/sh', '-c', f'echo {text} > {where}/{name}'], ALICE).wait(SLOW).code != 0


@case('no process can be moved out, nor between users')
def _(_root):
    begin('* pids.max=64')
    mine, his = running(ALICE, 'web'), running(BOB, 'web')
    places = [BASE, node(ALICE), f'{node(BOB)}/web', f'{TOP}/user.slice', TOP, f'{TOP}/system.slice']
    for where in places:
        for user, pid in ((ALICE, mine.pid), (BOB, his.pid)):
            if where == f'{node(BOB)}/web' and user is BOB:
                continue
            assert spawn(['/bin/sh', '-c', f'echo {pid} > {where}/cgroup.procs'], user).wait(SLOW).code != 0, where
    assert pids_in(node(ALICE)) == [mine.pid] and pids_in(node(BOB)) == [his.pid]


@case("out of his own session, which is his by systemd's delegation, nobody can move into another's container")
def _(_root):
    begin('* pids.max=64')
    subprocess.run(['loginctl', 'enable-linger', 'alice'], check=True)
    session = f'{TOP}/user.slice/user-1000.slice/user@1000.service'
    wait_for(lambda: os.path.isdir(session) and os.stat(session).st_uid == 1000, "alice's user manager", SLOW)
    running(BOB, 'web')
    mine = running(ALICE, 'web')
    for pid, where in ((mine.pid, session + '/cgroup.procs'), (mine.pid, f'{node(BOB)}/web/cgroup.procs')):
        assert spawn(['/bin/sh', '-c', f'echo {pid} > {where}'], ALICE).wait(SLOW).code != 0, where
    assert pids_in(node(ALICE)) == [mine.pid]


@case("on his own leaf a user sets limits himself, below the administrator's")
def _(_root):
    begin('alice memory.max=200M memory.swap.max=0 pids.max=64')
    box = f'{node(ALICE)}/web'
    script = (f'set -e; mkdir {box}/monitor {box}/payload; echo $$ > {box}/monitor/cgroup.procs\n'
              f'echo "+memory +pids +cpu +io" > {box}/cgroup.subtree_control\n'
              f'echo 40M > {box}/payload/memory.max; echo 5 > {box}/payload/pids.max\n'
              f'(echo 0 > {box}/payload/cgroup.procs; exec {" ".join(hog(100)[:1])} -c "x = bytearray(100 << 20)") || echo ended $?\n'
              f'grep oom_kill {box}/payload/memory.events')
    done = enter(ALICE, 'web', ['/bin/bash', '-c', script])
    assert done.out.startswith('ended 137\noom_kill 1\n'), done
    assert events(f'{node(ALICE)}/memory.events.local')['max'] == 0, "the administrator's limit was not even reached"
    assert spawn([HELPER, 'release', 'web'], ALICE).wait(SLOW).code == 0


# Of userns-cgroup(8), word for word; tests/helpers/examples.py compares.
MINE = '''userns-cgroup enter work -- sh -c '
    cd /sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)/..
    head memory.max memory.current pids.max pids.current''' + "'"
LEAF = '''userns-cgroup enter work -- bash -c '
    cd /sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)
    mkdir shell job; echo $$ > shell/cgroup.procs
    echo +memory > cgroup.subtree_control
    echo 200M > job/memory.max
    (echo 0 > job/cgroup.procs; exec ~/job)
    grep oom_kill job/memory.events''' + "'"


def typed(words):
    """What alice types."""
    env = {'PATH': os.path.dirname(HELPER) + ':/usr/bin:/bin', 'HOME': '/home/alice'}
    return spawn(['/bin/sh', '-c', words], ALICE, env=env).wait(SLOW)


@case('the examples of the manual: what are my limits, and a leaf with one of my own')
def _(_root):
    begin('alice memory.max=400M memory.swap.max=0 pids.max=64')
    done = typed(MINE)
    assert done.code == 0 and f'==> memory.max <==\n{400 << 20}\n' in done.out and '==> pids.max <==\n64\n' in done.out, done
    with open('/home/alice/job', 'w') as file:
        file.write('#!/usr/bin/python3\nx = bytearray(250 << 20)\n')
    os.chmod('/home/alice/job', 0o755)
    done = typed(LEAF)
    assert 'oom_kill 1\n' in done.out, done
    assert events(f'{node(ALICE)}/memory.events.local')['max'] == 0, "the administrator's limit was not even reached"


@case('freeze and kill work on the leaf without help')
def _(_root):
    begin('alice pids.max=64')
    box = f'{node(ALICE)}/web'
    script = (f'mkdir {box}/payload; sleep 900 & echo $! > {box}/payload/cgroup.procs; echo 1 > {box}/payload/cgroup.freeze\n'
              f'until grep -q "frozen 1" {box}/payload/cgroup.events; do :; done; echo frozen\n'
              f'echo 1 > {box}/payload/cgroup.kill; wait; rmdir {box}/payload; echo gone')
    assert enter(ALICE, 'web', ['/bin/bash', '-c', script]).out == 'frozen\ngone\n'


@case('a daemon-reload of systemd leaves limits and containers alone')
def _(_root):
    begin('alice memory.max=96M pids.max=64')
    child = running(ALICE, 'web')
    subprocess.run(['systemctl', 'daemon-reload'], check=True)
    subprocess.run(['systemctl', 'daemon-reexec'], check=True)
    subprocess.run(['systemctl', 'start', 'userns-cgroup.service'], check=True)
    assert read(f'{node(ALICE)}/memory.max') == str(96 << 20) and pids_in(f'{node(ALICE)}/web') == [child.pid]


@case('stopping the unit ends all containers, and starting it makes them possible again')
def _(_root):
    begin('alice pids.max=64')
    child = running(ALICE, 'web')
    subprocess.run(['systemctl', 'stop', 'userns-cgroup.service'], check=True)
    assert child.wait(SLOW).code == -signal.SIGTERM
    assert not os.path.exists(node(ALICE))
    assert '[CG-WRITER]' in enter(ALICE, 'web', ['/bin/true']).err
    start_unit()
    assert enter(ALICE, 'web', ['/bin/true']).code == 0


@case("a grant is no way out of a unit's limits (CG-FROM); out of a session of one's own it is one into the container's")
def _(_root):
    begin('alice pids.max=64')

    def in_unit(*options):
        words = ['systemd-run', '--wait', '--pipe', '--quiet', '--collect', '-p', 'User=alice', '-p', 'TasksMax=10', *options]
        return subprocess.run([*words, HELPER, 'enter', 'esc', '--', '/bin/cat', '/proc/self/cgroup'], capture_output=True, text=True,
                              timeout=SLOW)
    done = in_unit()
    assert done.returncode == 125 and '[CG-FROM]' in done.stderr and '/system.slice/run-' in done.stderr, done
    done = in_unit('--slice=user-1001.slice')
    assert done.returncode == 125 and '[CG-FROM]' in done.stderr, done
    done = in_unit('--slice=user-1000.slice')
    assert (done.returncode, done.stdout) == (0, '0::/system.slice/userns-cgroup.service/1000/esc\n'), done
    policy('alice pids.max=64 from=/system.slice/mine.service')
    assert '[CG-FROM]' in in_unit().stderr
    assert in_unit('--unit=mine.service').returncode == 0


@case("grants and refusals arrive in auditd's log with caller, name and rule")
def _(_root):
    begin('alice pids.max=64')
    name = f'a{time.time_ns()}'
    assert enter(ALICE, name, ['/bin/true']).code == 0
    assert enter(BOB, name, ['/bin/true']).code == 125

    def records():
        with open('/var/log/audit/audit.log') as file:
            return [line for line in file if name in line and 'op=userns-cgroup' in line]
    found = wait_for(lambda: len(records()) >= 2 and records(), 'two records', SLOW)
    granted, refused = found[0], found[1]
    assert re.search(r'enter uid=1000 .*rule=none.*res=success', granted), granted
    assert re.search(r'enter uid=1001 .*rule=CG-POLICY.*res=failed', refused), refused


@case("a hundred containers entered and released leave nothing but their user's node")
def _(_root):
    begin('alice containers=400 descendants=1000 pids.max=64')
    script = (f'i=0; while [ $i -lt 100 ]; do {HELPER} enter c$i -- /bin/true || exit 1; i=$((i+1)); done\n'
              f'{HELPER} list | wc -l; i=0; while [ $i -lt 100 ]; do {HELPER} release c$i || exit 1; i=$((i+1)); done\n'
              f'{HELPER} list | wc -l')
    done = spawn(['/bin/sh', '-c', script], ALICE).wait(300)
    assert (done.code, done.out) == (0, '100\n0\n'), done
    # The user's own node stays: what is still charged to it stays under its limits.
    assert below(node(ALICE)) == [node(ALICE)] and not pids_in(node(ALICE))


@case('AppArmor is on and has denied nothing of ours')
def _(_root):
    assert read('/sys/module/apparmor/parameters/enabled') == 'Y'
    with open('/var/log/audit/audit.log') as file:
        denied = [line for line in file if 'apparmor="DENIED"' in line and 'userns' in line]
    assert not denied, denied


main(need_root=False)
