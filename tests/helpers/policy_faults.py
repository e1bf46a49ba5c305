#!/usr/bin/env python3
"""A policy file that cannot be read whole is a refusal, in each helper that reads one."""

import errno
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from harness import CLONE_NEWNET, CLONE_NEWUSER, SYSCALL, Result, case, main, spawn, trace


def run_failing(root, path, argv):
    """The program with each read of `path` failing; at least one must have been tried."""
    tried = []

    def fault(stop):
        if stop.number == SYSCALL['read'] and os.readlink(f'/proc/{stop.pid}/fd/{stop.args[0]}') == path:
            tried.append(True)
            return Result(-errno.EIO)
        return None
    done = trace(spawn(argv, root.alice, traced=True), fault)
    assert tried, done
    return done


@case('NC-READ: a net.conf whose read fails grants nothing')
def _(root):
    root.write('/etc/userns/net.conf', 'alice veth br0 2\n')
    with root.target(root.alice, CLONE_NEWUSER | CLONE_NEWNET) as target:
        done = run_failing(root, '/etc/userns/net.conf', [root.program('userns-net'), 'add', '--netns', f'pid:{target.pid}',
                                                          '--bridge', 'br0'])
    assert done.code == 1 and '[NC-READ]' in done.err and done.out == '', done


@case('CC-READ: a cgroup.conf whose read fails grants nothing')
def _(root):
    root.write('/etc/userns/cgroup.conf', 'alice pids.max=5\n')
    done = run_failing(root, '/etc/userns/cgroup.conf', [root.program('userns-cgroup'), 'enter', 'x', '--', '/bin/echo', 'no'])
    assert done.code == 125 and '[CC-READ]' in done.err and done.out == '', done


if __name__ == '__main__':
    main()
