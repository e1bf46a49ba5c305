#!/usr/bin/env python3
"""userns-run's cgroups on a host without systemd. What needs controllers in v2 is tried in tests/system."""

import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cgroups import Cgroups, pids_in  # noqa: E402
from harness import case, cases, main, skip, spawn, wait_for  # noqa: E402

cgroups = Cgroups.become_tenant()


def setup(root, lines='alice containers=3'):
    if cgroups.why_not:
        skip(cgroups.why_not)
    cgroups.clear()
    root.write('/etc/userns/cgroup.conf', f'base = {cgroups.v2}\n{lines}\n')


def run(root, *words, user=None, **how):
    return root.run([root.program('userns-run'), *words], user or root.alice, **how)


@case('without a limit or --cgroup nothing is made')
def _(root):
    setup(root)
    assert run(root, '--', 'true').code == 0
    assert cgroups.left() == []


@case('--cgroup helper: monitor and payload in leaves of their own, the container sees its leaf as the root')
def _(root):
    setup(root)
    child = spawn([root.program('userns-run'), '--cgroup', 'helper', '--', '/bin/sh', '-c',
                   'cat /proc/self/cgroup; exec sleep 60'], root.alice)
    own = f'{cgroups.v2}/{root.alice.uid}/run-{child.pid}'
    wait_for(lambda: any(os.path.exists(d) and pids_in(d) for d in [own + '/payload']), 'the payload')
    wait_for(lambda: pids_in(own + '/monitor') == [child.pid], 'the monitor alone')
    wait_for(lambda: 'sleep' in os.readlink(f'/proc/{pids_in(own + "/payload")[0]}/exe'), 'sleep')
    os.kill(child.pid, signal.SIGTERM)
    done = child.wait()
    assert done.code == 143 and '0::/\n' in done.out, done


@case('words, environment and standard input are the same through both lives')
def _(root):
    setup(root)
    read, write = os.pipe()
    os.write(write, b'typed\n')
    os.close(write)
    done = run(root, '--cgroup', 'helper', '--', '/bin/sh', '-c', 'read x; echo "$x|$A|$1|$USERNS_RUN_IN_CGROUP_OF|"', 'sh', 'a b\nc',
               env={'PATH': '/usr/bin:/bin', 'A': ' b '}, stdin=read)
    assert (done.code, done.out) == (0, 'typed| b |a b\nc||\n'), done


@case('root inside makes cgroups below the leaf, and none of them is left at the end')
def _(root):
    setup(root)
    done = run(root, '--cgroup', 'helper', '--', '/bin/sh', '-c', 'mount -t cgroup2 none /mnt && mkdir -p /mnt/a/b && echo made')
    assert done.out == 'made\n', done
    wait_for(lambda: not cgroups.left(), 'them to go')


@case('nothing survives the end, also without a pid namespace')
def _(root):
    setup(root)
    done = run(root, '--cgroup', 'helper', '--share', 'pid', '--', '/bin/sh', '-c', 'setsid sleep 61 & setsid sleep 62 & true')
    assert done.code == 0, done
    wait_for(lambda: not pids_in(cgroups.v2), 'the end of all')


@case('leftovers of runs do not use up containers=')
def _(root):
    setup(root, 'alice containers=1')
    for _ in range(5):
        assert run(root, '--cgroup', 'helper', '--', 'true').code == 0


@case('a limit that v2 does not have here is a refusal that says so')
def _(root):
    setup(root)
    with open(cgroups.v2 + '/cgroup.controllers') as file:
        if 'memory' in file.read():
            skip('v2 has the memory controller here: tests/system tries it')
    done = run(root, '--memory', '50M', '--', 'true')
    assert done.code == 125 and "--memory 50M can't be set" in done.err, done


@case('without policy and without systemd a cgroup is a refusal that says why')
def _(root):
    setup(root, 'bob containers=1')
    done = run(root, '--cgroup', 'auto', '--', 'true')
    assert done.code == 125 and 'CG-POLICY' in done.err and 'no systemd user manager' in done.err, done
    done = run(root, '--cgroup', 'systemd', '--', 'true')
    assert done.code == 125 and 'no systemd user manager' in done.err, done
    assert run(root, '--cgroup', 'helper', '--', 'true').code == 125


@cases([(f'{" ".join(words)}: {text}', words, text) for words, text in (
    (['--memory', '1Q'], 'is not a valid memory.max'), (['--cpus', '1.234'], 'is not a number of CPUs'), (['--cpus', '1.'], 'is not a number'),
    (['--cpus', '0'], 'is not a valid cpu.max'), (['--pids', '0'], 'is not a valid pids.max'), (['--cpu-weight', '0'], 'is not a valid cpu.weight'),
    (['--cgroup', 'maybe'], 'auto'), (['--cgroup', 'none', '--memory', '5M'], 'no limit holds'))])
def _(root, words, text):
    done = run(root, *words, '--dry-run', '--', 'true')
    assert done.code == 125 and text in done.err, done


@case('--dry-run shows the limits as they will be written')
def _(root):
    done = run(root, '--cpus', '1.5', '--memory', '2G', '--memory-swap', 'max', '--pids', '7', '--io-weight', '5',
               '--cpu-weight', '9', '--dry-run', '--', 'true')
    for line in ('cpu.max 150000 100000', f'memory.max {2 << 30}', 'memory.swap.max max', 'pids.max 7', 'io.weight 5',
                 'cpu.weight 9'):
        assert f'limit       {line}\n' in done.out, done


main()
