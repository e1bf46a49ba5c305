#!/usr/bin/env python3
"""Unpacking, copying and removing a root file system beside what others do, in one run, as ratios.

usage: rootfs.py BUILD_DIR [ARCHIVE.tar] [RUNS]      (root; not a test: nothing here judges)

Without an archive: the /usr of this machine below 200 MB, as a tar. In turns, on the file system of /var/tmp,
which is warm; the figure is the median, with the minimum behind it.
"""

import os
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'frontend'))
from harness import Root, end_all_children  # noqa: E402
from rootfs_tree import FIRST, IDS, tool  # noqa: E402

PLACE = f'/var/tmp/userns-bench-{os.getpid()}'


def sample(path):
    """A tar of what a small Debian has: many small files, some large ones."""
    subprocess.run('cd / && tar -cf - --format=posix usr/share/doc usr/share/perl* usr/share/zoneinfo usr/lib/python3* usr/bin '
                   f'2>/dev/null | head -c 200M > {path}.cut; tar -xOf {path}.cut >/dev/null 2>&1; mkdir {path}.tree; '
                   f'tar -C {path}.tree -xf {path}.cut 2>/dev/null; tar -C {path}.tree -cf {path} --format=posix .', shell=True, check=True)
    shutil.rmtree(f'{path}.tree')
    os.unlink(f'{path}.cut')


def timed(root, argv, where):
    """Seconds; a fresh directory for each."""
    os.mkdir(where)
    os.chown(where, *((FIRST, FIRST) if 'unshare' in argv[0] else (root.alice.uid, root.alice.gid)))
    begun = time.perf_counter()
    done = root.run(argv, root.alice, timeout=600)
    taken = time.perf_counter() - begun
    if done.code != 0:
        raise RuntimeError(done)
    return taken


def remove(root, argv, name):
    begun = time.perf_counter()
    done = root.run(argv, root.alice, timeout=600)
    taken = time.perf_counter() - begun
    if done.code != 0 or os.path.exists(f'{PLACE}/{name}'):
        raise RuntimeError(done)
    return taken


def show(title, ours, theirs, size):
    a, b = statistics.median(ours), statistics.median(theirs[1])
    print(f'{title}:')
    print(f'  ours                                {a * 1000:8.0f} ms (minimum {min(ours) * 1000:.0f}){size and f", {size / a / 1e6:.0f} MB/s"}')
    print(f'  {theirs[0]:34}  {b * 1000:8.0f} ms (minimum {min(theirs[1]) * 1000:.0f})   ours is {a / b:.2f} of it')
    sys.stdout.flush()


def main():
    root = Root(sys.argv[1])
    ours = tool(root)
    os.mkdir(PLACE)
    os.chown(PLACE, root.alice.uid, root.alice.gid)
    os.chmod(PLACE, 0o755)
    try:
        plain = f'{PLACE}/a.tar'
        if len(sys.argv) > 2:
            shutil.copyfile(sys.argv[2], plain)
        else:
            sample(plain)
        runs = int(sys.argv[3]) if len(sys.argv) > 3 else 7
        inside = ['/usr/bin/unshare', '--map-auto', '--setuid', '0', '--setgid', '0']
        forms = {'plain': plain}
        for name, command in (('gzip', ['gzip', '-6c']), ('zstd', ['zstd', '-qc']), ('xz', ['xz', '-1c'])):
            with open(plain, 'rb') as source, open(f'{plain}.{name}', 'wb') as packed:
                subprocess.run(command, stdin=source, stdout=packed, check=True)
            forms[name] = f'{plain}.{name}'
        size = os.path.getsize(plain)
        print(f'{size / 1e6:.0f} MB, {len(subprocess.check_output(["tar", "-tf", plain]).splitlines())} entries')
        for name, archive in forms.items():
            mine, tars, removed, theirs_removed = [], [], [], []
            for _ in range(runs):
                mine.append(timed(root, [ours, IDS, 'archive', archive, f'{PLACE}/ours'], f'{PLACE}/ours'))
                tars.append(timed(root, [*inside, 'tar', '-C', f'{PLACE}/tars', '-xpf', archive, '--numeric-owner', '--exclude=./dev/*',
                                         '--xattrs', '--xattrs-include=*', '--acls'], f'{PLACE}/tars'))
                removed.append(remove(root, [ours, IDS, 'remove', PLACE, 'ours'], 'ours'))
                theirs_removed.append(remove(root, ['/bin/sh', '-c', f'{" ".join(inside)} find {PLACE}/tars -mindepth 1 -delete; rmdir {PLACE}/tars'],
                                             'tars'))
            show(f'unpack, {name}', mine, ('tar in unshare --map-auto', tars), size)
            if name == 'plain':
                show('remove', removed, ('find -delete in unshare', theirs_removed), 0)
        timed(root, [ours, IDS, 'archive', plain, f'{PLACE}/ours'], f'{PLACE}/ours')
        mine, theirs = [], []
        for _ in range(runs):
            mine.append(timed(root, [ours, IDS, 'copy', f'{IDS},{PLACE}/ours', f'{PLACE}/copy'], f'{PLACE}/copy'))
            remove(root, [ours, IDS, 'remove', PLACE, 'copy'], 'copy')
            theirs.append(timed(root, [*inside, 'cp', '-a', f'{PLACE}/ours/.', f'{PLACE}/cp'], f'{PLACE}/cp'))
            remove(root, [ours, IDS, 'remove', PLACE, 'cp'], 'cp')
        show('copy', mine, ('cp -a in unshare', theirs), size)
    finally:
        end_all_children()
        shutil.rmtree(PLACE, ignore_errors=True)


if __name__ == '__main__':
    main()
