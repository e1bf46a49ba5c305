#!/usr/bin/env python3
"""Slurm starts bundles by userns-oci: a real munged, slurmctld and three slurmd, with the lines of userns-hpc(7)."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from bundle import Bundle  # noqa: E402
from harness import case, main, mount, wait_for, with_own_pids   # noqa: E402
from slurm import Cluster, alive  # noqa: E402

MANUAL = os.path.join(os.path.dirname(__file__), '..', '..', 'man', 'userns-hpc.7')
SLEEPS = ('sh', '-c', 'trap "echo ended; exit 0" TERM; echo began >> /out/began; while :; do sleep 1000 & wait; done')


# Read at once: a case covers /tmp, and this may lie below it.
with open(MANUAL) as page:
    TEXT = page.read()


def from_manual(which):
    """The lines of an example."""
    return re.search(rf'^\.\\" lines: {which}\n\.Bd [^\n]*\n(.*?)^\.Ed', TEXT, re.M | re.S)[1]


class Jobs:
    """A cluster whose oci.conf is the manual's; `calls`: who called which verb."""

    def __init__(self, root, which='oci.conf', **how):
        mount('tmpfs', '/tmp', 'tmpfs', 0, 'mode=1777')
        self.cluster = Cluster(root, from_manual(which), **how)
        self.root, self.bundle = root, Bundle(root, root.alice)
        self.out = f'{self.bundle.path}/out'
        os.mkdir(self.out)
        os.chown(self.out, root.alice.uid, root.alice.gid)
        self.bundle.config['mounts'].append({'destination': '/out', 'type': 'bind', 'source': self.out, 'options': ['bind']})
        self.bundle.write('true')

    def argv(self, *words):
        return (f'--container={self.bundle.path}', *words)

    def srun(self, *words):
        return self.cluster.srun(self.root.alice, *words)

    def start(self, *words):
        job = self.cluster.start(self.root.alice, *words)
        wait_for(lambda: len(self.states()) == 3, 'three containers')
        return job

    def start_traps(self, *words):
        """start(), and each command has said that its traps are set."""
        job = self.start(*words)
        wait_for(lambda: len(self.told()) == 3, 'three commands to have begun')
        return job

    def told(self):
        path = f'{self.out}/began'
        if not os.path.exists(path):
            return []
        with open(path) as file:
            return file.read().split()

    def states(self):
        """The directories of containers, which are below the job's user alone."""
        top = '/tmp/userns-oci.alice'
        return os.listdir(top) if os.path.isdir(top) else []

    def nothing_left(self):
        wait_for(lambda: self.cluster.jobs() == [], f'the end of the job\n{self.cluster.said()}', 40)
        wait_for(lambda: not self.states(), 'no directory of a container')
        wait_for(lambda: not alive({self.root.alice.uid}), 'no process of the user')

    def end(self):
        self.cluster.end()


@case('each node runs the bundle; output and status are those of the command; nothing is left')
def _(root):
    jobs = Jobs(root)
    done = jobs.srun('-N3', '-n3', *jobs.argv('sh', '-c', 'hostname; id -u; echo told >&2; exit 4'))
    assert done.code == 4, done
    lines = sorted(done.out.splitlines())
    assert lines == ['0'] * 3 + ['ocihost'] * 3, done
    assert done.err.count('told\n') == 3, done
    jobs.nothing_left()
    done = jobs.srun('-N1', '-n1', *jobs.argv('nonesuch'))
    assert done.code != 0 and "executable file not found" in done.err, done
    jobs.nothing_left()
    jobs.end()


@case('scancel reaches the command as TERM, and leaves nothing')
def _(root):
    jobs = Jobs(root)
    job = jobs.start_traps('-N3', '-n3', *jobs.argv(*SLEEPS))
    jobs.cluster.cancel(root.alice, '-u', 'alice')
    done = job.wait(60)
    assert done.out.count('ended\n') == 3, done
    jobs.nothing_left()
    jobs.end()


@case('scancel of a command that ignores TERM leaves nothing')
def _(root):
    jobs = Jobs(root)
    job = jobs.start('-N3', '-n3', *jobs.argv('sleep', '1000'))
    jobs.cluster.cancel(root.alice, '-u', 'alice')
    job.wait(60)
    jobs.nothing_left()
    jobs.end()


@case('scancel -s sends other signals to the command')
def _(root):
    jobs = Jobs(root)
    job = jobs.start_traps('-N3', '-n3', *jobs.argv('sh', '-c', 'trap "exit 7" USR1; echo began >> /out/began; while :; do sleep 1000 & wait; done'))
    jobs.cluster.cancel(root.alice, '-s', 'USR1', '-u', 'alice')
    done = job.wait(60)
    assert done.code == 7, done
    jobs.nothing_left()
    jobs.end()


@case('with create and start, as Slurm calls them: the container runs and ends, and nothing is left')
def _(root):
    jobs = Jobs(root, 'oci.conf with create')
    done = jobs.srun('-N3', '-n3', *jobs.argv('sh', '-c', 'echo ran >> /out/began'))
    assert done.code == 0, (done, jobs.cluster.said())
    assert jobs.told() == ['ran'] * 3
    jobs.nothing_left()
    job = jobs.start('-N3', '-n3', *jobs.argv('sleep', '1000'))
    jobs.cluster.cancel(root.alice, '-u', 'alice')
    job.wait(60)
    jobs.nothing_left()
    jobs.end()


@case('--mem and --cpus-per-task hold inside')
def _(root):
    jobs = Jobs(root, cpus=2, cgroups=True)
    script = 'grep Cpus_allowed_list /proc/self/status; x=$(yes | head -c 200000000 | tr "\\n" x); echo had it'
    done = jobs.srun('-N1', '-n1', '--cpus-per-task=1', '--mem=50M', *jobs.argv('sh', '-c', script))
    assert re.search(r'Cpus_allowed_list:\s\d\n', done.out), done
    assert 'had it' not in done.out and done.code != 0, done
    done = jobs.srun('-N1', '-n1', '--cpus-per-task=2', '--mem=1000M', *jobs.argv('sh', '-c', script))
    assert re.search(r'Cpus_allowed_list:\s0-1\n', done.out) and 'had it' in done.out and done.code == 0, done
    jobs.nothing_left()
    jobs.end()


with_own_pids()
main()
