#!/usr/bin/env python3
"""`run` of the same bundle by userns-oci, crun and runc, in turns, in one run.

usage: oci.py BUILD_DIR [RUNS]    (root; not a test: nothing here judges)

An ordinary user's bundle: all delegated ids, five mounts, `true` as its command; once more with the filter of podman's default
(corpus oci_config/podman). Wall time, and CPU time of all processes; of RUNS (40) the least and the median.
"""

import json
import os
import resource
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from bundle import Bundle  # noqa: E402
from harness import Root, end_all_children, umount  # noqa: E402

RUNS = int(sys.argv[2]) if len(sys.argv) > 2 else 40


def cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main():
    root = Root(sys.argv[1])
    if os.path.ismount('/sys/fs/cgroup/unified'):
        umount('/sys/fs/cgroup/unified')  # crun 1.8 refuses a hybrid
    bundle = Bundle(root, root.alice)
    runtimes = {'userns-oci': [root.program('userns-oci')], 'crun': ['/usr/bin/crun', '--cgroup-manager=disabled'], 'runc': ['/usr/sbin/runc']}
    with open(os.path.join(os.path.dirname(__file__), '..', 'corpus', 'oci_config', 'podman')) as file:
        filters = json.load(file)['linux']['seccomp']
    for kind, seccomp in (('plain', None), ('with a filter', filters)):
        if seccomp:
            bundle.config['linux']['seccomp'] = seccomp
        bundle.write('true')
        found = {name: [] for name in runtimes}
        for _ in range(RUNS):
            for name, words in runtimes.items():
                before, began = cpu(), time.monotonic()
                done = root.run([*words, 'run', '-b', bundle.path, 'c'], root.alice, env=bundle.env(), cwd=bundle.path)
                found[name].append((time.monotonic() - began, cpu() - before))
                assert done.code == 0, done
        print(kind)
        for name, times in found.items():
            wall, used = zip(*times)
            print(f'  {name:10} wall least {min(wall) * 1000:6.1f} ms, median {statistics.median(wall) * 1000:6.1f} ms; CPU median {statistics.median(used) * 1000:6.1f} ms')
    end_all_children()


main()
