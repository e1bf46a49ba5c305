#!/usr/bin/env python3
"""Figures of userns-run shift per 100,000 inodes on a disk (/var/tmp), beside chown -R, in one run.

usage: shift.py BUILD_DIR [INODES [RUNS]]        (root; not a test: nothing here judges)

The rounds are interleaved, and the best of each is shown: others on the machine can only add to it. CPU time is that of
all threads. Each begins with clean disks: the log of a shift is synced, and would pay for what the round before left.

Where the time goes: chown -R has two system calls for an inode, statx and fchownat by name. A shift has seven, statx and
listxattrat in the survey; openat, statx, listxattrat, fchownat and close for the change. What was tried or thought of:

  no openat and close, but fchownat by name, as chown does: between statx and it, somebody who may write to the directory
      can put another inode there. Root would give him a hard link to a file of the host's; in a namespace of the shift's
      own ids, a file of the container's user would become one of its root's. With the fd it is the inode that was looked
      at, whatever its name is by now.
  no second listxattrat where ctime is what the survey saw: safe, but for what changed within the same tick of the clock;
      5 % of the CPU time, for a table of all inodes. Not worth it.
  no survey: then nothing could be refused before the first change, and inodes that have ids of --to already could not be
      told from those that were shifted.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'frontend'))
from shift_tree import own  # noqa: E402

A, B, RANGE = 100000, 300000, 65536


def plain_tree(top, count, per_directory=99):
    os.makedirs(top)
    own(top, A, A)
    for d in range(count // (per_directory + 1)):
        os.mkdir(f'{top}/d{d}')
        own(f'{top}/d{d}', A, A)
        for i in range(per_directory):
            os.close(os.open(f'{top}/d{d}/f{i}', os.O_CREAT | os.O_WRONLY, 0o644))
            own(f'{top}/d{d}/f{i}', A, A)


def timed(argv, env):
    os.sync()
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begun, cpu


def main():
    build, count, runs = sys.argv[1], int((sys.argv[2:] or ["100000"])[0]), int((sys.argv[3:] or ['7'])[0])
    place = tempfile.mkdtemp(prefix='userns-bench-', dir='/var/tmp')
    top, env = f'{place}/tree', {**os.environ, 'XDG_STATE_HOME': f'{place}/state'}
    try:
        plain_tree(top, count)
        program = os.path.join(build, 'frontend', 'cli', 'userns-run')
        figures = {}
        for turn in range(runs):
            for first, to in ((A, B), (B, A)):
                # Each round begins with the ids that chown or the other shift left.
                for name, argv in (
                        ('chown -R --no-dereference', ['chown', '-R', '--no-dereference', f'{to}:{to}', top]),
                        ('userns-run shift --jobs 1', [program, 'shift', top, '--from', f'{to}:{RANGE}', '--to', f'{first}:{RANGE}',
                                                       '--jobs', '1']),
                        ('userns-run shift --jobs 2', [program, 'shift', top, '--from', f'{first}:{RANGE}', '--to', f'{to}:{RANGE}',
                                                       '--jobs', '2']),
                        ('userns-run shift --dry-run', [program, 'shift', top, '--from', f'{to}:{RANGE}', '--to', f'{first}:{RANGE}',
                                                        '--dry-run', '--jobs', '1'])):
                    figures.setdefault(name, []).append(timed(argv, env))
        base = min(wall for wall, _ in figures['chown -R --no-dereference'])
        print(f'{count} inodes, best of {2 * runs}:')
        for name, times in figures.items():
            wall, cpu = min(w for w, _ in times), min(c for _, c in times)
            print(f'  {name:28} {wall * 1e3:7.0f} ms  {wall / base:5.2f}   CPU {cpu * 1e3:7.0f} ms')
    finally:
        shutil.rmtree(place)


main()
