#!/usr/bin/env python3
"""Figures of userns-cgroup, in one run, as ratios.

usage: cgroup.py BUILD_DIR [enter|many]...        (root; not a test: nothing here judges)
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cgroups import Cgroups  # noqa: E402
from harness import Root, end_all_children  # noqa: E402
from ids import show, timed  # noqa: E402


def policy(root, cgroups, line):
    cgroups.clear()
    root.write('/etc/userns/cgroup.conf', f'base = {cgroups.v2}\n{line}\n')


def bench_enter(root, cgroups):
    policy(root, cgroups, 'alice containers=4')
    floor = root.copy_program(f'{root.build}/tests/bench/enter_floor', f'{root.tmp}/enter_floor', 'setuid')
    helper = root.program('userns-cgroup')
    timed(root, 'enter and exec of true, one v2 node', {
        'userns-cgroup enter': [helper, 'enter', 'web', '--', '/bin/true'],
        'mkdir, chown, write, setuid, exec in C': [floor, f'{cgroups.v2}/floor', '/bin/true'],
        'true': ['/bin/true']}, runs=300)
    if {'memory', 'pids', 'cpu'} <= cgroups.v1.keys():
        policy(root, cgroups, 'alice memory.max=1G pids.max=100 cpu.max=100%')
        timed(root, 'the same with three v1 hierarchies', {
            'userns-cgroup enter': [helper, 'enter', 'web', '--', '/bin/true'], 'true': ['/bin/true']}, runs=200)


def bench_many(root, cgroups):
    """500 containers of one user: each takes as long as the first."""
    policy(root, cgroups, 'alice containers=600 descendants=1000')
    helper, figures = root.program('userns-cgroup'), {}
    for verb, words in (('enter', ['--', '/bin/true']), ('release', [])):
        taken = []
        for i in range(500):
            begun = time.perf_counter()
            done = root.run([helper, verb, f'c{i}', *words], root.alice)
            taken.append((time.perf_counter() - begun) * 1e6)
            if done.code != 0:
                raise RuntimeError(done)
        for first in (0, 200, 400):
            part = sorted(taken[first:first + 100])
            figures[f'{verb}, containers {first} to {first + 99}'] = part[50]
    show('500 containers, one after the other (harness included), median', list(figures.items()), 'us')


if __name__ == '__main__':
    tree = Cgroups.become_tenant()
    if tree.why_not:
        sys.exit(tree.why_not)
    made = Root(sys.argv[1])
    benches = {'enter': bench_enter, 'many': bench_many}
    try:
        for bench in sys.argv[2:] or benches:
            benches[bench](made, tree)
    finally:
        end_all_children()
