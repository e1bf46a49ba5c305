#!/usr/bin/env python3
"""Figures of userns-run shift per 100,000 inodes on a disk (/var/tmp), beside chown -R, in one run.

usage: shift.py BUILD_DIR [INODES [RUNS]]        (root; not a test: nothing here judges)

The rounds are interleaved, and the best of each is shown: others on the machine can only add to it. CPU time is that of
all threads. Each begins with clean disks: the log of a shift is synced, and would pay for what the round before left.

Where the time goes: chown -R has one system call for a file, fchownat by name; it believes the directory's types. A shift
has three for most files: statx and listxattrat in the survey, and fchownat by the name that the survey wrote down, in a process
of a namespace that knows nobody but the owner that they have and the one that they get (frontend/shift/narrow.h). Seven are left
for those of other owners, with special bits, ACLs or capabilities: openat, statx, listxattrat, fchownat and close for the change.
(strace before 6.13 does not know listxattrat.) Each call by a name pays the way by the name, about 0.75 us here, and all but the
first of a row find what they need in the CPU's caches no more.

The floor is shift_floor.c: those three calls and getdents64, and nothing else. On Linux 6.18 and ext4 it takes 1.52 to 1.54 of
chown -R's CPU time, 1.46 to 1.48 where the kernel never had auditing enabled (or has the rule `never,task`): then each call is
0.1 us cheaper, of which chown has one for an inode. So 1.5 is out of reach with these three calls where auditing was ever on.
What was tried or thought of:

  no openat and close, but fchownat by name without such a namespace, as chown does: between statx and it, somebody who may
      write to the directory can put another inode there. Root would give him a hard link to a file of the host's; in a
      namespace of the shift's own ids, a file of the container's user would become one of its root's.
  no listxattrat: nothing that statx, file_getattr or the file system says tells of an ACL on ext4, so a file's ACL would keep
      its old ids, and chown(2) takes a capability away without a word.
  no statx: the kernel refuses inodes of other owners, and special bits, by itself. But it does not tell an inode that had the
      new owner before from one that was changed, and --undo must. Nor could anything be refused before the first change.
  all inodes held by an fd from the survey to the change: 1.5 times chown's CPU time, and a megabyte of the kernel's memory for
      a thousand files.
  survey and change together, directory by directory: 1.54, for what is in the caches still; nothing could be refused before.
  io_uring: has no listxattr and no chown, and does statx in a thread. An order by inode numbers: no difference.

The stages below show it: the survey is a --dry-run, the change what is left, and the undo log what a tree costs more in which
one file of a hundred is setuid, and so has lines in the log and a third walk; of a plain tree the log is its head alone, synced
once.
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


def make_fragile(top):
    """One file of a hundred loses its setuid bit by chown(2), and so stands in the log."""
    for entry in os.scandir(top):
        if entry.is_dir():
            os.chmod(f'{entry.path}/f0', 0o4755)


def calls(argv, env, count):
    """System calls for an inode, of those that are made for each."""
    done = subprocess.run(['strace', '-f', '-c', '-o', '/dev/stderr', *argv], check=True, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, env=env)
    found = {}
    for line in done.stderr.splitlines():
        words = line.split()
        if len(words) >= 5 and words[3].isdigit() and int(words[3]) > count / 2:
            found[words[-1]] = int(words[3]) / count
    return ', '.join(f'{name} {number:.1f}' for name, number in sorted(found.items()) if name != 'total')


def timed(argv, env):
    os.sync()
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begun, cpu


def show(count, runs, figures):
    base_wall, base_cpu = (min(one[side] for one in figures['chown -R --no-dereference']) for side in (0, 1))
    print(f'{count} inodes, best of {2 * runs} (load {os.getloadavg()[0]:.1f}):')

    def row(name, wall, cpu):
        print(f'  {name:28} {"" if wall is None else f"{wall * 1e3:7.0f} ms  {wall / base_wall:5.2f}":18} CPU {cpu * 1e3:7.0f} ms  {cpu / base_cpu:5.2f}')
    cpus = {}
    del figures['chown back']
    for name, times in figures.items():
        wall, cpus[name] = min(w for w, _ in times), min(c for _, c in times)
        row(name, wall, cpus[name])
    one, survey = cpus['userns-run shift --jobs 1'], cpus['userns-run shift --dry-run']
    print('  stages of --jobs 1:')
    row('  survey', None, survey)
    row('  change', None, one - survey)
    row('  undo log, 1 % of it setuid', None, max(0.0, cpus['shift, 1 % of it setuid'] - one))


def main():
    build, count, runs = sys.argv[1], int((sys.argv[2:] or ["100000"])[0]), int((sys.argv[3:] or ['7'])[0])
    place = tempfile.mkdtemp(prefix='userns-bench-', dir='/var/tmp')
    top, env = f'{place}/tree', {**os.environ, 'XDG_STATE_HOME': f'{place}/state'}
    try:
        plain_tree(top, count)
        program = os.path.join(build, 'frontend', 'cli', 'userns-run')
        floor = f'{place}/shift_floor'
        subprocess.run(['cc', '-O2', '-o', floor, os.path.join(os.path.dirname(__file__), 'shift_floor.c')], check=True)
        figures = {}
        for turn in range(runs):
            for first, to in ((A, B), (B, A)):
                # Each round begins with the ids that chown or the other shift left.
                for name, argv in (
                        ('its calls and no more', [floor, top, str(to)]),
                        ('chown back', ['chown', '-R', '--no-dereference', f'{first}:{first}', top]),
                        ('chown -R --no-dereference', ['chown', '-R', '--no-dereference', f'{to}:{to}', top]),
                        ('userns-run shift --jobs 1', [program, 'shift', top, '--from', f'{to}:{RANGE}', '--to', f'{first}:{RANGE}',
                                                       '--jobs', '1']),
                        ('userns-run shift --jobs 2', [program, 'shift', top, '--from', f'{first}:{RANGE}', '--to', f'{to}:{RANGE}',
                                                       '--jobs', '2']),
                        ('userns-run shift --dry-run', [program, 'shift', top, '--from', f'{to}:{RANGE}', '--to', f'{first}:{RANGE}',
                                                        '--dry-run', '--jobs', '1'])):
                    figures.setdefault(name, []).append(timed(argv, env))
        # An even number of turns: the tree has the ids A again.
        make_fragile(top)
        there, back = (['--from', f'{one}:{RANGE}', '--to', f'{other}:{RANGE}', '--jobs', '1'] for one, other in ((A, B), (B, A)))
        for _ in range(runs):
            for words in (there, back):
                figures.setdefault('shift, 1 % of it setuid', []).append(timed([program, 'shift', top, *words], env))
        show(count, runs, figures)
        if shutil.which('strace'):
            print(f'  system calls for an inode: chown: {calls(["chown", "-R", "--no-dereference", f"{A}:{A}", top], env, count)}')
            print(f'    shift: {calls([program, "shift", top, *there], env, count)}')
    finally:
        shutil.rmtree(place)


main()
